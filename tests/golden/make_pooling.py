"""Golden values of the poolings that a head can have, and the stages of networks as timm's `features_only` counts them.

    pip install torch timm
    python tests/golden/make_pooling.py

Writes `pooling.json`. The generalised mean is `((x.clamp(min=eps) ** p).mean(-1)) ** (1 / p)`, the formula of Radenović et al. 2018
and of their code; attention is `softmax(q · x / √C) · x`. Gradients are autograd's, of the sum of result · weights.
Made with torch 2.15.0, timm 1.0.31.
"""

import json
import pathlib

import timm
import torch

HERE = pathlib.Path(__file__).resolve().parent
EPS = 1e-6
NETWORKS = [
    "tf_efficientnet_lite0",
    "efficientnet_b0",
    "mobilenetv2_050",
    "mobilenetv3_small_100",
    "mobilenetv3_large_100",
    "mobilenetv4_conv_small",
    "resnet18",
    "resnet50d",
    "repvgg_a0",
    "fastvit_t8",
    "convnext_tiny",
    "convnextv2_atto",
    "swin_tiny_patch4_window7_224",
]


def gem(x, p):
    return (x.clamp(min=EPS) ** p).mean(-1) ** (1 / p)


def attention(x, q):
    scores = torch.einsum("c,bcn->bn", q, x) / x.shape[1] ** 0.5
    return torch.einsum("bn,bcn->bc", scores.softmax(-1), x)


def case(f, x, parameter):
    x, parameter = x.clone().requires_grad_(), parameter.clone().requires_grad_()
    y = f(x, parameter)
    weights = torch.randn_like(y)
    (y * weights).sum().backward()
    values = [x, parameter, y, weights, x.grad, parameter.grad]
    names = ["x", "parameter", "y", "weights", "dx", "dparameter"]
    return {name: value.detach().flatten().tolist() for name, value in zip(names, values)}


def stages(name):
    """The last map of each reduction, as log2 of the reduction and channels."""
    info = timm.create_model(name, features_only=True, pretrained=False).feature_info
    return [[r.bit_length() - 1, c] for r, c in zip(info.reduction(), info.channels())]


def main():
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float64)
    x = torch.randn(2, 4, 6) * 2
    golden = {
        "shape": list(x.shape),
        "gem": [case(gem, x, torch.tensor([p])) for p in [1.0, 3.0, 7.5]],
        # Powers that are beyond a single-precision number.
        "gem_of_large_values": case(gem, x.abs() * 1e5, torch.tensor([9.0])),
        "attention": [case(attention, x, q) for q in [torch.zeros(4), torch.randn(4) * 3]],
    }
    torch.set_default_dtype(torch.float32)
    golden["stages"] = {name: stages(name) for name in NETWORKS}
    text = json.dumps(golden, indent=1)
    (HERE / "pooling.json").write_text(text + "\n")


main()
