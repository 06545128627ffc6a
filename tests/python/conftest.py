"""What the tests share: drawn photos, heads for them, the command, and a model trained by it."""

import os
import random
import signal
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

# A shell's job in the background is started without Ctrl-C, and hands that down.
signal.signal(signal.SIGINT, signal.default_int_handler)

COMMAND = os.environ["HYDRANET_COMMAND"]
COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}
SIZES = {"small": 8, "large": 24}
SETTINGS = ["train.epochs=2", "train.batch=8", "train.seed=7"]


def png(pixels):
    """A PNG of an array of shape (height, width, 3)."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def drawn(colour, size, seed):
    """A square of a colour and a size on noise."""
    pixels = np.random.default_rng(seed).integers(0, 120, (40, 36, 3), dtype=np.uint8)
    side = SIZES[size]
    at = random.Random(seed).randrange(36 - side)
    pixels[at : at + side, at : at + side] = COLOURS[colour]
    return pixels


def hydranet(*args, cwd=None, status=0):
    """What the command prints."""
    out = subprocess.run([COMMAND, *map(str, args)], cwd=cwd, capture_output=True, text=True)
    assert out.returncode == status, out.stderr + out.stdout
    return out.stdout


def settings(*more):
    return [arg for setting in [*SETTINGS, *more] for arg in ("--set", setting)]


class Place:
    """A folder with photos, their listing, heads, and a run of the command's."""

    def __init__(self, folder):
        self.folder, self.heads, self.listing = folder, folder / "heads", folder / "photos.csv"
        (folder / "photos").mkdir()
        self.heads.mkdir()
        for head, labels in {"colour": COLOURS, "size": SIZES}.items():
            listed = ", ".join(f'"{label}"' for label in labels)
            (self.heads / f"{head}.toml").write_text(f'name = "{head}"\nlabels = [{listed}]\n')
        (self.heads / "model.toml").write_text(
            'backbone = "tf_efficientnet_lite0"\nweights = "tf_efficientnet_lite0.in1k.safetensors"\n'
            'heads = ["colour", "size"]\n[input]\nsize = [32, 32]\n'
        )
        rows, self.photos, self.pixels = ["path,colour,size,split"], [], []
        for i in range(60):
            colour, size = list(COLOURS)[i % 3], list(SIZES)[i // 3 % 2]
            name = f"photos/{i:02}.png"
            self.pixels.append(drawn(colour, size, i))
            (folder / name).write_bytes(png(self.pixels[-1]))
            self.photos.append(folder / name)
            rows.append(f"{name},{colour},{size},{'train' if i < 36 else 'valid' if i < 48 else 'test'}")
        self.listing.write_text("\n".join(rows) + "\n")
        self.run = folder / "run"
        hydranet("train", "--data", self.listing, "--heads", self.heads, "--out", self.run, *settings())
        self.model = self.run / "best.safetensors"


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    return Place(tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="session")
def predictor(place):
    import hydranet

    return hydranet.Predictor(place.model)
