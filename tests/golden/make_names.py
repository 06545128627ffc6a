"""Makes names.json: other libraries' names for timm's tensors, and proof that they are right.

    pip install torch timm torchvision transformers efficientnet_pytorch
    python tests/golden/make_names.py

Each case is a small network of another library with random weights and timm's of the same build. The library's tensors are
translated here, by rules of this script's own, loaded into timm's network, and both must give the same features in f64. For files of
a network's authors, timm's own translation is the proof.

names.json, for each case: `tensors`: [timm's name, its shape, the library's names (three are joined), their shape if another];
`needless`: the library's tensors [name, shape] that features do not need; `variance`: added to running variances;
`architecture`, if hydranet has this very network.
"""

import copy
import json
import pathlib
import re
import tempfile

import timm
import torch
import torchvision.models as tv
import transformers as hf
from efficientnet_pytorch import EfficientNet
from efficientnet_pytorch.utils import BlockDecoder, GlobalParams
from safetensors.torch import load_file
from timm.models import convnext, swin_transformer, vision_transformer

HERE = pathlib.Path(__file__).resolve().parent


def blocks_of(target):
    """"stage.block" of timm's blocks in order, and which of them are inverted residual ones."""
    found = sorted({tuple(map(int, n.split(".")[1:3])) for n in target if n.startswith("blocks.")})
    return [f"{s}.{b}" for s, b in found], {f"{s}.{b}" for s, b in found if f"blocks.{s}.{b}.conv_pwl.weight" in target}


def tv_mobile(name, target):
    flat, inverted = blocks_of(target)
    stage, part = re.fullmatch(r"features\.(\d+)\.(.+)", name).groups() if name.startswith("features") else (None, name)
    if stage is None:
        return part.replace("classifier.0", "conv_head") if part.startswith("classifier.0") and "conv_head.bias" in target else None
    if stage == "0":
        return re.sub(r"^0\.", "conv_stem.", re.sub(r"^1\.", "bn1.", part))
    index = int(stage) - 1
    chain, kind = re.fullmatch(r"(?:conv\.|block\.)?(.+)\.(\w+)", part).groups()
    if not part.startswith(("conv.", "block.")):
        if index == len(flat):  # the last convolution of MobileNetV2
            return f"{'conv_head' if chain == '0' else 'bn2'}.{kind}"
        return f"blocks.{flat[index]}.{'conv' if chain == '0' else 'bn1'}.{kind}"
    order = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"] if flat[index] in inverted else ["conv_dw", "bn1", "conv_pw", "bn2"]
    if "fc" in chain:
        return f"blocks.{flat[index]}.se.{'conv_reduce' if 'fc1' in chain else 'conv_expand'}.{kind}"
    # Convolutions and norms of a block, one after the other, whatever their numbers.
    return f"blocks.{flat[index]}.{{{chain}}}.{kind}", order


def in_order(names, target, rename):
    """Renames, where a name says only that it is the n-th of its block."""
    chains, out = {}, {}
    for n in names:
        new = rename(n, target)
        if isinstance(new, tuple):
            block, chain = re.fullmatch(r"(.+?)\.\{(.+)\}\.\w+", new[0]).groups()
            seen = chains.setdefault(block, [])
            if chain not in seen:
                seen.append(chain)
            new = f"{block}.{new[1][seen.index(chain)]}.{n.rsplit('.', 1)[1]}"
        out[n] = new
    return out


def tv_efficientnet(name, target):
    match = re.fullmatch(r"features\.([1-7])\.(\d+)\.block\.(.+)\.(\w+)", name)
    if not match:
        table = {"features.0.0": "conv_stem", "features.0.1": "bn1", "features.8.0": "conv_head", "features.8.1": "bn2"}
        start = name.rsplit(".", 1)
        return f"{table[start[0]]}.{start[1]}" if start[0] in table else None
    stage, block, chain, kind = match.groups()
    where = f"{int(stage) - 1}.{block}"
    if "fc" in chain:
        return f"blocks.{where}.se.{'conv_reduce' if 'fc1' in chain else 'conv_expand'}.{kind}"
    inverted = where in blocks_of(target)[1]
    order = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"] if inverted else ["conv_dw", "bn1", "conv_pw", "bn2"]
    return f"blocks.{where}.{{{chain}}}.{kind}", order


