"""Makes the JPEGs of jpeg/ and jpeg/pixels.bin, what Pillow 13 (libjpeg-turbo 3) shows of them.

    pip install pillow==13.0.0 numpy
    python tests/golden/jpeg.py

Pillow writes those of usual sampling; a small coder here writes the others: any sampling, order of scans and restart interval. pixels.bin is, of
each file in the order of their names: the name's length (1 byte), the name, width and height (2 bytes each, low byte first), channels (1
byte), pixels.
"""

import io
import pathlib
import struct
import sys

import numpy as np
from PIL import Image

DC_SYMBOLS = list(range(12))
AC_SYMBOLS = [0x00, 0xF0] + [r << 4 | s for r in range(16) for s in range(1, 11)]


def segment(marker, data):
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + bytes(data)


class Coder:
    """Codes of one length: 4 bits for DC, 8 for AC."""

    def __init__(self):
        self.bits, self.count, self.out = 0, 0, bytearray()

    def put(self, value, n):
        self.bits, self.count = self.bits << n | value, self.count + n
        while self.count >= 8:
            self.count -= 8
            byte = self.bits >> self.count & 255
            self.out += b"\xff\x00" if byte == 255 else bytes([byte])
        self.bits &= (1 << self.count) - 1

    def value(self, v):
        size = abs(v).bit_length()
        self.put(v if v >= 0 else v + (1 << size) - 1, size)

    def block(self, block, last):
        size = abs(block[0] - last).bit_length()
        self.put(size, 4)
        if size:
            self.value(block[0] - last)
        run, end = 0, max((k for k in range(64) if block[k]), default=0)
        for k in range(1, end + 1):
            if not block[k]:
                run += 1
                continue
            while run > 15:
                self.put(AC_SYMBOLS.index(0xF0), 8)
                run -= 16
            self.put(AC_SYMBOLS.index(run << 4 | abs(block[k]).bit_length()), 8)
            self.value(block[k])
            run = 0
        if end < 63:
            self.put(0, 8)

    def flush(self):
        if self.count:
            self.put((1 << 8 - self.count) - 1, 8 - self.count)


