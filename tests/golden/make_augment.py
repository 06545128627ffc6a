"""Golden values of augmentation: torchvision v2's operations on bytes.

    pip install torch torchvision safetensors numpy
    python tests/golden/make_augment.py

writes augment.safetensors: `input` (H, W, 3), and what each operation makes of it, by its name and strength. Operations of policies
go through the functions by which torchvision's RandAugment and AugMix apply them, with the nearest pixel or mixed.
"""

from pathlib import Path

import numpy as np
import torch
import torchvision
from safetensors.numpy import save_file
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F

OUT = Path(__file__).parent / "augment.safetensors"
HEIGHT, WIDTH = 22, 17


def picture():
    rng = np.random.default_rng(7)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    planes = [
        40 + 5 * x + 3 * y,
        200 - 6 * np.abs(x - 8) - 4 * np.abs(y - 9),
        128 + 60 * np.sin(x / 3) * np.cos(y / 4),
    ]
    planes = np.stack(planes) + rng.normal(0, 6, (3, HEIGHT, WIDTH))
    return torch.from_numpy(planes.clip(0, 255).astype(np.uint8))


image = picture()
tensors = {"input": image}
policies = {"nearest": v2.RandAugment(), "mixed": v2.AugMix()}
for way, mode in (("nearest", InterpolationMode.NEAREST), ("mixed", InterpolationMode.BILINEAR)):
    for name, strengths in {
        "ShearX": [0.3, -0.21, 0.99],
        "ShearY": [0.3, -0.21],
        "TranslateX": [7.7, -3.2],
        "TranslateY": [7.7, -3.2],
        "Rotate": [30.0, -13.5, 135.0],
    }.items():
        for strength in strengths:
            done = policies[way]._apply_image_or_video_transform(image, name, strength, interpolation=mode, fill={})
            tensors[f"{name} {strength} {way}"] = done
for name, strengths in {
    "Identity": [0.0],
    "Brightness": [0.9, -0.9, 0.27],
    "Color": [0.9, -0.9, 0.27],
    "Contrast": [0.9, -0.9, 0.27],
    "Sharpness": [0.9, -0.9, 0.27],
    "Posterize": [8.0, 6.0, 4.0, 2.0, 0.0],
    "Solarize": [0.5, 0.7, 0.0, 1.0],
    "AutoContrast": [0.0],
    "Equalize": [0.0],
}.items():
    for strength in strengths:
        done = policies["nearest"]._apply_image_or_video_transform(
            image, name, strength, interpolation=InterpolationMode.NEAREST, fill={}
        )
        tensors[f"{name} {strength} nearest"] = done
tensors["grey"] = F.rgb_to_grayscale(image, num_output_channels=3)
for kernel, sigma in ((3, 0.5), (5, 1.7), (9, 2.0)):
    tensors[f"blur {kernel} {sigma}"] = F.gaussian_blur(image, [kernel, kernel], [sigma, sigma])
corners = [[3, 4], [15, 0], [12, 19], [1, 21]]
own = [[0, 0], [WIDTH - 1, 0], [WIDTH - 1, HEIGHT - 1], [0, HEIGHT - 1]]
tensors["perspective"] = F.perspective(image, own, corners, interpolation=InterpolationMode.BILINEAR)

# JPEG at a quality: "jpeg <height>x<width> <channels> <quality>", of the upper left part of a larger picture.
rng = np.random.default_rng(11)
y, x = np.mgrid[0:48, 0:56]
large = np.stack([3 * x + 2 * y, 255 - 4 * np.abs(x - y), 128 + 90 * np.sin(x / 2.3) * np.cos(y / 3.1)])
large = torch.from_numpy((large + rng.normal(0, 9, large.shape)).clip(0, 255).astype(np.uint8))
tensors["large"] = large
for height, width in ((48, 56), (33, 17), (16, 31), (9, 8), (5, 2), (1, 1), (2, 40)):
    for channels in (1, 3):
        for quality in (1, 10, 49, 75, 95, 100):
            part = large[:channels, :height, :width].contiguous()
            tensors[f"jpeg {height}x{width} {channels} {quality}"] = F.jpeg(part, quality)

# The strengths that the policies take from their tables: "space <policy> <operation>", those of all steps.
for policy, name in ((v2.RandAugment(), "rand_augment"), (v2.TrivialAugmentWide(), "trivial_augment"), (v2.AugMix(), "aug_mix")):
    steps = 10 if name == "aug_mix" else 31
    for operation, (of, signed) in policy._AUGMENTATION_SPACE.items():
        strengths = of(steps, HEIGHT, WIDTH)
        strengths = torch.zeros(steps) if strengths is None else strengths.to(torch.float32)
        tensors[f"space {name} {operation} {int(signed)}"] = strengths

arrays = {}
for name, value in tensors.items():
    value = value.permute(1, 2, 0) if value.dim() == 3 else value
    arrays[name] = np.ascontiguousarray(value.numpy())
save_file(arrays, OUT, metadata={"made_by": f"torchvision {torchvision.__version__}"})
print(len(arrays), "cases", torchvision.__version__)
