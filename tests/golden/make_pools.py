"""Makes pools.safetensors and pools.json: max and average pooling and position embeddings, from PyTorch in f64.

    pip install torch numpy safetensors timm
    python tests/golden/make_pools.py

pools.json: for each case its operator and parameters. pools.safetensors: `<case>.<tensor>` with x, grad (the gradient of the
output), y, dx. x and grad are drawn and stored as f32, so a case serves f32 and f64 alike; y and dx are f64. Position embeddings
are resized by timm, which computes in f32 whatever it is given. Non-finite values are kept: some cases are about them.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers import resample_abs_pos_embed

HERE = pathlib.Path(__file__).resolve().parent
NAN, INF = float("nan"), float("inf")
TENSORS, INDEX = {}, {}


def draw(rng, *shape):
    return torch.from_numpy(rng.normal(size=shape).astype(np.float32).astype(np.float64))


def case(name, parameters, x, f):
    assert name not in INDEX, name
    x = x.clone().requires_grad_()
    y = f(x)
    grad = draw(np.random.default_rng(list(name.encode())), *y.shape)
    y.backward(grad)
    INDEX[name] = parameters
    for key, value in {"x": x, "grad": grad, "y": y, "dx": x.grad}.items():
        value = value.detach().clone().contiguous()
        # Half the size, and exact.
        TENSORS[f"{name}.{key}"] = value.float() if key in ("x", "grad") else value


def values(name, shape, kind="normal"):
    rng = np.random.default_rng([7, *name.encode()])
    if kind == "ties":
        return torch.from_numpy(rng.integers(0, 3, size=shape).astype(np.float64))
    x = draw(rng, *shape)
    if kind == "nan":
        flat = x.view(-1)
        flat[torch.from_numpy(rng.permutation(flat.numel())[: flat.numel() // 6])] = NAN
    if kind == "infinite":
        flat = x.view(-1)
        places = torch.from_numpy(rng.permutation(flat.numel()))
        flat[places[: flat.numel() // 2]] = -INF
        flat[places[: flat.numel() // 9]] = INF
    if kind == "lowest":
        x = torch.full(shape, -INF, dtype=torch.float64)
    return x


def max_pool(name, shape, kernel, stride, padding=(0, 0), kind="normal"):
    parameters = {"op": "max_pool2d", "kernel": kernel, "stride": stride, "padding": padding}
    x = values(name, shape, kind)
    case(f"max_{name}", parameters, x, lambda x: F.max_pool2d(x, kernel, stride, padding))


def avg_pool(name, shape, kernel, stride, padding=(0, 0), ceil=False, include=True, kind="normal"):
    parameters = {"op": "avg_pool2d", "kernel": kernel, "stride": stride, "padding": padding, "ceil": ceil, "include": include}
    x = values(name, shape, kind)
    case(f"avg_{name}", parameters, x, lambda x: F.avg_pool2d(x, kernel, stride, padding, ceil, include))


def main():
    max_pool("2x2", (2, 3, 6, 4), (2, 2), (2, 2))
    max_pool("2x2_uncovered", (1, 2, 5, 7), (2, 2), (2, 2))
    max_pool("3x3_stride3", (1, 2, 6, 9), (3, 3), (3, 3))
    max_pool("resnet_stem", (1, 2, 9, 12), (3, 3), (2, 2), (1, 1))
    max_pool("resnet_stem_wide", (1, 1, 5, 75), (3, 3), (2, 2), (1, 1))
    max_pool("overlapping", (1, 2, 6, 5), (3, 3), (1, 1), (1, 1))
    max_pool("overlapping_wide", (1, 1, 3, 40), (3, 3), (1, 1), (1, 1))
    max_pool("one_pixel", (2, 3, 1, 1), (3, 3), (2, 2), (1, 1))
    max_pool("ties", (1, 2, 7, 6), (3, 3), (2, 2), (1, 1), kind="ties")
    max_pool("ties_overlapping", (1, 2, 6, 19), (3, 3), (1, 1), (1, 1), kind="ties")
    max_pool("nan", (1, 2, 7, 6), (3, 3), (2, 2), (1, 1), kind="nan")
    max_pool("infinite", (1, 2, 7, 6), (2, 2), (2, 2), (1, 1), kind="infinite")
    max_pool("lowest", (1, 1, 4, 4), (3, 3), (2, 2), (1, 1), kind="lowest")

    avg_pool("2x2", (2, 3, 6, 4), (2, 2), (2, 2))
    avg_pool("2x2_uncovered", (1, 2, 5, 7), (2, 2), (2, 2))
    for include in (True, False):
        tail = "" if include else "_pad_not_counted"
        avg_pool("3x3_padded" + tail, (1, 2, 7, 6), (3, 3), (2, 2), (1, 1), include=include)
        avg_pool("overlapping" + tail, (1, 2, 5, 6), (3, 3), (1, 1), (1, 1), include=include)
        avg_pool("ceil" + tail, (1, 2, 6, 8), (3, 3), (2, 2), ceil=True, include=include)
        avg_pool("ceil_padded" + tail, (1, 2, 6, 5), (3, 2), (2, 3), (1, 1), ceil=True, include=include)
        avg_pool("ceil_beyond_padding" + tail, (1, 1, 4, 4), (3, 3), (4, 4), (1, 1), ceil=True, include=include)
        avg_pool("one_pixel" + tail, (2, 3, 1, 1), (3, 3), (2, 2), (1, 1), include=include)
    avg_pool("wide", (1, 1, 3, 71), (2, 2), (2, 2))
    avg_pool("non_square", (1, 2, 7, 8), (3, 2), (1, 3), (1, 0))
    avg_pool("whole_plane", (2, 2, 5, 3), (5, 3), (1, 1))
    avg_pool("nan", (1, 1, 6, 6), (2, 2), (2, 2), kind="nan")

    sizes = [
        ("same", (1, 1, 4, 5), (4, 5)),
        ("up", (1, 1, 3, 4), (7, 6)),
        ("down", (2, 2, 9, 5), (4, 3)),
        ("mixed", (1, 1, 4, 9), (7, 4)),
        ("half", (1, 1, 6, 6), (3, 3)),
        ("double", (1, 1, 3, 2), (6, 4)),
        ("from_one", (1, 1, 1, 1), (3, 2)),
        ("to_one", (1, 1, 4, 5), (1, 1)),
        ("one_row", (1, 1, 1, 5), (3, 8)),
        ("two_columns", (1, 1, 5, 2), (4, 7)),
        ("by_one", (1, 1, 7, 14), (8, 13)),
    ]
    # What position embeddings are resized by, of planes alone.
    for tail, shape, size in sizes:
        name = f"bicubic_antialias_{tail}"
        f = lambda x: F.interpolate(x, size=size, mode="bicubic", antialias=True, align_corners=False)
        case(name, {"op": "interpolate", "size": size}, values(name, shape), f)

    for name, prefix, old, new in [
        ("up", 1, (3, 3), (5, 5)),
        ("down", 1, (7, 7), (4, 4)),
        ("non_square", 1, (4, 4), (3, 6)),
        ("from_non_square", 2, (2, 5), (4, 3)),
        ("same_count", 1, (2, 8), (4, 4)),
        ("same", 1, (3, 4), (3, 4)),
        ("without_prefix", 0, (4, 4), (6, 5)),
        ("registers", 5, (4, 4), (5, 5)),
    ]:
        x = values(name, (1, prefix + old[0] * old[1], 4))
        parameters = {"op": "resample_pos_embed", "prefix": prefix, "from": old, "to": new}
        f = lambda x: resample_abs_pos_embed(x, list(new), old_size=list(old), num_prefix_tokens=prefix)
        case(f"pos_embed_{name}", parameters, x, f)

    save_file(TENSORS, HERE / "pools.safetensors")
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in INDEX.items())
    (HERE / "pools.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(INDEX)} cases, {(HERE / 'pools.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
