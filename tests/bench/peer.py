"""The peers of hydranet's benchmark: PyTorch and ONNX Runtime, on the same work.

    pip install torch timm onnx onnxscript onnxruntime
    cargo bench --bench step -- --python python

The benchmark starts one process a contestant. Each line of its input is a number of seconds to work for; the answer is
"<images a second> <peak memory in MiB>". Images are random and already in memory: decoding is not measured.
"""

import argparse
import io
import resource
import sys
import time

import numpy as np

LABELS = [3, 2, 3]


def peak_mib():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:  # not Linux; macOS counts in bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def network(args):
    import timm
    import torch

    torch.manual_seed(0)
    options = {"img_size": args.size} if args.networks.startswith(("deit", "vit")) else {}
    if args.networks.startswith("swin"):
        options = {"dynamic_img_size": True}
    backbone = timm.create_model(args.networks, pretrained=False, num_classes=0, **options)
    heads = torch.nn.ModuleList(torch.nn.Linear(backbone.head_hidden_size, n) for n in LABELS)
    return backbone, heads


def with_torch(args):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    backbone, heads = network(args)
    layout = torch.channels_last if "channels_last" in args.contestant else torch.contiguous_format
    backbone.to(memory_format=layout)
    images = torch.randn(args.batch, 3, *args.size).to(memory_format=layout)
    targets = [torch.randint(n, (args.batch,)) for n in LABELS]
    optimiser = torch.optim.AdamW([*backbone.parameters(), *heads.parameters()], lr=1e-4, weight_decay=0.01)

    def train():
        optimiser.zero_grad()
        features = backbone(images)
        sum(F.cross_entropy(head(features), t) for head, t in zip(heads, targets)).backward()
        optimiser.step()

    @torch.inference_mode()
    def infer():
        features = backbone(images)
        return [head(features) for head in heads]

    training = args.modes == "train"
    backbone.train(training)
    return train if training else infer


def onnx_bytes(args, images):
    import torch

    backbone, heads = network(args)

    class Whole(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone, self.heads = backbone, heads

        def forward(self, images):
            features = self.backbone(images)
            return tuple(head(features) for head in self.heads)

    file = io.BytesIO()
    torch.onnx.export(Whole().eval(), (images,), file, input_names=["images"], dynamo=False)
    return file.getvalue()


def session_options(args):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    return options


def with_onnxruntime(args):
    import onnxruntime
    import torch

    images = torch.randn(args.batch, 3, *args.size)
    model = onnx_bytes(args, images)
    session = onnxruntime.InferenceSession(model, session_options(args), providers=["CPUExecutionProvider"])
    values = np.asarray(images.numpy())
    return lambda: session.run(None, {"images": values})


def quantised(args):
    """Statically, weights by channel in i8, activations in u8, calibrated on random images; "qdq" or "qoperator"."""
    import pathlib
    import tempfile

    import onnxruntime
    import torch
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Images(CalibrationDataReader):
        def __init__(self):
            self.left = 2

        def get_next(self):
            self.left -= 1
            return {"images": np.random.randn(args.batch, 3, *args.size).astype(np.float32)} if self.left >= 0 else None

    form = QuantFormat.QDQ if "qdq" in args.contestant else QuantFormat.QOperator
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, small = (str(pathlib.Path(folder) / f"{name}.onnx") for name in ("plain", "prepared", "small"))
        pathlib.Path(plain).write_bytes(onnx_bytes(args, torch.randn(args.batch, 3, *args.size)))
        quant_pre_process(plain, prepared)
        quantize_static(
            prepared, small, Images(), quant_format=form, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
        )
        session = onnxruntime.InferenceSession(small, session_options(args), providers=["CPUExecutionProvider"])
    values = np.random.randn(args.batch, 3, *args.size).astype(np.float32)
    return lambda: session.run(None, {"images": values})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--contestant", required=True)
    parser.add_argument("--networks", required=True)
    parser.add_argument("--modes", required=True, choices=["train", "infer", "int8"])
    parser.add_argument("--batch", type=int, required=True)
    parser.add_argument("--size", type=lambda s: tuple(int(n) for n in s.split("x")), required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    if args.modes == "int8":
        work = quantised(args)
    else:
        work = with_onnxruntime(args) if args.contestant == "onnxruntime" else with_torch(args)
    work()
    for line in sys.stdin:
        seconds, start, steps = float(line), time.perf_counter(), 0
        while steps == 0 or time.perf_counter() - start < seconds:
            work()
            steps += 1
        rate = steps * args.batch / (time.perf_counter() - start)
        print(rate, peak_mib(), flush=True)


if __name__ == "__main__":
    main()
