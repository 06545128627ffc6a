"""Fine-tuning by PyTorch and timm: the same photos, sides, weights and size as a run of hydranet, a linear head each.

    pip install numpy pillow safetensors scikit-learn timm torch
    hydranet init garments.csv --out heads
    hydranet train --data garments.csv --heads heads --out run
    hydranet evaluate --model run/best.safetensors --data garments.csv --out run/test
    python tests/bench/fine_tune_peer.py --split run/split.csv --listing garments.csv --photo images/{image} \
        --heads garment=label kids=kids --unknown "Not sure" Skip Other --size 160 160 --epochs 3 --out peer.csv

The recipe is the plain one: cross-entropy, dropout 0.2, left-right flip, mix-up (alpha 0.2), AdamW, one cycle of learning rates
(peak `--lr` for the backbone, 2e-3 for the heads), weight decay 0.01, batches of 32, the epoch of the best accuracy of the final
class on the validation side, as timm's own script has it. Photos are decoded and resized once, before the time is taken. Labels
are those of the training side.
Printed is JSON: scores on the test side and seconds of training; `--out` gets a line a test photo: path, true and predicted class.
"""

import argparse
import csv
import json
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, f1_score


def scores(truth, found):
    return {"macro_f1": f1_score(truth, found, average="macro"), "accuracy": accuracy_score(truth, found), "photos": len(truth)}


def load(path, size):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(image.resize((size[1], size[0]), Image.BICUBIC))


class Net(torch.nn.Module):
    def __init__(self, weights, heads):
        super().__init__()
        self.backbone = timm.create_model("tf_efficientnet_lite0", num_classes=0)
        tensors = load_file(weights)
        missing, _ = self.backbone.load_state_dict(tensors, strict=False)
        assert not missing, missing
        self.heads = torch.nn.ModuleList(torch.nn.Linear(self.backbone.num_features, n) for n in heads)

    def forward(self, x):
        x = F.dropout(self.backbone(x), 0.2, self.training)
        return [head(x) for head in self.heads]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--split", required=True)
    parser.add_argument("--listing", required=True)
    parser.add_argument("--photo", required=True, help="a path relative to the listing, with columns in braces")
    parser.add_argument("--heads", required=True, nargs="+", help="NAME=COLUMN")
    parser.add_argument("--unknown", nargs="*", default=[])
    parser.add_argument("--weights", default="weights/tf_efficientnet_lite0.in1k.safetensors")
    parser.add_argument("--size", type=int, nargs=2, default=[160, 160])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=5e-4, help="of the backbone, at its peak")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)

    folder = Path(args.listing).resolve().parent
    with open(args.split, newline="") as file:
        side = {row["path"]: row["split"] for row in csv.DictReader(file)}
    heads = dict(head.split("=") for head in args.heads)
    rows = {"train": [], "valid": [], "test": []}
    with open(args.listing, newline="") as file:
        for row in csv.DictReader(file):
            name = args.photo.format(**row)
            labels = [row[c] if row[c] not in args.unknown else "" for c in heads.values()]
            if name in side:
                rows[side[name]].append((name, labels))
    names = [sorted({labels[h] for _, labels in rows["train"]} - {""}) for h in range(len(heads))]
    place = [{name: i for i, name in enumerate(of_head)} for of_head in names]
    pixels = {s: np.stack([load(folder / name, args.size) for name, _ in rows[s]]) for s in rows}
    target = {
        s: np.array([[place[h].get(labels[h], -1) for h in range(len(heads))] for _, labels in rows[s]]) for s in rows
    }

    def tensor(photos):
        return (torch.from_numpy(photos).permute(0, 3, 1, 2).float() - 127.0) / 128.0

    net = Net(args.weights, [len(of_head) for of_head in names])
    decay = lambda named: [
        {"params": [p for p in named if p.ndim > 1], "weight_decay": 0.01},
        {"params": [p for p in named if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [{**g, "lr": args.lr} for g in decay(list(net.backbone.parameters()))]
    groups += [{**g, "lr": 2e-3} for g in decay(list(net.heads.parameters()))]
    optimizer = torch.optim.AdamW(groups)
    steps = len(pixels["train"]) // 32
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [g["lr"] for g in groups], total_steps=steps * args.epochs, pct_start=0.3, cycle_momentum=False
    )

    def predict(s):
        net.eval()
        with torch.no_grad():
            parts = [net(tensor(pixels[s][i : i + 64])) for i in range(0, len(pixels[s]), 64)]
        return np.stack([torch.cat([p[h] for p in parts]).argmax(1).numpy() for h in range(len(heads))], 1)

    def final(s, found):
        known = (target[s] >= 0).all(1)
        word = lambda labels: "/".join(names[h][i] for h, i in enumerate(labels))
        paths = [path for (path, _), k in zip(rows[s], known) if k]
        # A label that no photo of training has is not known to the model, and counts as wrong.
        return paths, [word(t) for t in target[s][known]], [word(f) for f in found[known]]

    start, best = time.time(), None
    for epoch in range(args.epochs):
        net.train()
        order = rng.permutation(len(pixels["train"]))
        for step in range(steps):
            chosen = order[32 * step : 32 * step + 32]
            x, y = tensor(pixels["train"][chosen]), torch.from_numpy(target["train"][chosen])
            flip = torch.from_numpy(rng.random(len(chosen)) < 0.5)
            x[flip] = x[flip].flip(3)
            lam = rng.beta(0.2, 0.2)
            out = net(lam * x + (1 - lam) * x.flip(0))
            loss = 0
            for h, logits in enumerate(out):
                own, other = y[:, h], y.flip(0)[:, h]
                share = lam * F.cross_entropy(logits, own, ignore_index=-1, reduction="sum")
                share = share + (1 - lam) * F.cross_entropy(logits, other, ignore_index=-1, reduction="sum")
                loss = loss + share / max(1, int((own >= 0).sum()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        _, truth, found = final("valid", predict("valid"))
        score = accuracy_score(truth, found)
        if best is None or score > best[0]:
            best = (score, epoch + 1, {k: v.clone() for k, v in net.state_dict().items()})
    seconds = time.time() - start
    net.load_state_dict(best[2])
    found = predict("test")
    paths, truth, final_found = final("test", found)
    result = {"seconds": round(seconds, 1), "best_epoch": best[1], "final class": scores(truth, final_found)}
    for h, name in enumerate(heads):
        known = target["test"][:, h] >= 0
        result[name] = scores(target["test"][known, h], found[known, h])
    with open(args.out, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "truth", "found"])
        writer.writerows(zip(paths, truth, final_found))
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