def luke(name, target):
    flat, inverted = blocks_of(target)
    match = re.fullmatch(r"_blocks\.(\d+)\._(\w+)\.(\w+)", name)
    if not match:
        part, kind = name.split(".")
        new = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}.get(part)
        return new and f"{new}.{kind}"
    index, part, kind = match.groups()
    se = {"se_reduce": "se.conv_reduce", "se_expand": "se.conv_expand"}
    if part in se:
        return f"blocks.{flat[int(index)]}.{se[part]}.{kind}"
    order = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"] if flat[int(index)] in inverted else ["conv_dw", "bn1", "conv_pw", "bn2"]
    return f"blocks.{flat[int(index)]}.{{{part}}}.{kind}", order


def regexes(*rules):
    def rename(name, _):
        for pattern, new in rules:
            if re.match(pattern, name):
                return re.sub(pattern, new, name) if new is not None else None
        raise KeyError(name)

    return rename


def shifted(by, text):
    """A replacement in which {n} is group n plus `by`."""
    return lambda m: re.sub(r"\{(\d)\}", lambda g: str(int(m[int(g[1])]) + by), m.expand(text))


TV_CONVNEXT = regexes(
    (r"features\.0\.", "stem."),
    (r"features\.([2-6])\.([01])\.(weight|bias)$", lambda m: f"stages.{int(m[1]) // 2}.downsample.{m[2]}.{m[3]}"),
    (r"features\.(\d)\.(\d+)\.layer_scale", lambda m: f"stages.{int(m[1]) // 2}.blocks.{m[2]}.gamma"),
    (
        r"features\.(\d)\.(\d+)\.block\.(\d)",
        lambda m: f"stages.{int(m[1]) // 2}.blocks.{m[2]}." + {"0": "conv_dw", "2": "norm", "3": "mlp.fc1", "5": "mlp.fc2"}[m[3]],
    ),
    (r"classifier\.0", "head.norm"),
    (r"classifier", None),
)
TV_VIT = regexes(
    (r"class_token", "cls_token"),
    (r"conv_proj", "patch_embed.proj"),
    (r"encoder\.pos_embedding", "pos_embed"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.ln_", r"blocks.\1.norm"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.in_proj_", r"blocks.\1.attn.qkv."),
    (r"encoder\.layers\.encoder_layer_(\d+)\.self_attention\.out_proj", r"blocks.\1.attn.proj"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.0", r"blocks.\1.mlp.fc1"),
    (r"encoder\.layers\.encoder_layer_(\d+)\.mlp\.3", r"blocks.\1.mlp.fc2"),
    (r"encoder\.ln", "norm"),
    (r"heads", None),
)
TV_SWIN = regexes(
    (r".*relative_position_index", None),
    (r"features\.0\.0", "patch_embed.proj"),
    (r"features\.0\.2", "patch_embed.norm"),
    (r"features\.([246])\.", lambda m: f"layers.{int(m[1]) // 2}.downsample."),
    (r"features\.([1357])\.(\d+)\.mlp\.0", lambda m: f"layers.{int(m[1]) // 2}.blocks.{m[2]}.mlp.fc1"),
    (r"features\.([1357])\.(\d+)\.mlp\.3", lambda m: f"layers.{int(m[1]) // 2}.blocks.{m[2]}.mlp.fc2"),
    (r"features\.([1357])\.", lambda m: f"layers.{int(m[1]) // 2}.blocks."),
    (r"norm", "norm"),
    (r"head", None),
)
HF_ATTENTION = {"query": "qkv.0", "key": "qkv.1", "value": "qkv.2"}
HF_VIT = regexes(
    (r"(vit\.)?embeddings\.cls_token", "cls_token"),
    (r"(vit\.)?embeddings\.position_embeddings", "pos_embed"),
    (r"(vit\.)?embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)", lambda m: f"blocks.{m[1]}.attn.{HF_ATTENTION[m[2]]}"),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.attention\.output\.dense", r"blocks.\1.attn.proj"),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.intermediate\.dense", r"blocks.\1.mlp.fc1"),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.output\.dense", r"blocks.\1.mlp.fc2"),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.layernorm_before", r"blocks.\1.norm1"),
    (r"(?:vit\.)?encoder\.layer\.(\d+)\.layernorm_after", r"blocks.\1.norm2"),
    (r"(vit\.)?layernorm", "norm"),
    (r"pooler|classifier", None),
)
HF_DINOV2 = regexes(
    (r"embeddings\.mask_token", None),
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.register_tokens", "reg_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)", lambda m: f"blocks.{m[1]}.attn.{HF_ATTENTION[m[2]]}"),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense", r"blocks.\1.attn.proj"),
    (r"encoder\.layer\.(\d+)\.layer_scale(\d)\.lambda1", r"blocks.\1.ls\2.gamma"),
    (r"encoder\.layer\.(\d+)\.mlp\.weights_in", r"blocks.\1.mlp.fc1"),
    (r"encoder\.layer\.(\d+)\.mlp\.weights_out", r"blocks.\1.mlp.fc2"),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"layernorm", "norm"),
)
HF_CONVNEXT = regexes(
    (r"(convnext\w*\.)?embeddings\.patch_embeddings", "stem.0"),
    (r"(convnext\w*\.)?embeddings\.layernorm", "stem.1"),
    (r"(?:convnext\w*\.)?encoder\.stages\.(\d)\.downsampling_layer", r"stages.\1.downsample"),
    (r"(?:convnext\w*\.)?encoder\.stages\.(\d)\.layers\.(\d+)\.dwconv", r"stages.\1.blocks.\2.conv_dw"),
    (r"(?:convnext\w*\.)?encoder\.stages\.(\d)\.layers\.(\d+)\.layernorm", r"stages.\1.blocks.\2.norm"),
    (r"(?:convnext\w*\.)?encoder\.stages\.(\d)\.layers\.(\d+)\.pwconv", r"stages.\1.blocks.\2.mlp.fc"),
    (r"(?:convnext\w*\.)?encoder\.stages\.(\d)\.layers\.(\d+)\.grn", r"stages.\1.blocks.\2.mlp.grn"),
    (r"(?:convnext\w*\.)?encoder\.stages\.(\d)\.layers\.(\d+)\.layer_scale_parameter", r"stages.\1.blocks.\2.gamma"),
    (r"(convnext\w*\.)?layernorm", "head.norm"),
    (r"classifier", None),
)
HF_SWIN_BLOCK = r"swin\.encoder\.layers\.(\d)\.blocks\.(\d+)\."
HF_SWIN = regexes(
    (r"swin\.embeddings\.patch_embeddings\.projection", "patch_embed.proj"),
    (r"swin\.embeddings\.norm", "patch_embed.norm"),
    (r".*relative_position_index", None),
    (HF_SWIN_BLOCK + r"attention\.self\.(query|key|value)", lambda m: f"layers.{m[1]}.blocks.{m[2]}.attn.{HF_ATTENTION[m[3]]}"),
    (HF_SWIN_BLOCK + r"attention\.self\.", r"layers.\1.blocks.\2.attn."),
    (HF_SWIN_BLOCK + r"attention\.output\.dense", r"layers.\1.blocks.\2.attn.proj"),
    (HF_SWIN_BLOCK + r"layernorm_before", r"layers.\1.blocks.\2.norm1"),
    (HF_SWIN_BLOCK + r"layernorm_after", r"layers.\1.blocks.\2.norm2"),
    (HF_SWIN_BLOCK + r"intermediate\.dense", r"layers.\1.blocks.\2.mlp.fc1"),
    (HF_SWIN_BLOCK + r"output\.dense", r"layers.\1.blocks.\2.mlp.fc2"),
    (r"swin\.encoder\.layers\.(\d)\.downsample", shifted(1, r"layers.{1}.downsample")),
    (r"swin\.layernorm", "norm"),
    (r"classifier", None),
)
HF_RESNET = regexes(
    (r"resnet\.embedder\.embedder\.convolution", "conv1"),
    (r"resnet\.embedder\.embedder\.normalization", "bn1"),
    (r"resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.convolution", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.downsample.0"),
    (r"resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.shortcut\.normalization", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.downsample.1"),
    (r"resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.convolution", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.conv{int(m[3]) + 1}"),
    (r"resnet\.encoder\.stages\.(\d)\.layers\.(\d+)\.layer\.(\d)\.normalization", lambda m: f"layer{int(m[1]) + 1}.{m[2]}.bn{int(m[3]) + 1}"),
    (r"classifier", None),
)
SAME = regexes((r"(fc|classifier|head)\.", None), (r"", ""))


def randomise(network):
    """Random values of every tensor, among them the statistics, of a size that keeps activations in bounds."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, t in network.state_dict().items():
            if not t.is_floating_point():
                continue
            noise = torch.randn(t.shape, generator=generator, dtype=torch.float64)
            if name.endswith("running_var"):
                t.copy_(1 + noise.abs() / 2)
            elif t.ndim > 1:
                t.copy_(noise / max(1, t[0].numel()) ** 0.5)
            elif name.endswith("weight"):
                t.copy_(1 + noise / 4)
            else:
                t.copy_(noise / 4)


def saved(network):
    """The tensors as the library writes them to files."""
    if isinstance(network, hf.PreTrainedModel):
        with tempfile.TemporaryDirectory() as folder:
            network.save_pretrained(folder)
            return load_file(pathlib.Path(folder) / "model.safetensors")
    return network.state_dict()


def case(title, source, features, target, rename, images, variance=0.0, architecture=None):
    source, target = source.double().eval(), target.double().eval()
    randomise(source)
    state = {n: t for n, t in saved(source).items() if not n.endswith("num_batches_tracked")}
    wanted = {n: t for n, t in target.state_dict().items() if not n.endswith("num_batches_tracked")}
    found, needless = {}, []
    for name, new in in_order(state, wanted, rename).items():
        if new is None:
            needless.append(name)
            continue
        part = re.search(r"qkv\.([012])", new)
        new = re.sub(r"qkv\.[012]", "qkv", new)
        found.setdefault(new, {})[int(part[1]) if part else 0] = name
    found = {new: [names[i] for i in sorted(names)] for new, names in found.items()}
    loaded = {new: torch.cat([state[n] for n in names]) for new, names in found.items()}
    if "pos_embed" in wanted and wanted["pos_embed"].shape != loaded["pos_embed"].shape:
        # timm adds no position to this network's class token.
        loaded["cls_token"] = loaded["cls_token"] + loaded["pos_embed"][:, :1]
        loaded["pos_embed"] = loaded["pos_embed"][:, 1:]
    loaded = {new: t.reshape(wanted[new].shape) + (variance if new.endswith("running_var") else 0) for new, t in loaded.items()}
    assert loaded.keys() == wanted.keys(), (title, loaded.keys() ^ wanted.keys())
    target.load_state_dict(target.state_dict() | loaded, strict=True)
    x = torch.randn(images, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        theirs, ours = features(source, x), target(x)
    off = ((theirs - ours).abs().max() / theirs.abs().max()).item()
    print(f"{title}: {len(found)} tensors, features {tuple(ours.shape)} off by {off:.1e}")
    assert off < 1e-9, title
    return entry(found, wanted, state, needless, variance, architecture)


def entry(found, wanted, state, needless, variance=0.0, architecture=None):
    rows = []
    for new in sorted(found):
        shape, names = list(wanted[new].shape), found[new]
        other = list(state[names[0]].shape)
        rows.append([new, shape, names] + ([other] if other != shape else []))
    out = {"tensors": rows, "needless": [[n, list(state[n].shape)] for n in needless if state[n].is_floating_point()]}
    if variance:
        out["variance"] = variance
    if architecture:
        out["architecture"] = architecture
    return out


def original(title, target, filter_fn, rules, needless=()):
    """A file of the authors, made from timm's network by rules backwards; timm's own translation must bring it back."""
    wanted = target.state_dict()
    state, found = {}, {}
    for n, t in wanted.items():
        old = n
        for pattern, new in rules:
            if re.match(pattern, old):
                old = re.sub(pattern, new, old)
                break
        state[old], found[n] = torch.randn(t.shape), [old]
    for name, shape in needless:
        state[name] = torch.randn(shape)
    back = filter_fn(dict(state), target)
    assert {n: back[n].data_ptr() for n in wanted} == {n: state[found[n][0]].data_ptr() for n in wanted}, title
    print(f"{title}: {len(found)} tensors, as timm translates them")
    return entry(found, wanted, state, [n for n, _ in needless])


def lite0():
    blocks = [
        "r1_k3_s11_e1_i32_o16", "r2_k3_s22_e6_i16_o24", "r2_k5_s22_e6_i24_o40", "r3_k3_s22_e6_i40_o80",
        "r3_k5_s11_e6_i80_o112", "r4_k5_s22_e6_i112_o192", "r1_k3_s11_e6_i192_o320",
    ]  # fmt: skip
    options = GlobalParams(
        width_coefficient=1.0, depth_coefficient=1.0, image_size=64, dropout_rate=0.0, num_classes=10,
        batch_norm_momentum=0.99, batch_norm_epsilon=1e-3, drop_connect_rate=0.0, depth_divisor=8, min_depth=None, include_top=True,
    )  # fmt: skip
    network = EfficientNet(BlockDecoder.decode(blocks), options)
    for module in network.modules():
        if hasattr(module, "_swish"):
            module._swish = torch.nn.ReLU6()
    return network


def replaced(network, attribute, module):
    setattr(network, attribute, module)
    return network


def with_(attribute, module):
    def features(network, x):
        return replaced(copy.deepcopy(network), attribute, module(network))(x)

    return features


def none(_):
    return torch.nn.Identity()


def main():
    make = lambda name, **options: timm.create_model(name, num_classes=0, **options)
    pooled = lambda m, x: m(x).pooler_output.flatten(1)
    cases = {}
    cases["torchvision resnet18"] = case(
        "torchvision resnet18", tv.resnet18(num_classes=10), with_("fc", none), make("resnet18"), SAME, (1, 3, 64, 64), architecture="resnet18",
    )
    cases["torchvision mobilenet_v2"] = case(
        "torchvision mobilenet_v2", tv.mobilenet_v2(num_classes=10), with_("classifier", none), make("mobilenetv2_100"),
        tv_mobile, (1, 3, 64, 64), architecture="mobilenetv2_100",
    )
    for size in ("small", "large"):
        cases[f"torchvision mobilenet_v3_{size}"] = case(
            f"torchvision mobilenet_v3_{size}", getattr(tv, f"mobilenet_v3_{size}")(num_classes=10),
            with_("classifier", lambda m: m.classifier[:2]), make(f"mobilenetv3_{size}_100"), tv_mobile, (1, 3, 64, 64), 1e-3 - 1e-5,
        )
    cases["torchvision efficientnet_b0"] = case(
        "torchvision efficientnet_b0", tv.efficientnet_b0(num_classes=10), with_("classifier", none), make("efficientnet_b0"),
        tv_efficientnet, (1, 3, 64, 64),
    )
    setting = [tv.convnext.CNBlockConfig(c, o, n) for c, o, n in [(8, 16, 1), (16, 24, 2), (24, 32, 1), (32, None, 1)]]
    cases["torchvision convnext"] = case(
        "torchvision convnext", tv.ConvNeXt(setting, num_classes=10), with_("classifier", lambda m: m.classifier[:2]),
        make("convnext_tiny", depths=(1, 2, 1, 1), dims=(8, 16, 24, 32)), TV_CONVNEXT, (1, 3, 64, 64),
    )
    cases["torchvision vit"] = case(
        "torchvision vit", tv.VisionTransformer(32, 16, 2, 2, 32, 64, num_classes=10), with_("heads", none),
        make("vit_tiny_patch16_224", img_size=32, embed_dim=32, depth=2, num_heads=2, mlp_ratio=2), TV_VIT, (2, 3, 32, 32),
    )
    cases["torchvision swin"] = case(
        "torchvision swin", tv.SwinTransformer([4, 4], 8, [2, 1, 1, 1], [1, 2, 2, 2], [7, 7], num_classes=10), with_("head", none),
        make("swin_tiny_patch4_window7_224", embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 2)), TV_SWIN, (1, 3, 224, 224),
    )
    vit = dict(hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768, layer_norm_eps=1e-6)
    cases["transformers vit"] = case(
        "transformers vit", hf.ViTForImageClassification(hf.ViTConfig(**vit)), lambda m, x: m.vit(x).last_hidden_state[:, 0],
        make("vit_tiny_patch16_224"), HF_VIT, (1, 3, 224, 224), architecture="vit_tiny_patch16_224",
    )
    small = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=32, layer_norm_eps=1e-6)
    cases["transformers vit with pooler"] = case(
        "transformers vit with pooler", hf.ViTModel(hf.ViTConfig(**small)), lambda m, x: m(x).last_hidden_state[:, 0],
        make("vit_tiny_patch16_224", img_size=32, embed_dim=32, depth=1, num_heads=2, mlp_ratio=2), HF_VIT, (1, 3, 32, 32),
    )
    dino = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=28, patch_size=14)
    like = dict(img_size=28, embed_dim=32, depth=2, num_heads=2)
    first = lambda m, x: m(x).last_hidden_state[:, 0]
    cases["transformers dinov2"] = case(
        "transformers dinov2", hf.Dinov2Model(hf.Dinov2Config(**dino)), first, make("vit_small_patch14_dinov2", **like), HF_DINOV2, (1, 3, 28, 28),
    )
    cases["transformers dinov2 with registers"] = case(
        "transformers dinov2 with registers", hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**dino)), first,
        make("vit_small_patch14_reg4_dinov2", **like), HF_DINOV2, (1, 3, 28, 28),
    )
    atto = dict(hidden_sizes=[40, 80, 160, 320], depths=[2, 2, 6, 2], layer_norm_eps=1e-6)
    cases["transformers convnext"] = case(
        "transformers convnext", hf.ConvNextForImageClassification(hf.ConvNextConfig(**atto)), lambda m, x: m.convnext(x).pooler_output,
        make("convnext_atto"), HF_CONVNEXT, (1, 3, 64, 64), architecture="convnext_atto",
    )
    tiny = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 2, 1], layer_norm_eps=1e-6)
    cases["transformers convnextv2"] = case(
        "transformers convnextv2", hf.ConvNextV2ForImageClassification(hf.ConvNextV2Config(**tiny)), lambda m, x: m.convnextv2(x).pooler_output,
        make("convnextv2_tiny", depths=(1, 1, 2, 1), dims=(8, 16, 24, 32)), HF_CONVNEXT, (1, 3, 64, 64),
    )
    swin = hf.SwinConfig(embed_dim=8, depths=[2, 1, 1, 1], num_heads=[1, 2, 2, 2])
    cases["transformers swin"] = case(
        "transformers swin", hf.SwinForImageClassification(swin), lambda m, x: m.swin(x).pooler_output,
        make("swin_tiny_patch4_window7_224", embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 2)), HF_SWIN, (1, 3, 224, 224),
    )
    resnet = hf.ResNetConfig(hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic")
    cases["transformers resnet"] = case(
        "transformers resnet", hf.ResNetForImageClassification(resnet), lambda m, x: m.resnet(x).pooler_output.flatten(1),
        make("resnet18"), HF_RESNET, (1, 3, 64, 64), architecture="resnet18",
    )
    bottleneck = hf.ResNetConfig(hidden_sizes=[256, 512, 1024, 2048], depths=[1, 1, 1, 1], layer_type="bottleneck")
    cases["transformers resnet of bottlenecks"] = case(
        "transformers resnet of bottlenecks", hf.ResNetForImageClassification(bottleneck), lambda m, x: m.resnet(x).pooler_output.flatten(1),
        make("resnet50", layers=(1, 1, 1, 1)), HF_RESNET, (1, 3, 64, 64),
    )
    head = lambda m, x: m._avg_pooling(m.extract_features(x)).flatten(1)
    cases["efficientnet_pytorch b0"] = case(
        "efficientnet_pytorch b0", EfficientNet.from_name("efficientnet-b0", num_classes=10, image_size=64), head, make("tf_efficientnet_b0"),
        luke, (1, 3, 64, 64),
    )
    cases["efficientnet_pytorch lite0"] = case(
        "efficientnet_pytorch lite0", lite0(), head, make("tf_efficientnet_lite0"), luke, (1, 3, 64, 64), architecture="tf_efficientnet_lite0",
    )
    cases["the ConvNeXt authors' V2"] = original(
        "the ConvNeXt authors' V2", make("convnextv2_tiny", depths=(1, 1, 2, 1), dims=(8, 16, 24, 32)), convnext.checkpoint_filter_fn,
        [
            (r"stem", "downsample_layers.0"),
            (r"stages\.(\d)\.downsample", r"downsample_layers.\1"),
            (r"stages\.(\d)\.blocks\.(\d+)\.conv_dw", r"stages.\1.\2.dwconv"),
            (r"stages\.(\d)\.blocks\.(\d+)\.mlp\.grn\.weight", r"stages.\1.\2.grn.gamma"),
            (r"stages\.(\d)\.blocks\.(\d+)\.mlp\.grn\.bias", r"stages.\1.\2.grn.beta"),
            (r"stages\.(\d)\.blocks\.(\d+)\.mlp\.fc", r"stages.\1.\2.pwconv"),
            (r"stages\.(\d)\.blocks\.", r"stages.\1."),
            (r"head\.norm", "norm"),
        ],
        [("head.weight", (10, 32)), ("head.bias", (10,))],
    )
    cases["the Swin authors'"] = original(
        "the Swin authors'", make("swin_tiny_patch4_window7_224", embed_dim=8, depths=(2, 1, 1, 1), num_heads=(1, 2, 2, 2)),
        swin_transformer.checkpoint_filter_fn,
        [(r"layers\.(\d)\.downsample", shifted(-1, "layers.{1}.downsample"))],
        [("head.weight", (10, 64)), ("head.bias", (10,)), ("layers.0.blocks.1.attn_mask", (64, 49, 49))],
    )
    cases["the DINOv2 authors'"] = original(
        "the DINOv2 authors'", make("vit_small_patch14_dinov2", **like), vision_transformer.checkpoint_filter_fn, [], [("mask_token", (1, 32))],
    )
    path = HERE / "names.json"
    lines = [f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in cases.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(path.stat().st_size)


if __name__ == "__main__":
    main()
