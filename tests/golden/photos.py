"""Makes the photo fixtures of tests/input/photos.rs. Pillow and numpy; run from this folder: python photos.py"""

import numpy as np
from PIL import Image, __version__

rng = np.random.default_rng(0)


def scene(height, width):
    """Smooth waves, a hard edge and a patch of noise, so that every filter shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    rgb = np.stack([127 + 120 * np.sin(x / 5 + y / 9), 255 * x / width, 127 + 120 * np.cos(x * y / 300)], -1)
    rgb[height // 3 : height // 2, width // 4 : width // 2] = [255, 0, 20]
    rgb[height // 2 :, : width // 3] = rng.integers(0, 256, (height - height // 2, width // 3, 3))
    return Image.fromarray(rgb.round().clip(0, 255).astype(np.uint8))


print("Pillow", __version__)
source = scene(61, 47)
source.save("resize_source.png", optimize=True)
for name, size in {"down": (23, 17), "up": (101, 90), "mixed": (30, 80), "same": (61, 47)}.items():  # (height, width)
    for kind, method in {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}.items():
        # Rows first, then columns: one call did that in every Pillow before 13, which chooses the order by size.
        rows = source.resize((size[1], source.height), method)
        rows.resize(size[::-1], method).save(f"resize_{name}_{kind}.png", optimize=True)

# 40 × 24 (height × width): red top left, green top right, blue bottom left, white bottom right.
quarters = np.zeros((40, 24, 3), np.uint8)
quarters[:20, :12], quarters[:20, 12:] = (255, 0, 0), (0, 255, 0)
quarters[20:, :12], quarters[20:, 12:] = (0, 0, 255), (255, 255, 255)
quarters = Image.fromarray(quarters)
# For each EXIF orientation, the pixels as a camera would have stored them: the inverse of what a viewer does.
stored = {
    1: None,
    2: Image.FLIP_LEFT_RIGHT,
    3: Image.ROTATE_180,
    4: Image.FLIP_TOP_BOTTOM,
    5: Image.TRANSPOSE,
    6: Image.ROTATE_90,
    7: Image.TRANSVERSE,
    8: Image.ROTATE_270,
}
for orientation, move in stored.items():
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = quarters if move is None else quarters.transpose(move)
    picture.save(f"exif_{orientation}.jpg", quality=95, subsampling=0, exif=exif)

# Plain colours in CMYK, as Photoshop stores them (inverted, with the Adobe marker), beside what Pillow makes of them.
cmyk = Image.open("exif_1.jpg").convert("CMYK")
cmyk.save("cmyk.jpg", quality=95, subsampling=0)
Image.open("cmyk.jpg").convert("RGB").save("cmyk_as_rgb.png")
source.save("progressive.jpg", quality=90, progressive=True)
source.convert("L").save("grey.jpg", quality=90)
palette = source.quantize(16)
palette.save("palette.png", optimize=True)
palette.convert("RGB").save("palette_as_rgb.png", optimize=True)
