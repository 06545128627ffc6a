"""Do gates between heads pay? Heads side by side, over one shared layer, behind a mixture of experts, and cross-stitched.

    pip install numpy pillow safetensors scikit-learn scipy timm torch
    python tests/bench/gates.py --listing hydranet-demo/portraits.csv --weights weights/tf_efficientnet_lite0.in1k.safetensors
    hydranet train --data faces.csv --frozen --out run --set train.feature_cache=kept
    python tests/bench/gates.py --listing faces.csv --features kept/*.features

The listing has the columns path, person, mask, gender and age in years; bands are under 30, 30 to 59, 60 and over. With `--weights`
timm's EfficientNet-Lite0 is trained whole (`--size`, six epochs, flips), with `--features` the features that a frozen training of
hydranet kept are the input (fifteen epochs). Ways, all with hidden layers of one width and dropout before and after:

- `linear`: a linear layer a head, as hydranet has it;
- `own`: a hidden layer of each head's own;
- `shared`: one hidden layer for all heads, as wide as theirs together;
- `mmoe`: as many experts as heads, and a gate of each head's own over them (Ma et al. 2018);
- `stitch`: the hidden layers of `own`, mixed by a matrix that is learnt, 0.9 on its diagonal at first (Misra et al. 2016).

Five folds by person, each seed with folds of its own; every way has the same folds, seeds and order of photos. Printed is JSON:
macro F1 of each head and of the final class, and the paired difference of each way to `own` (and to `linear`) with the t interval
at 95 % that is corrected for overlapping training sets (Nadeau and Bengio 2003).
"""

import argparse
import csv
import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file
from scipy import stats
from sklearn.metrics import f1_score

from frozen_peer import kept

HEADS = ["mask", "gender", "age"]
WAYS = ["linear", "own", "shared", "mmoe", "stitch"]
FOLDS = 5
BATCH = 32


class Heads(torch.nn.Module):
    def __init__(self, way, width, hidden, labels):
        super().__init__()
        self.way, count = way, len(labels)
        inner = {"linear": width, "shared": hidden * count}.get(way, hidden)
        layers = {"linear": 0, "shared": 1}.get(way, count)
        self.hidden = torch.nn.ModuleList(torch.nn.Linear(width, inner) for _ in range(layers))
        self.last = torch.nn.ModuleList(torch.nn.Linear(inner, n) for n in labels)
        if way == "mmoe":
            self.gates = torch.nn.ModuleList(torch.nn.Linear(width, layers) for _ in labels)
        if way == "stitch":
            self.mix = torch.nn.Parameter(torch.eye(count) * (0.9 - 0.1 / (count - 1)) + 0.1 / (count - 1))

    def forward(self, x):
        drop = lambda h: F.dropout(h, 0.2, self.training)
        x = drop(x)
        if self.way == "linear":
            return [last(x) for last in self.last]
        hidden = torch.stack([F.relu(layer(x)) for layer in self.hidden])
        if self.way == "shared":
            hidden = hidden.expand(len(self.last), -1, -1)
        elif self.way == "mmoe":
            hidden = torch.stack([torch.einsum("be,ebh->bh", gate(x).softmax(1), hidden) for gate in self.gates])
        elif self.way == "stitch":
            hidden = torch.einsum("oi,ibh->obh", self.mix, hidden)
        return [last(drop(h)) for last, h in zip(self.last, hidden)]


