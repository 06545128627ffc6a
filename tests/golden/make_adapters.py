"""Makes adapters.json and adapters.safetensors: networks of candle's beside timm's and transformers'.

    pip install torch timm transformers numpy safetensors
    python tests/golden/make_adapters.py

adapters.json: for each plugged-in backbone whose weights come from timm or transformers, the names and shapes of its tensors as in
architectures.json (make_architectures.py): count and FNV-1a hash.
adapters.safetensors: features of small networks and of a whole one, f64 rounded to f32, on the images and tensors of
make_backbones.py, two images each. Where candle computes another function on purpose (GELU by tanh, an ε) so does this script.
"""

import functools
import json

import timm
import torch
from make_architectures import HERE, fnv, lines
from make_backbones import values
from safetensors.torch import save_file
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from transformers import CLIPVisionConfig, CLIPVisionModel, SiglipVisionConfig, SiglipVisionModel

TIMM = {
    "dinov2_vitb14_reg4": "vit_base_patch14_reg4_dinov2",
    "dinov2_vits14": "vit_small_patch14_dinov2",
    "dinov2_vits14_reg4": "vit_small_patch14_reg4_dinov2",
    **{
        name: name
        for name in """convnext_large convnext_xlarge eva02_base_patch14_448 eva02_large_patch14_448 mobilenetv4_conv_large
        mobileone_s1 mobileone_s2 mobileone_s3""".split()
    },
}
CLIP_LARGE = dict(
    hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, image_size=336, patch_size=14
)
WHOLE = {
    "vit_base_patch32_clip_224": lambda: CLIPVisionModel(CLIPVisionConfig()),
    "vit_large_patch14_clip_336": lambda: CLIPVisionModel(CLIPVisionConfig(**CLIP_LARGE)),
    "vit_base_patch16_siglip_224": lambda: SiglipVisionModel(SiglipVisionConfig()),
}
SMALL = dict(
    hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16
)


class Dino(VisionTransformer):
    """As candle's: the class token, without registers beside the mean of the patches."""

    def __init__(self, registers):
        eps = 1e-6 if registers else 1e-5
        norm = functools.partial(torch.nn.LayerNorm, eps=eps)
        super().__init__(
            img_size=518, patch_size=14, embed_dim=12, depth=2, num_heads=2, init_values=1e-5, num_classes=0,
            reg_tokens=registers, no_embed_class=registers > 0, norm_layer=norm,
        )

    def forward_head(self, x, pre_logits=False):
        return x[:, 0] if self.num_reg_tokens else torch.cat([x[:, 0], x[:, 1:].mean(1)], 1)


def named(state):
    """transformers 5 has left out a prefix that files of weights have."""
    return {n if n.startswith("vision_model.") else f"vision_model.{n}": t for n, t in state.items()}


def features(network, side, prefix=lambda n: n):
    state = network.state_dict()
    drawn = {n: values(prefix(n), tuple(t.shape)) for n, t in state.items() if t.is_floating_point()}
    network.load_state_dict(state | drawn)
    for module in network.modules():
        if isinstance(module, torch.nn.GELU):
            module.approximate = "tanh"
    network = network.double().eval()
    with torch.no_grad():
        found = network(values("images", (2, 3, side, side)))
    found = found if torch.is_tensor(found) else found.pooler_output
    return found.float().contiguous()


def of_vision(name):
    return name if name.startswith("vision_model.") else f"vision_model.{name}"


def main():
    table = {}
    with torch.device("meta"):
        for name, theirs in TIMM.items():
            table[name] = lines(timm.create_model(theirs, num_classes=0))
        for name, build in WHOLE.items():
            state = {n: t for n, t in named(build().state_dict()).items() if t.is_floating_point()}
            table[name] = [" ".join([n, *map(str, t.shape)]) for n, t in sorted(state.items())]
    table = {n: [len(found), fnv("".join(f"{line}\n" for line in found))] for n, found in sorted(table.items())}
    (HERE / "adapters.json").write_text(json.dumps(table, indent=1) + "\n")

    eva = Eva(
        img_size=448, patch_size=14, embed_dim=64, depth=2, num_heads=1, num_classes=0, qkv_fused=False, mlp_ratio=4 * 2 / 3,
        swiglu_mlp=True, scale_mlp=True, use_rot_pos_emb=True, ref_feat_shape=(16, 16),
    )
    golden = {
        "clip": features(CLIPVisionModel(CLIPVisionConfig(**SMALL)), 32, of_vision),
        "siglip": features(SiglipVisionModel(SiglipVisionConfig(**SMALL)), 32, of_vision),
        "eva02": features(eva, 448),
        "dinov2": features(Dino(0), 518),
        "dinov2_registers": features(Dino(4), 518),
        "mobileone_s1": features(timm.create_model("mobileone_s1", num_classes=0), 64),
    }
    save_file(golden, HERE / "adapters.safetensors")
    for name, found in golden.items():
        print(name, tuple(found.shape), float(found.std()), found[0, :3].tolist())


if __name__ == "__main__":
    main()
