"""Makes ops.safetensors and ops.json: values and gradients of single operators, from PyTorch in f64.

    pip install torch numpy safetensors
    python tests/golden/make_ops.py

ops.json: for each case its operator and parameters. ops.safetensors, all f64: `<case>.<tensor>`. Inputs, weights and the
gradient of the output (`grad`) hold numbers that f32 holds exactly, so a case serves f32 and f64 alike. Tensors: x, grad, y, dx;
conv2d and linear: w, dw and with a bias b, db; batch norm: gamma, beta, dgamma, dbeta, mean, var (running statistics before)
and in train mode mean_after, var_after. Pads are [top, bottom, left, right]. No value before an activation lies
closer than 1e-3 to a kink (0, and 6 for relu6), so rounding cannot choose the other side.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
ACTIVATIONS = {"none": lambda v: v, "relu": F.relu, "relu6": F.relu6}
MOMENTUM, EPS = 0.1, 1e-3


class Cases:
    def __init__(self):
        self.tensors, self.index = {}, {}

    def add(self, name, parameters, tensors):
        self.index[name] = parameters
        for k, v in tensors.items():
            assert v.dtype == torch.float64 and torch.isfinite(v).all(), (name, k)
            self.tensors[f"{name}.{k}"] = v.detach().clone().contiguous()


def draw(rng, *shape, scale=1.0, shift=0.0):
    values = (rng.normal(size=shape) * scale + shift).astype(np.float32).astype(np.float64)
    return torch.from_numpy(values)


def same(size, kernel, stride, dilation=1):
    """TensorFlow's SAME: the smaller half before, the larger after."""
    pads = []
    for n in size:
        total = max((-(-n // stride) - 1) * stride + (kernel - 1) * dilation + 1 - n, 0)
        pads += [total // 2, total - total // 2]
    return pads


def convolve(x, w, b, pads, stride, groups, dilation):
    top, bottom, left, right = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, stride, 0, dilation, groups)


def conv(cases, name, x, w, pads, stride=1, groups=1, dilation=1, bias=False):
    rng = np.random.default_rng(list(name.encode()))
    leaves = {"x": draw(rng, *x), "w": draw(rng, *w, scale=0.5)}
    if bias:
        leaves["b"] = draw(rng, w[0])
    for v in leaves.values():
        v.requires_grad_()
    y = convolve(leaves["x"], leaves["w"], leaves.get("b"), pads, stride, groups, dilation)
    grad = draw(rng, *y.shape)
    y.backward(grad)
    parameters = {"op": "conv2d", "stride": stride, "pads": pads, "groups": groups, "dilation": dilation, "bias": bias}
    cases.add(name, parameters, leaves | {"grad": grad, "y": y} | {f"d{k}": v.grad for k, v in leaves.items()})


def norm(cases, name, shape, train, activation, before=None):
    """Batch norm and activation; `before` = (weight's shape, pads, stride, groups) puts a convolution in front."""
    for seed in range(1000):
        rng = np.random.default_rng([seed, *name.encode()])
        leaves = {"x": draw(rng, *shape, scale=1.5, shift=0.3)}
        channels = shape[1]
        if before:
            leaves["w"] = draw(rng, *before[0], scale=0.5)
            channels = before[0][0]
        leaves["gamma"] = draw(rng, channels, scale=0.5, shift=2.5)
        leaves["beta"] = draw(rng, channels, scale=0.7, shift=2.5 if activation == "relu6" else 0.2)
        statistics = {"mean": draw(rng, channels, scale=0.4, shift=0.2), "var": draw(rng, channels, scale=0.3, shift=1.5).abs()}
        for v in leaves.values():
            v.requires_grad_()
        mean, var = statistics["mean"].clone(), statistics["var"].clone()
        z = leaves["x"]
        if before:
            _, pads, stride, groups = before
            z = convolve(z, leaves["w"], None, pads, stride, groups, 1)
        z = F.batch_norm(z, mean, var, leaves["gamma"], leaves["beta"], train, MOMENTUM, EPS)
        if min(z.abs().min().item(), (z - 6).abs().min().item()) > 1e-3:
            break
    else:
        raise SystemExit(f"{name}: every draw comes too close to a kink")
    y = ACTIVATIONS[activation](z)
    if activation != "none":
        assert (y == 0).any(), name
    if activation == "relu6":
        assert (y == 6).any(), name
    grad = draw(rng, *y.shape)
    y.backward(grad)
    parameters = {"op": "batch_norm", "train": train, "activation": activation, "eps": EPS, "momentum": MOMENTUM}
    if before:
        parameters |= {"op": "conv_batch_norm", "pads": pads, "stride": stride, "groups": groups, "dilation": 1}
    after = {"mean_after": mean, "var_after": var} if train else {}
    grads = {f"d{k}": v.grad for k, v in leaves.items()}
    cases.add(name, parameters, leaves | statistics | after | {"grad": grad, "y": y} | grads)


def main():
    cases = Cases()
    conv(cases, "conv_1x1", (2, 5, 4, 3), (7, 5, 1, 1), [0] * 4)
    conv(cases, "conv_1x1_stride2", (2, 4, 5, 6), (3, 4, 1, 1), [0] * 4, stride=2)
    conv(cases, "conv_1x1_bias", (2, 6, 3, 4), (4, 6, 1, 1), [0] * 4, bias=True)
    conv(cases, "conv_3x3", (2, 3, 6, 5), (4, 3, 3, 3), [1] * 4)
    conv(cases, "conv_3x3_valid", (1, 3, 6, 5), (4, 3, 3, 3), [0] * 4)
    conv(cases, "conv_3x3_stride2", (2, 3, 8, 6), (4, 3, 3, 3), [1] * 4, stride=2)
    conv(cases, "conv_3x3_stride2_non_square", (1, 3, 5, 8), (4, 3, 3, 3), [1] * 4, stride=2)
    conv(cases, "conv_3x3_stride2_same_even", (2, 3, 8, 6), (4, 3, 3, 3), same((8, 6), 3, 2), stride=2)
    conv(cases, "conv_3x3_stride2_same_odd", (1, 3, 7, 5), (4, 3, 3, 3), same((7, 5), 3, 2), stride=2)
    conv(cases, "conv_3x3_stride3_uncovered", (1, 2, 8, 8), (3, 2, 3, 3), [0] * 4, stride=3)
    conv(cases, "conv_3x3_bias", (2, 2, 4, 5), (3, 2, 3, 3), [1] * 4, bias=True)
    conv(cases, "conv_3x3_groups2", (2, 4, 5, 4), (6, 2, 3, 3), [1] * 4, groups=2, bias=True)
    conv(cases, "conv_3x3_dilation2", (1, 3, 7, 8), (2, 3, 3, 3), [2] * 4, dilation=2)
    conv(cases, "conv_7x7_stride2", (1, 3, 11, 9), (2, 3, 7, 7), [3] * 4, stride=2)
    conv(cases, "conv_kernel_larger_than_image", (2, 2, 2, 1), (3, 2, 5, 5), [2] * 4)
    for k in (3, 5):
        pad = [k // 2] * 4
        conv(cases, f"depthwise_{k}x{k}", (2, 4, 7, 5), (4, 1, k, k), pad, groups=4)
        conv(cases, f"depthwise_{k}x{k}_bias", (1, 3, 4, 6), (3, 1, k, k), pad, groups=3, bias=True)
        conv(cases, f"depthwise_{k}x{k}_stride2", (2, 4, 7, 9), (4, 1, k, k), pad, stride=2, groups=4)
        conv(cases, f"depthwise_{k}x{k}_stride2_same_even", (2, 3, 8, 6), (3, 1, k, k), same((8, 6), k, 2), stride=2, groups=3)
        conv(cases, f"depthwise_{k}x{k}_stride2_same_odd_even", (1, 3, 9, 6), (3, 1, k, k), same((9, 6), k, 2), stride=2, groups=3)
    conv(cases, "depthwise_3x3_wide", (1, 2, 3, 37), (2, 1, 3, 3), [1] * 4, groups=2)
    conv(cases, "depthwise_5x5_one_pixel", (3, 4, 1, 1), (4, 1, 5, 5), [2] * 4, groups=4)
    conv(cases, "depthwise_3x3_dilation2", (1, 3, 7, 6), (3, 1, 3, 3), [2] * 4, groups=3, dilation=2)
    conv(cases, "depthwise_3x3_multiplier2", (1, 3, 5, 4), (6, 1, 3, 3), [1] * 4, groups=3)
    for activation in ACTIVATIONS:
        norm(cases, f"batch_norm_train_{activation}", (3, 4, 3, 5), True, activation)
        norm(cases, f"batch_norm_eval_{activation}", (2, 4, 3, 5), False, activation)
    norm(cases, "batch_norm_train_2d_like", (8, 5, 1, 1), True, "relu6")
    norm(cases, "conv_batch_norm_train_relu6", (3, 3, 6, 5), True, "relu6", ((4, 3, 3, 3), same((6, 5), 3, 2), 2, 1))
    norm(cases, "conv_batch_norm_train_1x1_relu6", (3, 4, 4, 3), True, "relu6", ((6, 4, 1, 1), [0] * 4, 1, 1))
    norm(cases, "conv_batch_norm_train_1x1_none", (3, 6, 4, 3), True, "none", ((4, 6, 1, 1), [0] * 4, 1, 1))
    norm(cases, "conv_batch_norm_train_depthwise_relu6", (3, 4, 6, 5), True, "relu6", ((4, 1, 5, 5), same((6, 5), 5, 2), 2, 4))
    norm(cases, "conv_batch_norm_eval_relu6", (2, 3, 6, 5), False, "relu6", ((4, 3, 3, 3), [1] * 4, 1, 1))

    rng = np.random.default_rng(11)
    x = draw(rng, 3, 4, 5, 3).requires_grad_()
    y = x.mean((2, 3))
    grad = draw(rng, *y.shape)
    y.backward(grad)
    cases.add("global_avg_pool", {"op": "global_avg_pool"}, {"x": x, "grad": grad, "y": y, "dx": x.grad})
    for name, bias in [("linear", True), ("linear_without_bias", False)]:
        leaves = {"x": draw(rng, 4, 6), "w": draw(rng, 3, 6)} | ({"b": draw(rng, 3)} if bias else {})
        for v in leaves.values():
            v.requires_grad_()
        y = F.linear(leaves["x"], leaves["w"], leaves.get("b"))
        grad = draw(rng, *y.shape)
        y.backward(grad)
        tensors = leaves | {"grad": grad, "y": y} | {f"d{k}": v.grad for k, v in leaves.items()}
        cases.add(name, {"op": "linear", "bias": bias}, tensors)

    save_file(cases.tensors, HERE / "ops.safetensors")
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in cases.index.items())
    (HERE / "ops.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(cases.index)} cases, {(HERE / 'ops.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
