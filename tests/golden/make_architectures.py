"""Makes architectures.json: what timm knows of each architecture, and the names and shapes of its tensors.

    pip install torch timm
    python tests/golden/make_architectures.py
    python tests/golden/make_architectures.py resnet18   # prints one's tensors and writes nothing

For each architecture its tag, the input of its pretrained weights, the width of its features, and of its tensors without classifier
the count, the values of the parameters, and the FNV-1a hash of the lines `name dimension dimension …`, sorted, each with a newline.
"""

import json
import pathlib
import sys

import timm
import torch

HERE = pathlib.Path(__file__).resolve().parent
NAMES = """
convnext_atto
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4
mobilenetv2_050 mobilenetv2_100 mobilenetv2_140
mobilenetv3_large_100 mobilenetv3_small_100
mobilenetv4_conv_medium mobilenetv4_conv_small
repvgg_a0 repvgg_a1 repvgg_b0
resnet18 resnet34 resnet50 resnet18d resnet34d resnet50d
tf_efficientnet_b0 tf_efficientnet_b1 tf_efficientnet_b2 tf_efficientnet_b3 tf_efficientnet_b4
tf_efficientnet_lite0 tf_efficientnet_lite1 tf_efficientnet_lite2 tf_efficientnet_lite3 tf_efficientnet_lite4
vit_tiny_patch16_224
convnext_base convnext_femto convnext_nano convnext_pico convnext_small
convnext_tiny convnextv2_atto convnextv2_base convnextv2_femto convnextv2_nano
convnextv2_pico convnextv2_small convnextv2_tiny deit3_base_patch16_224 deit3_small_patch16_224
deit_base_patch16_224 deit_small_patch16_224 deit_tiny_patch16_224 swin_small_patch4_window7_224 swin_tiny_patch4_window7_224
vit_base_patch14_dinov2 vit_base_patch14_reg4_dinov2 vit_base_patch16_224 vit_small_patch14_dinov2 vit_small_patch14_reg4_dinov2
vit_small_patch16_224
""".split()


def lines(network):
    shapes = {n: t.shape for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    return [" ".join([n, *map(str, shape)]) for n, shape in sorted(shapes.items())]


def fnv(text):
    found = 0xCBF29CE484222325
    for byte in text.encode():
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return f"{found:016x}"


def about(name):
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
        features = network.eval()(torch.zeros(1, *network.pretrained_cfg["input_size"])).shape[1]
    known = network.pretrained_cfg
    tensors = lines(network)
    return tensors, {
        "tag": "" if known["tag"] == "untrained" else known["tag"],
        "num_features": features,
        "side": known["input_size"][-1],
        "crop_pct": known["crop_pct"],
        "interpolation": known["interpolation"],
        "mean": known["mean"],
        "std": known["std"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "tensors": len(tensors),
        "hash": fnv("".join(line + "\n" for line in tensors)),
    }


def main():
    if sys.argv[1:]:
        print("\n".join(about(sys.argv[1])[0]))
        return
    rows = [f' "{name}": {json.dumps(about(name)[1])}' for name in sorted(NAMES)]
    (HERE / "architectures.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
