"""Makes mixers.safetensors and mixers.json: steps that mix positions, from timm and PyTorch in f64.

    pip install torch timm numpy safetensors
    python tests/golden/make_mixers.py

mixers.json: for each case its step and parameters. mixers.safetensors: `<case>.<tensor>` with the arguments in order (a0, a1, …), the
first a map (batch, channels, height, width), grad (the gradient of the output), y, and the arguments' gradients (d0, d1, …).
Arguments and grad are drawn and stored as f32, so a case serves f32 and f64 alike; the rest is f64.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.layers.grn import GlobalResponseNorm
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock, window_partition, window_reverse
from torch.func import functional_call

HERE = pathlib.Path(__file__).resolve().parent
TENSORS, INDEX = {}, {}


def draw(rng, *shape, scale=1.0, shift=0.0):
    values = rng.normal(size=shape) * scale + shift
    return torch.from_numpy(np.asarray(values, dtype=np.float32).astype(np.float64))


def case(name, parameters, arguments, f):
    assert name not in INDEX, name
    arguments = [a.clone().requires_grad_() for a in arguments]
    y = f(*arguments)
    grad = draw(np.random.default_rng(list(name.encode())), *y.shape)
    y.backward(grad)
    INDEX[name] = parameters
    tensors = {f"a{i}": a.float() for i, a in enumerate(arguments)} | {"grad": grad.float(), "y": y}
    for i, a in enumerate(arguments):
        # An argument that the result does not depend on has no gradient.
        tensors[f"d{i}"] = torch.zeros_like(a) if a.grad is None else a.grad
    for key, value in tensors.items():
        assert torch.isfinite(value).all(), (name, key)
        TENSORS[f"{name}.{key}"] = value.detach().clone().contiguous()


def last(x):
    return x.permute(0, 2, 3, 1)


def first(x):
    return x.permute(0, 3, 1, 2)


def response(eps):
    def f(x, gamma, beta):
        norm = GlobalResponseNorm(len(gamma), eps=eps).double()
        return first(functional_call(norm, {"weight": gamma, "bias": beta}, (last(x),)))

    return f


def windows(heads, side, shift):
    """timm's attention within windows without its linear layers: queries, keys and values are given."""

    def f(x, table, filling):
        width = len(filling) // 3
        # A map of many windows, so that timm keeps window and shift; the mask is made for the map at hand.
        block = SwinTransformerBlock(width, (64, 64), heads, window_size=side, shift_size=shift, dynamic_mask=True).double()
        attention = block.attn
        attention.qkv = attention.proj = torch.nn.Identity()
        del attention.relative_position_bias_table
        attention.relative_position_bias_table = table
        x = last(x)
        _, h, w, _ = x.shape
        rolled = torch.roll(x, (-shift, -shift), (1, 2))
        # Filled up with zeros, which become `filling`.
        filled = F.pad(rolled - filling, (0, 0, 0, -w % side, 0, -h % side)) + filling
        _, rows, columns, _ = filled.shape
        parts = window_partition(filled, (side, side)).reshape(-1, side * side, 3 * width)
        y = attention(parts, mask=block.get_attn_mask(filled))
        y = window_reverse(y.reshape(-1, side, side, width), (side, side), rows, columns)[:, :h, :w]
        return first(torch.roll(y, (shift, shift), (1, 2)))

    return f


def merged(x):
    merging = PatchMerging(x.shape[1], norm_layer=torch.nn.Identity)
    merging.reduction = torch.nn.Identity()
    return first(merging(last(x)))


def tokens(x, prefix, positions):
    patches = x.flatten(2).transpose(1, 2)
    prefix = prefix.expand(len(x), -1, -1)
    if positions.shape[1] == patches.shape[1]:
        y = torch.cat([prefix, patches + positions], 1)
    else:
        y = torch.cat([prefix, patches], 1) + positions
    return y.transpose(1, 2).unsqueeze(2)


def main():
    rng = np.random.default_rng(7)
    for i, (shape, scale) in enumerate([((2, 5, 3, 4), 1), ((1, 1, 2, 3), 1), ((3, 4, 1, 1), 1), ((1, 67, 5, 3), 30)]):
        x = draw(rng, *shape, scale=scale, shift=0.3)
        if i == 0:
            # A channel of zeros, whose norm has no direction.
            x[1, 2] = 0
        arguments = [x, draw(rng, shape[1]), draw(rng, shape[1])]
        case(f"response_{i}", {"step": "response", "eps": 1e-6}, arguments, response(1e-6))

    cases = [
        # batch, height, width, heads, dim, side, shift
        (2, 6, 9, 2, 4, 3, 0),
        (2, 6, 9, 2, 4, 3, 1),
        # Filled up at the bottom, at the right, and a map smaller than a window.
        (2, 4, 6, 3, 2, 3, 1),
        (1, 6, 7, 1, 5, 3, 1),
        (2, 5, 7, 2, 3, 4, 2),
        (1, 2, 3, 2, 3, 7, 3),
        (1, 1, 1, 1, 1, 2, 0),
        (1, 15, 13, 1, 4, 7, 3),
    ]
    for i, (batch, h, w, heads, dim, side, shift) in enumerate(cases):
        arguments = [
            draw(rng, batch, 3 * heads * dim, h, w, scale=1.5),
            draw(rng, (2 * side - 1) ** 2, heads),
            draw(rng, 3 * heads * dim),
        ]
        parameters = {"step": "windows", "heads": heads, "side": side, "shift": shift}
        case(f"windows_{i}", parameters, arguments, windows(heads, side, shift))

    for i, shape in enumerate([(2, 3, 4, 6), (2, 2, 5, 3), (1, 1, 1, 1), (1, 17, 2, 7)]):
        case(f"merge_{i}", {"step": "merge"}, [draw(rng, *shape)], merged)

    for i, (prefix, positions) in enumerate([(1, 7), (1, 6), (5, 11), (5, 6)]):
        arguments = [draw(rng, 2, 4, 2, 3), draw(rng, 1, prefix, 4), draw(rng, 1, positions, 4)]
        case(f"tokens_{i}", {"step": "tokens"}, arguments, tokens)

    arguments = [draw(rng, 2, 5, 2, 3), draw(rng, 4, 5), draw(rng, 4), draw(rng, 4)]
    scaled = lambda x, w, b, g: first(F.linear(last(x), w, b) * g)
    case("scaled", {"step": "scaled"}, arguments, scaled)

    save_file(TENSORS, HERE / "mixers.safetensors")
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in INDEX.items())
    (HERE / "mixers.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(INDEX)} cases, {(HERE / 'mixers.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
