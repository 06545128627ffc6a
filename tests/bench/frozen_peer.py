"""scikit-learn's logistic regression on the features that a frozen training of hydranet kept: the same rows, the same sides.

    pip install numpy scikit-learn
    hydranet init garments.csv --out heads
    hydranet train --data garments.csv --heads heads --frozen --out run --set train.feature_cache=kept
    hydranet evaluate --model run/best.safetensors --data garments.csv
    python tests/bench/frozen_peer.py --features kept/*.features --split run/split.csv --listing garments.csv \
        --photo images/{image} --heads garment=label kids=kids --unknown "Not sure" Skip

A head each, taught on all views that are kept of the photos in training; features are standardised, the strength of the penalty
is the one that scores best on the validation side. The final class is the labels most likely together, as hydranet's rule
`product` has it. Printed is JSON: macro F1 and accuracy on the test side, of each head and of the final class, over the photos
whose labels are known.
"""

import argparse
import csv
import json
import struct
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import StandardScaler

STRENGTHS = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]


def kept(path):
    """The features of each photo by its SHA-256, of the whole photo first and then of further views, and that of each path."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[8:16])
    header = json.loads(data[16 : 16 + length])
    width = header["num_features"]
    rows = np.frombuffer(data[16 + length : -32], "<f4").reshape(-1, width)
    plain = header["views"].index("plain")
    by_photo = {}
    for row, (sha, view) in zip(rows, header["rows"]):
        views = by_photo.setdefault(sha, [])
        views.insert(0 if view == plain else len(views), row)
    return by_photo, {path: photo["sha256"] for path, photo in header["photos"].items()}


def taken(side, views):
    return views if side == "train" else views[:1]


def scores(truth, found):
    return {"macro_f1": f1_score(truth, found, average="macro"), "accuracy": accuracy_score(truth, found), "photos": len(truth)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--features", required=True)
    parser.add_argument("--split", required=True)
    parser.add_argument("--listing", required=True)
    parser.add_argument("--photo", required=True, help="a path relative to the listing, with columns in braces")
    parser.add_argument("--heads", required=True, nargs="+", help="NAME=COLUMN")
    parser.add_argument("--unknown", nargs="*", default=[])
    args = parser.parse_args()

    by_photo, of_path = kept(args.features)
    folder = Path(args.listing).resolve().parent
    with open(args.split, newline="") as file:
        side = {row["path"]: row["split"] for row in csv.DictReader(file)}
    with open(args.listing, newline="") as file:
        rows = [row for row in csv.DictReader(file)]
    heads = dict(head.split("=") for head in args.heads)
    photos = {"train": [], "valid": [], "test": []}
    for row in rows:
        name = args.photo.format(**row)
        sha = of_path.get(str(folder / name))
        if name in side and sha in by_photo:
            labels = {h: row[c] for h, c in heads.items() if row[c] and row[c] not in args.unknown}
            photos[side[name]].append((by_photo[sha], labels))

    result, chosen = {}, {}
    for head in heads:
        part = {s: [(x, labels[head]) for views, labels in photos[s] if head in labels for x in taken(s, views)] for s in photos}
        x = {s: np.stack([x for x, _ in part[s]]) for s in part}
        y = {s: [label for _, label in part[s]] for s in part}
        scaler = StandardScaler().fit(x["train"])
        x = {s: scaler.transform(values) for s, values in x.items()}
        best = None
        for strength in STRENGTHS:
            model = LogisticRegression(C=strength, max_iter=2000).fit(x["train"], y["train"])
            score = f1_score(y["valid"], model.predict(x["valid"]), average="macro")
            if best is None or score > best[0]:
                best = (score, strength, model)
        _, strength, model = best
        chosen[head] = (scaler, model)
        result[head] = {**scores(y["test"], model.predict(x["test"])), "C": strength}
    known = [(x, labels) for x, labels in photos["test"] if len(labels) == len(heads)]
    truth, found = ["/".join(labels[h] for h in heads) for _, labels in known], []
    best = [chosen[h][1].predict(chosen[h][0].transform(np.stack([views[0] for views, _ in known]))) for h in heads]
    found = ["/".join(labels) for labels in zip(*best)]
    result["final class"] = scores(truth, found)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
