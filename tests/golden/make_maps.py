"""Makes maps.safetensors and maps.json: steps of a tape over maps, from PyTorch in f64.

    pip install torch numpy safetensors
    python tests/golden/make_maps.py

maps.json: for each case its operator. maps.safetensors: `<case>.<tensor>` with the arguments in order (a0, a1 …), grad (the gradient
of the output), y, and the arguments' gradients (d0, d1 …). Arguments and grad are drawn and stored as f32, so a case serves f32 and
f64 alike; the rest is f64.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
TENSORS, INDEX = {}, {}
# PyTorch's own hard sigmoid has 1/6 in f32 in its backward pass whatever the type; at ±3 its gradient is 0 as well.
GATES = {"sigmoid": torch.sigmoid, "hard_sigmoid": lambda x: F.relu6(x + 3) / 6}
# Kinks, and values whose exponential f32 cannot hold.
SPECIAL = [0, 3, -3, 6, -6, 1e-30, -1e-30, 2.9999998, -2.9999998, 20, -20, 87, -87, 95, -95, 110]


def draw(rng, *shape, scale=1.0):
    return torch.from_numpy((rng.normal(size=shape) * scale).astype(np.float32).astype(np.float64))


def case(name, operator, arguments, f):
    assert name not in INDEX, name
    arguments = [a.clone().requires_grad_() for a in arguments]
    y = f(*arguments)
    grad = draw(np.random.default_rng(list(name.encode())), *y.shape)
    y.backward(grad)
    INDEX[name] = operator
    tensors = {f"a{i}": a.float() for i, a in enumerate(arguments)} | {"grad": grad.float(), "y": y}
    for key, value in (tensors | {f"d{i}": a.grad for i, a in enumerate(arguments)}).items():
        assert torch.isfinite(value).all(), (name, key)
        TENSORS[f"{name}.{key}"] = value.detach().clone().contiguous()


def squeeze_excite(gate):
    """timm's: mean, two convolutions with a ReLU between, the gate, and the product."""

    def run(x, reduce, reduce_bias, expand, expand_bias):
        s = F.conv2d(x.mean((2, 3), keepdim=True), reduce, reduce_bias)
        return x * gate(F.conv2d(F.relu(s), expand, expand_bias))

    return run


def main():
    rng = np.random.default_rng(11)
    for name, gate in GATES.items():
        x = torch.cat([torch.tensor(SPECIAL).float().double(), draw(rng, 74, scale=3.0)]).reshape(2, 5, 3, 3)
        case(f"activation_{name}", {"op": "activation", "function": name}, [x], gate)
    for i, (b, c, h, w) in enumerate([(2, 6, 3, 5), (3, 1, 1, 1), (1, 7, 11, 9), (2, 130, 1, 3)]):
        arguments = [draw(rng, b, c, h, w), draw(rng, b, c, 1, 1)]
        case(f"scale_channels_{i}", {"op": "scale_channels"}, arguments, torch.mul)
    for i, (b, c, r, h, w) in enumerate([(2, 6, 4, 3, 5), (3, 8, 8, 1, 1), (1, 20, 3, 9, 7)]):
        for name, gate in GATES.items():
            while True:
                arguments = [draw(rng, b, c, h, w), draw(rng, r, c, 1, 1), draw(rng, r), draw(rng, c, r, 1, 1), draw(rng, c)]
                s = F.conv2d(arguments[0].mean((2, 3), keepdim=True), *arguments[1:3])
                t = F.conv2d(F.relu(s), *arguments[3:])
                # No value so close to a kink that rounding could choose its other side.
                if min(s.abs().min(), (t.abs() - 3).abs().min()) > 1e-3:
                    break
            parameters = {"op": "squeeze_excite", "function": name}
            case(f"squeeze_excite_{name}_{i}", parameters, arguments, squeeze_excite(gate))
    save_file(TENSORS, HERE / "maps.safetensors")
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in INDEX.items())
    (HERE / "maps.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(INDEX)} cases, {(HERE / 'maps.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
