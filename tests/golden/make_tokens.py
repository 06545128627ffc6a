"""Makes tokens.safetensors and tokens.json: activations, layer norms, attention and linear layers, from PyTorch in f64.

    pip install torch numpy safetensors
    python tests/golden/make_tokens.py

tokens.json: for each case its operator and parameters. tokens.safetensors: `<case>.<tensor>` with the arguments in order (a0, a1,
a2), grad (the gradient of the output), y, and the arguments' gradients (d0, d1, d2). Arguments and grad are drawn and stored as
f32, so a case serves f32 and f64 alike; the rest is f64.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
TENSORS, INDEX = {}, {}
FUNCTIONS = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}
# Kinks, the borders of approximations, and values whose exponential f32 cannot hold.
SPECIAL = [0, 6, 3, -3, 1.272792, 1.2727923, 1e-30, -1e-30, 1e-4, -1e-4, 5.5, -5.5, 13, -13, 20, -20, 87, -87, 95, -95, 110, -110]


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
    for key, value in (tensors | {f"d{i}": a.grad for i, a in enumerate(arguments)}).items():
        assert torch.isfinite(value).all(), (name, key)
        TENSORS[f"{name}.{key}"] = value.detach().clone().contiguous()


def heads(qkv, count, scale):
    batch, tokens, width = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, count, width // 3 // count).permute(2, 0, 3, 1, 4).unbind(0)
    return F.scaled_dot_product_attention(q, k, v, scale=scale).transpose(1, 2).reshape(batch, tokens, width // 3)


def main():
    rng = np.random.default_rng(5)
    for name, f in FUNCTIONS.items():
        x = torch.cat([torch.tensor(SPECIAL).float().double(), draw(rng, 83, scale=3.0)]).reshape(3, 5, 7)
        case(name, {"op": "pointwise", "function": name}, [x], f)

    eps = 1e-6
    for i, (shape, shift) in enumerate([((2, 3, 5), 0), ((7,), 0), ((4, 1), 2), ((3, 67), 100), ((1, 2, 2, 32), -3)]):
        arguments = [draw(rng, *shape, scale=1.5, shift=shift), draw(rng, shape[-1], shift=1.0), draw(rng, shape[-1])]
        case(f"layer_norm_{i}", {"op": "layer_norm", "eps": eps}, arguments, lambda x, g, b: F.layer_norm(x, g.shape, g, b, eps))
    for i, (shape, shift) in enumerate([((2, 5, 3, 4), 0), ((1, 3, 1, 1), 0), ((2, 1, 2, 3), 2), ((1, 4, 9, 33), 100), ((2, 37, 1, 3), -3)]):
        arguments = [draw(rng, *shape, scale=1.5, shift=shift), draw(rng, shape[1], shift=1.0), draw(rng, shape[1])]
        f = lambda x, g, b: F.layer_norm(x.permute(0, 2, 3, 1), g.shape, g, b, eps).permute(0, 3, 1, 2)
        case(f"layer_norm_2d_{i}", {"op": "layer_norm_2d", "eps": eps}, arguments, f)

    # Drawn for cases there were, so that those behind them keep their values.
    for shape in [(2, 3, 7), (5,), (4, 1), (3, 45), (2, 2, 33)]:
        draw(rng, *shape)

    for i, shape in enumerate([(2, 3, 5, 4), (1, 1, 1, 1), (2, 2, 17, 3), (1, 2, 1, 5), (1, 1, 40, 2)]):
        batch, count, tokens, dim = shape
        scale = dim**-0.5
        qkv = [draw(rng, *shape, scale=1.5) for _ in range(3)]
        f = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=scale)
        case(f"attention_{i}", {"op": "attention", "scale": scale}, qkv, f)
        x = draw(rng, batch, tokens, 3 * count * dim, scale=1.5)
        parameters = {"op": "attention_qkv", "scale": scale, "heads": count}
        case(f"attention_qkv_{i}", parameters, [x], lambda x: heads(x, count, scale))

    for i, (shape, out, bias) in enumerate([((2, 3, 5), 4, True), ((5,), 3, True), ((2, 1, 2, 4), 1, False), ((1, 1), 6, True), ((3, 2), 2, False)]):
        arguments = [draw(rng, *shape), draw(rng, out, shape[-1])] + ([draw(rng, out)] if bias else [])
        case(f"linear_{i}", {"op": "linear"}, arguments, F.linear)
    for name, f in FUNCTIONS.items():
        while True:
            arguments = [draw(rng, 2, 5, 3, scale=2.0), draw(rng, 4, 3), draw(rng, 4)]
            z = F.linear(*arguments)
            # No value so close to a kink that rounding could choose its other side.
            if min((z - kink).abs().min().item() for kink in (-3, 0, 3, 6)) > 1e-3:
                break
        case(f"linear_{name}", {"op": "linear_act", "function": name}, arguments, lambda *a: f(F.linear(*a)))

    save_file(TENSORS, HERE / "tokens.safetensors")
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in INDEX.items())
    (HERE / "tokens.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(INDEX)} cases, {(HERE / 'tokens.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
