"""Loads folders of `hydranet export --timm` or `--hugging-face` by timm, strictly: `python check_folders.py DIR...`

Not part of the tests. Needs torch, timm and safetensors. Says how many tensors were taken, and writes the features of a made-up image
to DIR/features.json, which `cargo test --lib folders -- --ignored` (with HYDRANET_FOLDERS=DIR:DIR...) compares with hydranet's.
"""

import json
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file

for folder in map(Path, sys.argv[1:]):
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    assert network.num_classes == 0
    tensors = load_file(folder / "model.safetensors")
    print(folder, network.load_state_dict(tensors, strict=True), len(tensors), "tensors")
    data = timm.data.resolve_model_data_config(network)
    channels, height, width = data["input_size"]
    print("  input", data, timm.data.create_transform(**data, is_training=False))
    image = torch.linspace(-1, 1, channels * height * width).reshape(1, channels, height, width).sin()
    with torch.no_grad():
        features = network(image)[0]
    described = {"input": [channels, height, width], "features": features.tolist()}
    (folder / "features.json").write_text(json.dumps(described))
    print(f"  {features.shape[0]} features, norm {features.norm():.5f}")
