"""Makes int8.json: convolutions in eight bits as ONNX Runtime's QLinearConv computes them.

    pip install onnx onnxruntime numpy
    python tests/golden/make_int8.py

Each case: its geometry, weights `w` (O, C / groups, kh, kw) of i8 with a scale for each output channel, the input `x` (C, H, W)
of u8, what the bytes of input and output mean (`scale`, `zero`), `bias` in units of input scale times weight scale, and `y`
(O, H', W'). Run it on a processor with VNNI, or weights are kept to 7 bits: without it ONNX Runtime's products of u8 and i8
saturate.
"""

import json
import pathlib

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent


def conv(name, c, o, k, groups, stride, pads, size):
    rng = np.random.default_rng(list(name.encode()))
    h, w = size
    x = rng.integers(0, 256, (1, c, h, w), dtype=np.uint8)
    q = rng.integers(-127, 128, (o, c // groups, k, k), dtype=np.int8)
    scales = (0.002 + 0.004 * rng.random(o)).astype(np.float32)
    bias = rng.integers(-3000, 3000, o, dtype=np.int32)
    x_scale, x_zero = np.float32(0.0235), np.uint8(int(rng.integers(0, 200)))
    deviation = 74 * 73 * np.sqrt(c // groups * k * k) * float(scales.mean()) * float(x_scale)
    y_scale, y_zero = np.float32(deviation * 5 / 255), np.uint8(int(rng.integers(60, 190)))
    given = {
        "x_scale": x_scale, "x_zero": x_zero, "w": q, "w_scale": scales, "w_zero": np.zeros(o, np.int8),
        "y_scale": y_scale, "y_zero": y_zero, "b": bias,
    }
    names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero", "b"]
    top, bottom, left, right = pads
    node = helper.make_node(
        "QLinearConv", names, ["y"], group=groups, strides=list(stride), pads=[top, left, bottom, right], kernel_shape=[k, k]
    )
    graph = helper.make_graph(
        [node], name,
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(v), n) for n, v in given.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": x})
    return {
        "name": name, "channels": [c, o], "kernel": k, "groups": groups, "stride": stride, "padding": pads,
        "size": [h, w], "out": list(y.shape[2:]), "x": x.ravel().tolist(), "w": q.ravel().tolist(),
        "w_scale": [float(v) for v in scales], "bias": bias.tolist(), "x_scale": float(x_scale), "x_zero": int(x_zero),
        "y_scale": float(y_scale), "y_zero": int(y_zero), "y": y.ravel().tolist(),
    }


def main():
    cases = [
        conv("pointwise", 37, 21, 1, 1, (1, 1), (0, 0, 0, 0), (3, 5)),
        conv("stem 3x3 stride 2", 3, 16, 3, 1, (2, 2), (0, 1, 0, 1), (9, 8)),
        conv("dense 3x3", 8, 5, 3, 1, (1, 1), (1, 1, 1, 1), (4, 5)),
        conv("depthwise 3x3", 19, 19, 3, 19, (1, 1), (1, 1, 1, 1), (5, 4)),
        conv("depthwise 5x5 stride 2", 17, 17, 5, 17, (2, 2), (1, 2, 1, 2), (7, 6)),
    ]
    lines = ",\n".join(f" {json.dumps(case)}" for case in cases)
    (HERE / "int8.json").write_text("[\n" + lines + "\n]\n")
    print(f"{len(cases)} cases, {(HERE / 'int8.json').stat().st_size} bytes")


if __name__ == "__main__":
    main()
