"""Makes variants_tokens.json: what timm's ConvNeXt, ViT, DINOv2 and Swin variants are, without their values.

    pip install torch timm
    python tests/golden/make_variants_tokens.py

For each variant its parameters, the SHA-256 of its tensors (a line `name shape` each, the shape as 1x2x3, sorted), and what timm's
default configuration says of its input and of the tag of its weights, which is null where there are none.
"""

import hashlib
import json
import pathlib

import timm

HERE = pathlib.Path(__file__).resolve().parent
SIZES = ["atto", "femto", "pico", "nano", "tiny", "small", "base"]
NAMES = [
    *(f"{family}_{size}" for family in ("convnext", "convnextv2") for size in SIZES),
    *(f"{family}_{size}_patch16_224" for family in ("vit", "deit") for size in ("tiny", "small", "base")),
    *(f"deit3_{size}_patch16_224" for size in ("small", "base")),
    *(f"vit_{size}_patch14_{registers}dinov2" for registers in ("", "reg4_") for size in ("small", "base")),
    *(f"swin_{size}_patch4_window7_224" for size in ("tiny", "small")),
]


def variant(name):
    network = timm.create_model(name, num_classes=0)
    config = network.pretrained_cfg
    tensors = {n: t for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    lines = sorted(f"{n} {'x'.join(map(str, t.shape))}\n" for n, t in tensors.items())
    channels, height, width = config["input_size"]
    assert channels == 3 and height == width
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "tensors": hashlib.sha256("".join(lines).encode()).hexdigest(),
        "num_features": network.num_features,
        "mean": config["mean"],
        "std": config["std"],
        "crop_pct": config["crop_pct"],
        "interpolation": config["interpolation"],
        "side": height,
        "tag": config["tag"] if config.get("hf_hub_id") else None,
    }


def main():
    lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(variant(name))}" for name in NAMES)
    (HERE / "variants_tokens.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
