"""Golden values of a photo's measures: hashes by imagehash 4.3.2 (Pillow 13.0.0), the variance of the Laplacian by OpenCV 5.0.0, entropy
by scikit-image 0.26.0. Run in this folder."""

import json
import sys

import cv2
import imagehash
import numpy as np
from PIL import Image, ImageOps
from skimage.measure import shannon_entropy

# Lossless and small; decoders of JPEG differ by a level here and there. A drawing with coefficients that are exactly 0 is left out:
# what is above the median is then decided by rounding.
FILES = ["resize_source.png", "palette.png", "grey.png", "crop_64x64_95_bicubic.png", "resize_up_bicubic.png"]


def main():
    found = {}
    for name in FILES:
        photo = ImageOps.exif_transpose(Image.open(name)).convert("RGB")
        grey = np.asarray(photo.convert("L"))
        found[name] = {
            "phash": str(imagehash.phash(photo)),
            "dhash": str(imagehash.dhash(photo)),
            "sharpness": float(cv2.Laplacian(grey, cv2.CV_64F).var()),
            "entropy": float(shannon_entropy(grey)),
            "brightness": float(grey.mean()),
        }
    with open("health.json", "w") as out:
        json.dump(found, out, indent=1, sort_keys=True)
    print(found, file=sys.stderr)


main()
