"""Makes lite0.safetensors and lite0.json: what EfficientNet-Lite0 computes in timm (PyTorch), stage by stage.

    pip install torch timm numpy safetensors
    python tests/golden/make_lite0.py

All is computed in f64 from the weights in weights/, half precision and f32; activations are stored as f32, losses, gradients and running
statistics as f64. The inputs are of the form (p − 127) / 128 with whole p, so f32 holds them exactly.

eval.*    input (2, 3, 64, 48), stem, blocks.0 .. blocks.6, head, features: running statistics
odd.*     the same for one image of (3, 65, 51); stages from blocks.1 on
train.*   input (4, 3, 64, 48): batch statistics, no drop-path, no dropout. loss = Σ features · train.weights / 4.
          train.grad.<parameter> = [L2 norm, sum, first 8 elements in row-major order, 0 where there are fewer]
          train.grad.input = the same of the gradient of the input
          train.after.<norm>.running_mean|running_var = after this one forward pass, momentum 0.1
          The bias of each block's last norm only shifts whole channels, which the next norm takes off again: its gradient
          is exactly 0 in theory and rounding in practice. It is stored as 0; lite0.json lists them (`zero_in_train`).
frozen.*  as train.*, the norms on their running statistics (eval mode): loss and frozen.grad.*
"""

import json
import pathlib
import re

import numpy as np
import timm
import torch
from safetensors.torch import load_file, save_file

HERE = pathlib.Path(__file__).resolve().parent
WEIGHTS = HERE.parents[1] / "weights" / "tf_efficientnet_lite0.in1k.safetensors"
AFTER = ["bn1", "blocks.0.0.bn1", "blocks.1.0.bn2", "blocks.3.1.bn2", "blocks.5.3.bn3", "blocks.6.0.bn3", "bn2"]


def model(dtype=torch.float64):
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    state = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    state |= {n: t for n, t in network.state_dict().items() if n.endswith("num_batches_tracked")}
    network.load_state_dict(state, strict=True)
    return network.to(dtype)


def images(seed, batch, height, width):
    """Colour ramps, waves, a bright disc and some noise: enough structure to keep the deep layers alive."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    out = np.empty((batch, 3, height, width))
    for image in out:
        fy, fx, phase = rng.uniform(0.1, 0.9), rng.uniform(0.1, 0.9), rng.uniform(0, 6, 3)
        cy, cx, r = rng.uniform(0.3, 0.7) * height, rng.uniform(0.3, 0.7) * width, rng.uniform(0.15, 0.3) * height
        disc = (y - cy) ** 2 + (x - cx) ** 2 < r * r
        for c in range(3):
            plane = 110 + 60 * np.sin(fy * y + fx * x + phase[c]) + rng.uniform(-60, 60) * (x / width - 0.5)
            plane = np.where(disc, rng.uniform(0, 255), plane) + rng.normal(0, 20, plane.shape)
            image[c] = plane.round().clip(0, 255)
    return torch.from_numpy((out - 127) / 128)


def stages(network, x):
    found = {}
    x = network.bn1(network.conv_stem(x))
    found["stem"] = x
    for i, stage in enumerate(network.blocks):
        x = stage(x)
        found[f"blocks.{i}"] = x
    x = network.bn2(network.conv_head(x))
    found["head"] = x
    found["features"] = network.global_pool(x)
    return found


def summary(grad):
    flat = grad.double().flatten()
    first = torch.zeros(8, dtype=torch.float64)
    first[: min(8, flat.numel())] = flat[:8]
    return torch.cat([flat.norm()[None], flat.sum()[None], first])


def step(network, x, weights):
    x = x.clone().requires_grad_()
    found = stages(network, x)
    loss = (found["features"] * weights).sum() / x.shape[0]
    loss.backward()
    grads = {n: p.grad for n, p in network.named_parameters() if p.grad is not None}
    return found, loss.detach(), grads | {"input": x.grad}


def main():
    tensors = {}
    network = model().eval()
    with torch.no_grad():
        for name, x in [("eval", images(1, 2, 64, 48)), ("odd", images(2, 1, 65, 51))]:
            tensors[f"{name}.input"] = x.float()
            found = stages(network, x)
            assert torch.equal(found["features"], network(x))
            tensors |= {
                f"{name}.{k}": v.float() for k, v in found.items() if name == "eval" or k not in ("stem", "blocks.0")
            }
    x = images(3, 4, 64, 48)
    weights = torch.from_numpy(np.random.default_rng(4).normal(size=(4, 1280)).round(3)).float()
    tensors |= {"train.input": x.float(), "train.weights": weights}
    noise, zero = {}, []
    for name, train in [("train", True), ("frozen", False)]:
        network = model().train(train)
        found, loss, grads = step(network, x, weights.double())
        tensors[f"{name}.features"] = found["features"].detach()
        tensors[f"{name}.loss"] = loss[None]
        if train:
            zero = [n for n, g in grads.items() if g.norm() < 1e-9]
            assert zero and all(n.endswith(("bn3.bias", "blocks.0.0.bn2.bias")) for n in zero), zero
            state = network.state_dict()
            tensors |= {
                f"train.after.{n}.{s}": state[f"{n}.{s}"] for n in AFTER for s in ("running_mean", "running_var")
            }
        gone = zero if train else []
        tensors |= {f"{name}.grad.{n}": summary(g * 0 if n in gone else g) for n, g in grads.items()}
        # What f32 costs PyTorch itself: the floor of any f32 tolerance.
        single = step(model(torch.float32).train(train), x.float(), weights)
        off = {n: (grads[n] - g.double()).norm().item() for n, g in single[2].items()}
        worst = {n: d / grads[n].norm().item() for n, d in off.items() if n not in gone}
        floor = max(worst, key=worst.get)
        noise[name] = {
            "loss": abs(single[1].item() / loss.item() - 1),
            "features": ((found["features"] - single[0]["features"]).abs().max() / found["features"].abs().max()).item(),
            "grad_worst_l2": worst[floor],
            "grad_worst_at": floor,
            "grad_median_l2": float(np.median(list(worst.values()))),
        } | ({"zero_grad_worst_norm": max(off[n] for n in gone)} if gone else {})
    index = {
        "architecture": "tf_efficientnet_lite0",
        "eps": 1e-3,
        "momentum": 0.1,
        "running_var": "unbiased: n / (n - 1) times the batch's variance",
        "parameters": {n: list(p.shape) for n, p in network.named_parameters()},
        "zero_in_train": zero,
        "after": AFTER,
        "made_with": {"torch": torch.__version__.split("+")[0], "timm": timm.__version__},
        "f32_error_of_pytorch": {
            k: {a: float(f"{b:.2e}") if isinstance(b, float) else b for a, b in v.items()} for k, v in noise.items()
        },
    }
    tensors = {k: v.detach().contiguous() for k, v in tensors.items()}
    save_file(tensors, HERE / "lite0.safetensors")
    (HERE / "lite0.json").write_text(re.sub(r"\[[\d\s,]+\]", lambda m: re.sub(r"\s+", "", m[0]), json.dumps(index, indent=1)) + "\n")
    print(json.dumps(index["f32_error_of_pytorch"], indent=1), tensors["train.loss"], tensors["frozen.loss"])
    print(len(tensors), "tensors,", (HERE / "lite0.safetensors").stat().st_size, "bytes")


if __name__ == "__main__":
    main()
