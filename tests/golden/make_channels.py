"""Makes channels.json: backbones of timm's for images of one and four channels, in f64.

    pip install torch timm numpy
    python tests/golden/make_channels.py

Values as in make_backbones.py; the first convolution's are drawn for three channels and adapted by timm's adapt_input_conv. For each
network and number of channels: [height, width], and the features of two images and the gradient of the first convolution's weight,
in evaluation, a row each as in make_backbones.py.
"""

import json

import timm
import torch
from make_architectures import HERE
from make_backbones import summary, values
from timm.models import adapt_input_conv

CASES = {
    "convnext_atto": ("stem.0.weight", 64, 64),
    "mobilenetv2_100": ("conv_stem.weight", 71, 93),
    "repvgg_a0": ("stem.conv_kxk.conv.weight", 64, 64),
    "resnet18": ("conv1.weight", 71, 93),
    "swin_tiny_patch4_window7_224": ("patch_embed.proj.weight", 224, 224),
    "tf_efficientnet_lite0": ("conv_stem.weight", 71, 93),
    "vit_tiny_patch16_224": ("patch_embed.proj.weight", 224, 224),
}


def about(name, first, height, width, channels):
    network = timm.create_model(name, num_classes=0, in_chans=channels)
    state = {}
    for n, t in network.state_dict().items():
        if not t.is_floating_point():
            continue
        shape = tuple(t.shape)
        if len(shape) == 4 and shape[1] == channels and n.startswith(first.split(".")[0]) and "attn" not in n:
            state[n] = adapt_input_conv(channels, values(n, (shape[0], 3, *shape[2:])))
        else:
            state[n] = values(n, shape)
    network.load_state_dict(network.state_dict() | state)
    network = network.double().eval()
    features = network(values("images", (2, channels, height, width)))
    loss = (features * values("weights", tuple(features.shape))).sum()
    gradient = torch.autograd.grad(loss, network.get_parameter(first))[0]
    return [summary(features).tolist(), summary(gradient).tolist()]


table = {
    name: {"first": first, "size": [h, w], "rows": {c: about(name, first, h, w, c) for c in (1, 4)}}
    for name, (first, h, w) in CASES.items()
}
(HERE / "channels.json").write_text(json.dumps(table, indent=1) + "\n")
