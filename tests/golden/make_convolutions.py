"""Makes convolutions.safetensors and convolutions.json: kinds of convolution that make_ops.py leaves out, from PyTorch in f64.

    pip install torch numpy safetensors
    python tests/golden/make_convolutions.py

convolutions.json: for each case its parameters; stride and dilation are (vertical, horizontal), pads [top, bottom, left, right].
convolutions.safetensors: `<case>.<tensor>` with x, w, b (where there is a bias), grad (the gradient of the output), y, dx, dw, db.
What is given is drawn and stored as f32, so a case serves f32 and f64 alike; what is found is f64.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).resolve().parent
TENSORS, INDEX = {}, {}


def draw(rng, *shape, scale=1.0):
    return torch.from_numpy((rng.normal(size=shape) * scale).astype(np.float32).astype(np.float64))


def conv(name, x, w, pads=(0, 0, 0, 0), stride=(1, 1), dilation=(1, 1), groups=1):
    """Every second case has a bias."""
    assert name not in INDEX, name
    rng = np.random.default_rng(list(name.encode()))
    leaves = {"x": draw(rng, *x), "w": draw(rng, *w, scale=0.5)}
    if len(INDEX) % 2 == 1:
        leaves["b"] = draw(rng, w[0])
    for v in leaves.values():
        v.requires_grad_()
    top, bottom, left, right = pads
    padded = F.pad(leaves["x"], (left, right, top, bottom))
    y = F.conv2d(padded, leaves["w"], leaves.get("b"), stride, 0, dilation, groups)
    grad = draw(rng, *y.shape)
    y.backward(grad)
    INDEX[name] = {"stride": stride, "pads": pads, "dilation": dilation, "groups": groups}
    # Half the size, and exact.
    given = {k: v.detach().float() for k, v in (leaves | {"grad": grad}).items()}
    found = {"y": y.detach()} | {f"d{k}": v.grad for k, v in leaves.items()}
    for k, v in (given | found).items():
        TENSORS[f"{name}.{k}"] = v.clone().contiguous()


def main():
    ones = (1, 1, 1, 1)
    conv("kernel_1x3", (2, 2, 4, 5), (3, 2, 1, 3), (0, 0, 1, 1))
    conv("kernel_3x1_stride_1x2", (1, 2, 5, 6), (2, 2, 3, 1), (1, 1, 0, 0), (1, 2))
    conv("kernel_2x4_stride_2x1", (1, 3, 5, 6), (2, 3, 2, 4), (1, 0, 2, 1), (2, 1))
    conv("kernel_3x2_stride_3x2_dilation_1x2", (1, 2, 7, 8), (3, 2, 3, 2), ones, (3, 2), (1, 2))
    conv("stem_3x3_stride2_non_square", (1, 3, 5, 8), (4, 3, 3, 3), ones, (2, 2))
    conv("groups2_dilation2", (1, 4, 6, 5), (6, 2, 3, 3), (2, 2, 2, 2), (1, 1), (2, 2), 2)
    conv("groups3_stride2", (2, 6, 5, 4), (3, 2, 3, 3), ones, (2, 2), (1, 1), 3)
    conv("groups2_pointwise", (2, 4, 3, 4), (6, 2, 1, 1), groups=2)
    conv("groups2_kernel_1x3_dilation_1x2", (1, 4, 3, 7), (2, 2, 1, 3), (0, 0, 2, 2), (1, 1), (1, 2), 2)
    conv("multiplier3", (1, 2, 5, 4), (6, 1, 3, 3), ones, groups=2)
    conv("multiplier2_stride_2x1", (2, 3, 5, 4), (6, 1, 3, 2), (1, 1, 1, 0), (2, 1), (1, 1), 3)
    conv("multiplier2_dilation2", (1, 2, 6, 5), (4, 1, 3, 3), (2, 2, 2, 2), (1, 1), (2, 2), 2)
    conv("depthwise_dilation2", (2, 3, 6, 5), (3, 1, 3, 3), (2, 2, 2, 2), (1, 1), (2, 2), 3)
    conv("depthwise_dilation_1x3_stride_2x1", (1, 3, 5, 9), (3, 1, 3, 3), (1, 1, 3, 3), (2, 1), (1, 3), 3)
    conv("depthwise_7x7", (1, 3, 8, 7), (3, 1, 7, 7), (3, 3, 3, 3), groups=3)
    conv("depthwise_1x5_stride_1x2", (2, 2, 3, 9), (2, 1, 1, 5), (0, 0, 2, 2), (1, 2), groups=2)
    conv("depthwise_5x1_stride_2x3", (1, 3, 7, 5), (3, 1, 5, 1), (2, 2, 0, 0), (2, 3), groups=3)
    conv("depthwise_padding_larger_than_kernel", (1, 2, 3, 4), (2, 1, 3, 3), (4, 3, 5, 2), (2, 1), groups=2)
    conv("padding_larger_than_kernel", (1, 2, 3, 2), (3, 2, 2, 3), (3, 4, 2, 5), (2, 3))
    conv("pointwise_padded", (1, 3, 3, 4), (2, 3, 1, 1), ones)
    conv("one_pixel_3x3", (2, 3, 1, 1), (2, 3, 3, 3), ones)
    conv("one_row", (2, 2, 1, 7), (3, 2, 1, 3), (0, 0, 1, 1), (1, 2))
    conv("one_column", (2, 2, 6, 1), (3, 2, 3, 3), ones)
    conv("one_channel", (2, 1, 4, 5), (1, 1, 3, 3), ones, (2, 1))
    conv("patches_4x4", (2, 3, 8, 12), (5, 3, 4, 4), stride=(4, 4))
    conv("patches_uncovered", (1, 3, 7, 9), (4, 3, 3, 3), stride=(3, 3))
    save_file(TENSORS, HERE / "convolutions.safetensors")
    lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v)}" for k, v in INDEX.items())
    (HERE / "convolutions.json").write_text("{\n" + lines + "\n}\n")
    print(f"{len(INDEX)} cases, {(HERE / 'convolutions.safetensors').stat().st_size} bytes")


if __name__ == "__main__":
    main()
