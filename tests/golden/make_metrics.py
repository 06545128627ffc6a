"""Writes metrics.json: accuracy, macro F1 and per-class scores from scikit-learn on random and degenerate cases.

    python make_metrics.py      # needs numpy and scikit-learn
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

rng = np.random.default_rng(2024)


def case(name, n, truth, predicted):
    labels = list(range(n))
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    return {
        "name": name,
        "classes": n,
        "truth": [int(t) for t in truth],
        "predicted": [int(p) for p in predicted],
        "accuracy": float(accuracy_score(truth, predicted)),
        "macro_f1": float(f1_score(truth, predicted, labels=labels, average="macro", zero_division=0)),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": f1.tolist(),
        "support": [int(s) for s in support],
        "confusion": confusion_matrix(truth, predicted, labels=labels).tolist(),
    }


def noisy(name, n, photos, right, classes=None):
    truth = rng.choice(classes if classes is not None else n, size=photos)
    guess = rng.integers(0, n, size=photos)
    return case(name, n, truth, np.where(rng.random(photos) < right, truth, guess))


cases = [
    noisy("three balanced labels", 3, 200, 0.8),
    noisy("two labels, mostly wrong", 2, 57, 0.2),
    noisy("eighteen classes", 18, 400, 0.85),
    noisy("eighteen classes, five without truth", 18, 150, 0.9, list(range(13))),
    case("a declared class that never occurs", 4, [0, 1, 2, 0], [0, 2, 2, 0]),
    case("a class only predicted", 3, [0, 0, 1], [0, 2, 1]),
    case("perfect", 5, [0, 1, 2, 3, 4, 4], [0, 1, 2, 3, 4, 4]),
    case("all wrong", 2, [0, 1, 0], [1, 0, 1]),
    case("one photo", 3, [1], [1]),
    case("always the same prediction", 3, [0, 1, 2, 2, 1], [1, 1, 1, 1, 1]),
]
out = {"made_with": f"scikit-learn {sklearn.__version__}", "cases": cases}
pathlib.Path(__file__).with_name("metrics.json").write_text(json.dumps(out) + "\n")
