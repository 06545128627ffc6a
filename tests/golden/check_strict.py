"""Loads the backbones of model files trained by hydranet into timm, with strict=True: `python check_strict.py FILE...`

Not part of the tests. Needs torch, timm and safetensors. Each file is a model.safetensors of hydranet; its architecture is read
from its own description. Says how many tensors were taken, and the norm of the features of a made-up image.
"""

import json
import sys

import timm
import torch
from safetensors import safe_open

for path in sys.argv[1:]:
    with safe_open(path, "pt") as file:
        described = json.loads(file.metadata()["hydranet"])
        name = described["model"]["backbone"]
        prefix = "backbone."
        tensors = {k.removeprefix(prefix): file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}
    height, width = described["model"]["input"]["size"]
    options = {"img_size": (height, width)} if "pos_embed" in tensors else {}
    model = timm.create_model(name, num_classes=0, **options)
    print(path, name, model.load_state_dict(tensors, strict=True), len(tensors), "tensors")
    image = torch.linspace(-1, 1, 3 * height * width).reshape(1, 3, height, width)
    with torch.no_grad():
        features = model.eval()(image)[0]
    print(f"  {features.shape[0]} features, norm {features.norm():.5f}")
