"""Makes backbones.safetensors: what timm's (PyTorch's) backbones compute, in f64.

    pip install torch timm numpy safetensors
    python tests/golden/make_backbones.py
    python tests/golden/make_backbones.py resnet18   # of the named ones, into the file there is

No weights are stored: every tensor's values come from its name and the places in it (`draws`), rounded to f32, so that f32 holds
them exactly; the test draws the same. The loss is Σ features · weights, without dropout and drop-path.

Which architectures, at which sizes [batch, height, width], and which of timm's modules have their stages as outputs (`blocks.*`: each
of those in `blocks`) are lines of `networks.json`. A norm over the two values of a batch of two is too steep to compare gradients.
backbones.safetensors, for each architecture and size:
*.eval, *.train   features; with batch statistics in train, which is missing where there are none
*.stages          of what each stage gives, a row each as below; tokens are (batch, channels, 1, tokens)
*.gradients       of the loss in train: one row for each parameter and a last one for the images; a row is
                  [L2 norm, sum, first 8 elements in row-major order, 0 where there are fewer].
                  A gradient that is 0 in theory (the bias of a norm before another norm) is stored as 0.
*.statistics      the running statistics after that pass, a row each; for the last size only
"""

import json
import pathlib
import sys
from unittest import mock

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
CASES = {name: case for name, case in json.loads((HERE / "networks.json").read_text()).items() if "sizes" in case}


def stage_modules(name, modules):
    """The modules whose outputs are the stages."""
    for pattern in CASES[name]["stages"]:
        if pattern.endswith(".*"):
            yield from modules[pattern[:-2]].children()
        else:
            yield modules[pattern]


def draws(name, shape):
    """Uniform from -1 to below 1: SplitMix64 from the FNV-1a hash of the name."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = (start ^ byte) * 0x100000001B3 % 2**64
    z = np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(start)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)) / 2**23 - 1).reshape(shape)


def values(name, shape):
    """Centre and half-width such that activations neither vanish nor explode."""
    if name.endswith("running_var"):
        centre, width = 1.0, 0.5
    elif name.endswith("gamma"):
        centre, width = 0.5, 0.25
    elif name.endswith("weight") and len(shape) == 1:
        centre, width = 1.0, 0.25
    elif name.endswith("weight"):
        centre, width = 0.0, 2.0 / np.sqrt(np.prod(shape[1:]))
    elif name == "images":
        centre, width = 0.0, 2.0
    else:
        centre, width = 0.0, 0.25
    return torch.from_numpy((centre + width * draws(name, shape)).astype(np.float32).astype(np.float64))


def model(name, dtype, **options):
    network = timm.create_model(name, num_classes=0, **options)
    state = network.state_dict()
    drawn = {n: values(n, tuple(t.shape)) for n, t in state.items() if not n.endswith("num_batches_tracked")}
    network.load_state_dict(state | drawn, strict=True)
    return network.to(dtype), {n: list(t.shape) for n, t in sorted(drawn.items())}


def summary(t):
    flat = t.detach().double().flatten()
    first = torch.zeros(8, dtype=torch.float64)
    first[: min(8, flat.numel())] = flat[:8]
    row = torch.cat([flat.norm()[None], flat.sum()[None], first])
    return row if flat.norm() > 1e-9 else row * 0


def stages(name, network, images):
    """Features, and a summary of each stage."""
    rows = []

    def note(_module, _inputs, output):
        # To channels first: tokens, and the maps of a Swin Transformer, have them last.
        last = output.dim() == 3 or type(network).__name__ == "SwinTransformer"
        rows.append(summary(output.movedim(-1, 1) if last else output))

    modules = list(stage_modules(name, dict(network.named_modules())))
    hooks = [module.register_forward_hook(note) for module in modules]
    with torch.no_grad():
        features = network.eval()(images)
    for hook in hooks:
        hook.remove()
    assert len(rows) == len(modules)
    return features, torch.stack(rows)


def hard_sigmoid(x, inplace=False):
    """PyTorch's own has 1/6 in f32 in its backward pass whatever the type."""
    return F.relu6(x + 3) / 6


def step(name, size, dtype):
    batch, height, width = size
    # A Swin Transformer drops paths unless told not to.
    options = {"dynamic_img_size": True, "drop_path_rate": 0.0} if name.startswith(("deit", "swin", "vit")) else {}
    network, shapes = model(name, dtype, **options)
    images = values("images", (batch, 3, height, width)).to(dtype).requires_grad_()
    evaluated, rows = stages(name, network, images)
    features = network.train()(images)
    (features * values("loss", tuple(features.shape)).to(dtype)).sum().backward()
    parameters, state = dict(network.named_parameters()), network.state_dict()
    grads = [parameters[n].grad for n in shapes if n in parameters] + [images.grad]
    found = {"eval": evaluated, "stages": rows, "gradients": torch.stack([summary(g) for g in grads])}
    statistics = [summary(state[n]) for n in shapes if n not in parameters]
    if statistics:
        found["train"] = features.detach()
        if size == CASES[name]["sizes"][-1]:
            found["statistics"] = torch.stack(statistics)
    else:
        assert torch.equal(features, evaluated)
    return found


def main(*names):
    file = HERE / "backbones.safetensors"
    tensors = load_file(file) if names else {}
    for name in names or CASES:
        for size in CASES[name]["sizes"]:
            # timm resamples position embeddings in f32 whatever their type; here in theirs.
            with mock.patch.object(torch.Tensor, "float", lambda t: t), mock.patch.object(F, "hardsigmoid", hard_sigmoid):
                found = step(name, size, torch.float64)
                single = step(name, size, torch.float32)
            norms, lost = found["gradients"][:, 0], (found["gradients"] - single["gradients"])[:, 0].abs()
            alive = norms > 0
            off = {k: ((v - single[k]).abs().max() / v.abs().max()).item() for k, v in found.items() if k in ("eval", "train")}
            off["norms of gradients"] = (lost[alive] / norms[alive]).max().item()
            print(f"{name} {size}: features {found['eval'].std():.2g}, gradients {norms[alive].min():.2g}..{norms.max():.2g}")
            print("  f32 of PyTorch off by", {k: f"{v:.1e}" for k, v in off.items()}, flush=True)
            tensors |= {f"{name}.{size[1]}x{size[2]}.{k}": v.contiguous() for k, v in found.items()}
    save_file(tensors, file)
    print(file.stat().st_size, "bytes")


if __name__ == "__main__":
    main(*sys.argv[1:])
