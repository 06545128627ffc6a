"""Makes jpeg/reduced.bin: what Pillow 13 (libjpeg-turbo 3) shows in its draft mode of the JPEGs of jpeg/ and of jpeg/large.jpg, which it
draws and writes, at a half, a quarter and an eighth of their size.

    pip install pillow==13.0.0 numpy
    python tests/golden/make_reduced_jpegs.py

reduced.bin is, of each file in the order of their names and of each of 2, 4 and 8 in turn: the name's length (1 byte), the name, the divisor
(1 byte), width and height (2 bytes each, low byte first), channels (1 byte), pixels.
"""

import io
import pathlib
import struct
import sys

import numpy as np
from PIL import Image, ImageDraw


def drawn():
    """Waves, discs, letters and noise, with sides that eight does not divide."""
    width, height = 251, 187
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    parts = [128 + 80 * np.sin(0.002 * (i + 1) * x * x / 9 + 0.05 * y) + 20 * np.cos(0.9 * x + 0.4 * i * y) for i in range(3)]
    image = Image.fromarray((np.stack(parts, -1) + rng.normal(0, 6, (height, width, 3))).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for i in range(9):
        left, top, side = *rng.integers(0, 180, 2).tolist(), int(rng.integers(8, 60))
        draw.ellipse([left, top, left + side, top + side], fill=tuple(rng.integers(0, 256, 3).tolist()))
        draw.text((left, top), "Reduced", fill=(255, 255, 0) if i % 2 else (0, 0, 255))
    return image


def reduced(data, by):
    image = Image.open(io.BytesIO(data))
    # So many pixels are asked for that this is the greatest reduction that leaves them, of a single pixel too.
    image.draft(None, tuple(0.9999 * side / by for side in image.size))
    image.load()
    assert image.decoderconfig[0] == by
    return image.convert("RGB") if image.mode == "CMYK" else image


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / "jpeg"
    drawn().save(folder / "large.jpg", quality=95, subsampling="4:2:0")
    out = bytearray()
    for file in sorted(folder.glob("*.jpg"), key=lambda file: file.stem):
        for by in [2, 4, 8]:
            image = reduced(file.read_bytes(), by)
            out += bytes([len(file.stem)]) + file.stem.encode() + bytes([by])
            out += struct.pack("<HHB", *image.size, len(image.getbands())) + image.tobytes()
    (folder / "reduced.bin").write_bytes(out)
    print(len(out), "bytes of pixels", file=sys.stderr)
