"""Golden values of explanations: Grad-CAM and Grad-CAM++ by pytorch-grad-cam over timm's networks, attention rollout by its formula.

    pip install torch timm numpy safetensors grad-cam opencv-python-headless
    python tests/golden/make_explain.py

writes explain.safetensors: `<network>.<method>.<label>`, every fourth row and column of (H, W), the heat for a label of a linear head of three labels. Weights and
images are those of make_backbones.py, drawn from their names; the map that is looked at is the last one before the pooling, of a
transformer that takes its class token the output of the block before the last.
"""

from pathlib import Path

import cv2
import numpy as np
import timm
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from safetensors.numpy import save_file

from make_backbones import values

OUT = Path(__file__).parent / "explain.safetensors"


def tokens(height, width):
    def reshape(x):
        x = x[:, x.shape[1] - height * width :]
        return x.reshape(x.shape[0], height, width, -1).permute(0, 3, 1, 2)

    return reshape


def last(x):
    return x.permute(0, 3, 1, 2)


def rollout(model, network, images, label):
    """Chefer, Gur and Wolf 2021 (arXiv 2103.15679), equations 5 and 6 for self-attention: R <- R + mean over heads of the positive part
    of gradient times attention, times R; the row of the class token."""
    seen = []
    for block in network.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop = Seen(seen)
    logits = model(images)
    attentions = seen[-len(network.blocks) :]
    gradients = torch.autograd.grad(logits[0, label], attentions)
    reaches = torch.eye(attentions[0].shape[-1])
    for attention, gradient in zip(attentions, gradients):
        reaches = reaches + (attention * gradient).clamp(min=0)[0].mean(0) @ reaches
    patches = network.patch_embed.num_patches
    return reaches[0, -patches:].reshape(network.patch_embed.grid_size).detach().numpy()


class Seen(torch.nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x):
        self.seen.append(x)
        return x


CASES = {
    "tf_efficientnet_lite0": ((96, 64), lambda m: m.bn2, None, {}),
    "resnet18": ((64, 96), lambda m: m.layer4[-1], None, {}),
    "convnext_atto": ((64, 96), lambda m: m.stages[-1], None, {}),
    "mobilenetv3_small_100": ((96, 64), lambda m: m.blocks[-1], None, {}),
    "deit_tiny_patch16_224": ((224, 224), lambda m: m.blocks[-2], tokens(14, 14), {}),
    "swin_tiny_patch4_window7_224": ((224, 224), lambda m: m.layers[-1], last, {}),
}

found = {}
for name, (size, layer, reshape, options) in CASES.items():
    network = timm.create_model(name, num_classes=0, **options)
    state = network.state_dict()
    drawn = {n: values(n, tuple(t.shape)).float() for n, t in state.items() if not n.endswith("num_batches_tracked")}
    # Buffers that follow from the shape are not drawn.
    kept = {n: t for n, t in state.items() if "relative_position_index" in n or "attn_mask" in n}
    network.load_state_dict(state | drawn | kept, strict=True)
    fc = torch.nn.Linear(network.num_features if not hasattr(network, "head_hidden_size") else network.head_hidden_size, 3)
    fc.weight.data = values("heads.mask.fc.weight", tuple(fc.weight.shape)).float()
    fc.bias.data = values("heads.mask.fc.bias", tuple(fc.bias.shape)).float()
    model = torch.nn.Sequential(network, fc).eval()
    images = values("images", (1, 3, *size)).float()
    for method, cam in (("grad_cam", GradCAM), ("grad_cam_plus_plus", GradCAMPlusPlus)):
        with cam(model=model, target_layers=[layer(network)], reshape_transform=reshape) as cam:
            for label in range(3):
                heat = cam(input_tensor=images, targets=[ClassifierOutputTarget(label)])
                found[f"{name}.{method}.{label}"] = np.ascontiguousarray(heat[0, ::4, ::4].astype(np.float32))
    if hasattr(network, "cls_token"):
        for label in range(3):
            heat = rollout(model, network, images, label)
            heat = cv2.resize((heat - heat.min()) / (heat.max() - heat.min()), (size[1], size[0]))
            heat = (heat - heat.min()) / (heat.max() - heat.min())
            found[f"{name}.attention_rollout.{label}"] = np.ascontiguousarray(heat[::4, ::4].astype(np.float32))
save_file(found, OUT)
for key, heat in found.items():
    print(key, heat.shape, heat.min(), heat.mean(), heat.max())
