"""The backbone for PyTorch: its tensors, and that timm computes the same with them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import hydranet as command

import hydranet

GUIDE = Path(__file__).parents[2] / "src/guide/python.md"
# Imports the package by its folder: it runs with any Python.
TIMM = """
import sys, json
sys.path.insert(0, sys.argv[1])
import numpy as np, timm, torch, hydranet
assert hydranet.__file__.startswith(sys.argv[1])
tensors = hydranet.torch_state_dict(sys.argv[2])
network = timm.create_model(sys.argv[3], num_classes=0).eval()
missing, unexpected = network.load_state_dict(tensors, strict=True)
images = torch.from_numpy(np.load(sys.argv[4]))
with torch.no_grad():
    np.save(sys.argv[5], network(images).numpy())
"""


def test_the_tensors_are_the_files(place):
    tensors = hydranet.state_dict(place.model)
    file = {n: (s, d) for n, s, d in hydranet._native.read_tensors(place.model) if n.startswith("backbone.")}
    assert tensors.keys() == {name[len("backbone.") :] for name in file}
    for name, tensor in tensors.items():
        shape, data = file[f"backbone.{name}"]
        assert list(tensor.shape) == shape and tensor.tobytes() == data and tensor.flags.writeable


def test_timm_computes_the_same(place, predictor, tmp_path):
    python = os.environ.get("HYDRANET_TORCH", sys.executable)
    if subprocess.run([python, "-c", "import torch, timm"], capture_output=True).returncode != 0:
        pytest.skip("no torch with timm; HYDRANET_TORCH names a Python that has them")
    spec = predictor.descriptions[0]["model"]["input"]
    # Of the size of the input, so that nothing is resized.
    pixels = np.random.default_rng(1).integers(0, 256, (4, *spec["size"], 3), dtype=np.uint8)
    images = (pixels.astype(np.float32) / 255 - np.float32(spec["mean"])) / np.float32(spec["std"])
    np.save(tmp_path / "images.npy", images.transpose(0, 3, 1, 2).astype(np.float32))
    package = os.path.dirname(os.path.dirname(hydranet.__file__))
    own = tmp_path / "package"
    own.mkdir()
    # Alone: its neighbours are another Python's.
    os.symlink(os.path.join(package, "hydranet"), own / "hydranet")
    backbone = predictor.descriptions[0]["model"]["backbone"]
    args = [own, place.model, backbone, tmp_path / "images.npy", tmp_path / "features.npy"]
    out = subprocess.run([python, "-c", TIMM, *map(str, args)], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    off = np.abs(np.load(tmp_path / "features.npy") - predictor.features(pixels)).max()
    assert off < 1e-4, off


def test_the_guides_first_lines_run(place, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "photos.csv"):
        os.symlink(place.folder / name, tmp_path / name)
    os.symlink(place.heads, tmp_path / "my-heads")
    names = {}
    for block in blocks:
        if "import timm" not in block:
            exec(compile(block, str(GUIDE), "exec"), names)
    assert (tmp_path / "runs/mine/best.safetensors").is_file()