def run(args, way, seed, x, y, train, test):
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    if args.weights:
        backbone = timm.create_model("tf_efficientnet_lite0", num_classes=0)
        missing, _ = backbone.load_state_dict(load_file(args.weights), strict=False)
        assert not missing, missing
        width, ready = backbone.num_features, lambda x: (torch.from_numpy(x).permute(0, 3, 1, 2).float() - 127.0) / 128.0
    else:
        mean, spread = x[train].mean(0), x[train].std(0) + 1e-6
        backbone, width, ready = torch.nn.Identity(), x.shape[1], lambda x: torch.from_numpy((x - mean) / spread)
    net = Heads(way, width, args.hidden, [int(y[:, h].max()) + 1 for h in range(len(HEADS))])
    groups = [{"params": backbone.parameters(), "lr": 1.5e-3}] if args.weights else []
    groups.append({"params": net.parameters(), "lr": 2e-3})
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    steps, epochs = len(train) // BATCH, 6 if args.weights else 15
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [g["lr"] for g in groups], total_steps=steps * epochs, pct_start=0.3, cycle_momentum=False
    )
    for _ in range(epochs):
        backbone.train(), net.train()
        order = rng.permutation(train)
        for step in range(steps):
            chosen = order[BATCH * step : BATCH * (step + 1)]
            photos, truth = ready(x[chosen]), torch.from_numpy(y[chosen])
            if args.weights:
                flip = torch.from_numpy(rng.random(len(chosen)) < 0.5)
                photos[flip] = photos[flip].flip(3)
            loss = sum(F.cross_entropy(logits, truth[:, h]) for h, logits in enumerate(net(backbone(photos))))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    backbone.eval(), net.eval()
    with torch.no_grad():
        parts = [net(backbone(ready(x[test[i : i + 64]]))) for i in range(0, len(test), 64)]
    found = np.stack([torch.cat([p[h] for p in parts]).argmax(1).numpy() for h in range(len(HEADS))], 1)
    number = lambda labels: labels @ np.array([100, 10, 1])
    score = lambda truth, found: f1_score(truth, found, average="macro")
    result = {"final class": score(number(y[test]), number(found))}
    return result | {head: score(y[test, h], found[:, h]) for h, head in enumerate(HEADS)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listing", required=True)
    parser.add_argument("--weights", help="train this backbone")
    parser.add_argument("--features", help="or take these")
    parser.add_argument("--size", type=int, nargs=2, default=[80, 64])
    parser.add_argument("--hidden", type=int, default=64, help="the width of a head's hidden layer")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ways", nargs="+", default=WAYS, choices=WAYS)
    args = parser.parse_args()
    if bool(args.weights) == bool(args.features):
        parser.error("one of --weights and --features")

    folder = Path(args.listing).resolve().parent
    with open(args.listing, newline="") as file:
        rows = list(csv.DictReader(file))
    if args.features:
        by_photo, of_path = kept(args.features)
        rows = [row for row in rows if of_path.get(str(folder / row["path"])) in by_photo]
        x = np.stack([by_photo[of_path[str(folder / row["path"])]][0] for row in rows])
    else:
        size = (args.size[1], args.size[0])
        x = np.stack([np.asarray(Image.open(folder / r["path"]).convert("RGB").resize(size, Image.BICUBIC)) for r in rows])
    words = [sorted({row[head] for row in rows}) for head in HEADS[:2]]
    y = np.array(
        [[words[0].index(r["mask"]), words[1].index(r["gender"]), int(np.digitize(float(r["age"]), [30, 60]))] for r in rows]
    )
    persons = np.array([row["person"] or row["path"] for row in rows])

    table = {way: [] for way in args.ways}
    for seed in args.seeds:
        names = np.random.default_rng(1000 + seed).permutation(np.unique(persons))
        fold_of = {name: i % FOLDS for i, name in enumerate(names)}
        side = np.array([fold_of[person] for person in persons])
        for fold in range(FOLDS):
            train, test = np.flatnonzero(side != fold), np.flatnonzero(side == fold)
            for way in args.ways:
                table[way].append(run(args, way, seed, x, y, train, test))
                print(seed, fold, way, {k: round(v, 4) for k, v in table[way][-1].items()}, file=sys.stderr)

    result = {"photos": len(rows), "persons": len(set(persons)), "runs": FOLDS * len(args.seeds)}
    for way in args.ways:
        result[way] = {}
        for what in table[way][0]:
            values = np.array([r[what] for r in table[way]])
            line = {"macro_f1": round(float(values.mean()), 4)}
            for base in ("own", "linear"):
                if way != base and base in table:
                    gain = values - np.array([r[what] for r in table[base]])
                    spread = np.sqrt((1 / len(gain) + 1 / (FOLDS - 1)) * gain.var(ddof=1))
                    half = stats.t.ppf(0.975, len(gain) - 1) * spread
                    line[f"to {base}"] = [round(float(gain.mean() + s * half), 4) for s in (-1, 1)]
            result[way][what] = line
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
