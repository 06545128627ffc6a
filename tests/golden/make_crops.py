"""Makes crop_*.png: resize_source.png through timm's transform for evaluation, with `crop_pct`.

    pip install torch timm torchvision pillow
    python tests/golden/make_crops.py

A file is called crop_<height>x<width>_<percent>_<interpolation>.png.
"""

import pathlib

import numpy as np
from PIL import Image
from timm.data import create_transform

HERE = pathlib.Path(__file__).resolve().parent
CASES = [
    (32, 32, 87.5, "bilinear"),
    (32, 32, 87.5, "bicubic"),
    (16, 16, 100, "bicubic"),
    (23, 23, 90, "bicubic"),
    (64, 64, 95, "bicubic"),
    (24, 40, 90, "bicubic"),
    (41, 19, 80, "bilinear"),
]

resize = Image.Image.resize


def rows_first(self, size, resample=None, **_):
    """Rows first, then columns: one call did that in every Pillow before 13, which chooses the order by size."""
    return resize(resize(self, (size[0], self.height), resample), size, resample)


Image.Image.resize = rows_first
source = Image.open(HERE / "resize_source.png").convert("RGB")
for turned, image in {"": source, "turned_": source.transpose(Image.ROTATE_90)}.items():
    for height, width, percent, interpolation in CASES:
        transform = create_transform(
            (3, height, width), interpolation=interpolation, crop_pct=percent / 100, crop_mode="center", normalize=False
        )
        found = transform(image).permute(1, 2, 0).numpy()
        assert found.shape == (height, width, 3) and found.dtype == np.uint8, (found.shape, found.dtype)
        Image.fromarray(found).save(HERE / f"crop_{turned}{height}x{width}_{percent}_{interpolation}.png", optimize=True)