def coded(rng, width, height, sampling, scans=None, restart=0, step=12, ids=None, extra=b"", fill=0, amount=0.1, marker=0xC1):
    """A JPEG of random coefficients. `sampling`: (h, v) of each component; `scans`: lists of components."""
    n = len(sampling)
    ids = ids or list(range(1, n + 1))
    scans = scans or [list(range(n))]
    max_h, max_v = max(h for h, _ in sampling), max(v for _, v in sampling)
    across, down = -(-width // (8 * max_h)), -(-height // (8 * max_v))
    steps = [step + k // 4 for k in range(64)]
    blocks = []
    for h, v in sampling:
        level = rng.integers(-60, 60) + np.cumsum(rng.normal(0, 6, (down * v, across * h)), axis=1).round()
        part = np.zeros((down * v, across * h, 64), int)
        part[..., 1:] = (rng.normal(0, 6, part[..., 1:].shape) * (rng.random(part[..., 1:].shape) < amount)).round()
        part[..., 0] = level.clip(-1000 // step, 1000 // step)
        blocks.append(part)
    out = b"\xff\xd8" + extra + segment(0xDB, [0] + steps)
    out += segment(marker, struct.pack(">BHHB", 8, height, width, n) + b"".join(bytes([i, h << 4 | v, 0]) for i, (h, v) in zip(ids, sampling)))
    out += segment(0xC4, [0x00] + [12 if i == 3 else 0 for i in range(16)] + DC_SYMBOLS)
    out += segment(0xC4, [0x10] + [len(AC_SYMBOLS) if i == 7 else 0 for i in range(16)] + AC_SYMBOLS)
    if restart:
        out += segment(0xDD, struct.pack(">H", restart))
    for scan in scans:
        out += segment(0xDA, bytes([len(scan)]) + b"".join(bytes([ids[c], 0]) for c in scan) + bytes([0, 63, 0]))
        if len(scan) == 1:
            h, v = sampling[scan[0]]
            wide, high = -(-(-(-width * h // max_h)) // 8), -(-(-(-height * v // max_v)) // 8)
            units = [[(scan[0], y, x)] for y in range(high) for x in range(wide)]
        else:
            units = [
                [(c, y * sampling[c][1] + j, x * sampling[c][0] + i) for c in scan for j in range(sampling[c][1]) for i in range(sampling[c][0])]
                for y in range(down)
                for x in range(across)
            ]
        coder, last, number = Coder(), [0] * n, 0
        for i, unit in enumerate(units):
            if restart and i and i % restart == 0:
                coder.flush()
                coder.out += b"\xff" * fill + bytes([0xFF, 0xD0 + number % 8])
                last, number = [0] * n, number + 1
            for c, y, x in unit:
                block = blocks[c][y, x].tolist()
                coder.block(block, last[c])
                last[c] = block[0]
        coder.flush()
        out += coder.out + b"\xff" * fill
    return out + b"\xff\xd9"


def picture(rng, width, height, mode="RGB"):
    """Smooth parts, edges and noise."""
    n = len(mode) if mode != "L" else 1
    y, x = np.mgrid[0:height, 0:width]
    parts = []
    for _ in range(n):
        a, b, c, d = rng.uniform(-0.2, 0.2, 4)
        part = 128 + 90 * np.sin(a * x + b * y + 3 * c) + 40 * (x * c + y * d > rng.uniform(-3, 9)) + rng.normal(0, rng.uniform(0, 20), x.shape)
        parts.append(part)
    data = np.stack(parts, -1).clip(0, 255).astype(np.uint8)
    return Image.fromarray(data[..., 0] if n == 1 else data, mode)


def written(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def shown(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image.convert("RGB") if image.mode == "CMYK" else image


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def adobe(transform):
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))


def files():
    rng = np.random.default_rng(7)
    out = {}
    for name, subsampling in [("444", 0), ("422", 1), ("420", 2)]:
        for width, height, quality in [(97, 61, 90), (32, 24, 30), (33, 17, 98), (5, 3, 75), (4, 9, 75), (1, 1, 75)]:
            out[f"{name}_{width}x{height}_{quality}"] = written(picture(rng, width, height), quality=quality, subsampling=subsampling)
        out[f"{name}_progressive"] = written(picture(rng, 61, 45), quality=85, subsampling=subsampling, progressive=True)
        out[f"{name}_optimised"] = written(picture(rng, 45, 61), quality=60, subsampling=subsampling, optimize=True)
        out[f"{name}_restarts"] = written(picture(rng, 70, 35), quality=80, subsampling=subsampling, restart_marker_blocks=3)
        out[f"{name}_progressive_restarts"] = written(
            picture(rng, 70, 35), quality=80, subsampling=subsampling, progressive=True, restart_marker_rows=1
        )
    out["grey"] = written(picture(rng, 37, 29, "L"), quality=80)
    out["grey_progressive"] = written(picture(rng, 37, 29, "L"), quality=95, progressive=True)
    out["cmyk"] = written(picture(rng, 29, 37, "CMYK"), quality=80)
    out["cmyk_progressive"] = written(picture(rng, 29, 37, "CMYK"), quality=80, progressive=True)
    out["rgb"] = written(picture(rng, 40, 20), quality=80, keep_rgb=True)
    y = [(1, 1)] * 2
    out["440"] = coded(rng, 43, 37, [(1, 2)] + y)
    out["411"] = coded(rng, 75, 21, [(4, 1)] + y)
    out["410"] = coded(rng, 41, 41, [(4, 2)] + y)
    out["441"] = coded(rng, 20, 75, [(1, 4)] + y)
    out["311"] = coded(rng, 50, 20, [(3, 1)] + y)
    out["mixed"] = coded(rng, 50, 50, [(2, 2), (1, 2), (2, 1)])
    out["more_colour_than_light"] = coded(rng, 50, 50, [(1, 1), (2, 2), (1, 2)])
    out["one_two_four_down"] = coded(rng, 30, 70, [(1, 4), (1, 2), (1, 1)])
    out["one_component_of_2x2"] = coded(rng, 27, 27, [(2, 2)])
    out["scans_apart"] = coded(rng, 43, 37, [(2, 2)] + y, scans=[[0], [1], [2]])
    out["scans_in_two"] = coded(rng, 43, 37, [(2, 1)] + y, scans=[[0], [1, 2]], restart=5)
    out["fill_bytes"] = coded(rng, 43, 37, [(2, 1)] + y, restart=2, fill=3)
    out["ids_rgb"] = coded(rng, 20, 20, [(1, 1)] * 3, ids=list(b"RGB"))
    out["ids_rgb_but_jfif"] = coded(rng, 20, 20, [(1, 1)] * 3, ids=list(b"RGB"), extra=JFIF)
    out["ids_others"] = coded(rng, 20, 20, [(1, 1)] * 3, ids=[0, 1, 2])
    out["adobe_0"] = coded(rng, 20, 20, [(1, 1)] * 3, extra=adobe(0))
    out["adobe_1"] = coded(rng, 20, 20, [(1, 1)] * 3, ids=list(b"RGB"), extra=adobe(1))
    out["adobe_0_but_jfif"] = coded(rng, 20, 20, [(1, 1)] * 3, extra=JFIF + adobe(0))
    out["ycck"] = coded(rng, 20, 20, [(2, 2), (1, 1), (1, 1), (2, 2)], extra=adobe(2))
    out["four_adobe_0"] = coded(rng, 20, 20, [(1, 1)] * 4, extra=adobe(0))
    out["four_plain"] = coded(rng, 20, 20, [(1, 1)] * 4)
    out["exif"] = coded(rng, 9, 9, [(1, 1)], extra=segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0") + segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"))
    return out


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / "jpeg"
    folder.mkdir(exist_ok=True)
    pixels = bytearray()
    for name, data in sorted(files().items()):
        (folder / f"{name}.jpg").write_bytes(data)
        image = shown(data)
        pixels += bytes([len(name)]) + name.encode() + struct.pack("<HHB", *image.size, len(image.getbands())) + image.tobytes()
    (folder / "pixels.bin").write_bytes(pixels)
    print(len(pixels), "bytes of pixels", file=sys.stderr)
