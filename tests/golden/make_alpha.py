"""Makes alpha.png, alpha_resized.png and grey.png: a picture with alpha, it resized, and resize_source.png in grey, by Pillow.

    pip install pillow numpy
    python tests/golden/make_alpha.py
"""

import pathlib

import numpy as np
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
source = Image.open(HERE / "resize_source.png").convert("RGB")
source.convert("L").save(HERE / "grey.png", optimize=True)

y, x = np.mgrid[0 : source.height, 0 : source.width]
alpha = (255 * (x + y) / (source.height + source.width)).astype(np.uint8)
alpha[10:30, 10:30], alpha[:, 40:] = 0, 255
source.putalpha(Image.fromarray(alpha))
source.save(HERE / "alpha.png", optimize=True)
# Rows first, as in photos.py; each of the two passes multiplies by alpha before and divides by it after in Pillow, so they share one.
multiplied = source.convert("RGBa").resize((29, source.height), Image.BICUBIC)
multiplied.resize((29, 37), Image.BICUBIC).convert("RGBA").save(HERE / "alpha_resized.png", optimize=True)
