"""Writes metrics.json: scores from scikit-learn on random and degenerate cases, on decisions and on probabilities. scikit-learn has
no expected calibration error: that one is a plain loop here.

    python make_metrics.py      # needs numpy and scikit-learn
"""

import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    brier_score_loss,
    cohen_kappa_score,
    confusion_matrix,
    f1_score,
    mean_absolute_error,
    precision_recall_fscore_support,
    roc_auc_score,
    top_k_accuracy_score,
)

warnings.simplefilter("ignore")  # of classes without photos

rng = np.random.default_rng(2024)


def defined(value):
    return None if np.isnan(value) else float(value)


def calibration_error(truth, probs, bins=15):
    """Guo and others 2017, equation 3: bin m holds the confidences in ((m - 1) / bins, m / bins]."""
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == truth
    error = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return float(error)


def probability_case(name, n, photos, sharpness, classes=None, steps=None):
    """`classes` are those that occur; `steps` rounds the scores, so that many are equal."""
    truth = rng.choice(classes if classes is not None else n, size=photos)
    logits = rng.normal(size=(photos, n)) + sharpness * np.eye(n)[truth]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if steps is None:
        # Short in the file, and together 1, as scikit-learn wants them.
        probs = np.round(probs, 6)
        probs[:, -1] = np.round(1 - probs[:, :-1].sum(axis=1), 6)
    else:
        probs = np.round(probs * steps) / steps
    hits = np.eye(n, dtype=int)[truth]
    aucs = [float(roc_auc_score(hits[:, c], probs[:, c])) if 0 < hits[:, c].sum() < photos else None for c in range(n)]
    precisions = [float(average_precision_score(hits[:, c], probs[:, c])) if hits[:, c].any() else None for c in range(n)]
    everywhere = all(a is not None for a in aucs)
    return {
        "name": name,
        "classes": n,
        "truth": truth.tolist(),
        "probs": probs.tolist(),
        "roc_aucs": aucs,
        "average_precisions": precisions,
        # scikit-learn's own means, where every class occurs.
        "roc_auc": float(roc_auc_score(hits, probs, average="macro")) if everywhere else None,
        "average_precision": float(average_precision_score(hits, probs, average="macro")) if everywhere else None,
        "top_k": None if steps else [
            float(top_k_accuracy_score(truth, probs if n > 2 else probs[:, 1], k=k, labels=range(n))) for k in range(1, n)
        ],
        "brier": None if steps else float(brier_score_loss(truth, probs, labels=range(n), scale_by_half=False)),
        "calibration_error": calibration_error(truth, probs),
    }


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
        "micro_f1": float(f1_score(truth, predicted, labels=labels, average="micro", zero_division=0)),
        "weighted_f1": float(f1_score(truth, predicted, labels=labels, average="weighted", zero_division=0)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, predicted)),
        "cohen_kappa": defined(cohen_kappa_score(truth, predicted)),
        "quadratic_kappa": defined(cohen_kappa_score(truth, predicted, labels=labels, weights="quadratic")),
        "mean_absolute_error": float(mean_absolute_error(truth, predicted)),
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
probabilities = [
    probability_case("three labels", 3, 70, 1.5),
    probability_case("two labels", 2, 60, 1.0),
    probability_case("two labels, sure of themselves", 2, 40, 6.0),
    probability_case("six labels, two without photos", 6, 60, 1.0, [0, 1, 3, 5]),
    probability_case("many equal scores", 4, 60, 1.0, None, 5),
    probability_case("one label only", 3, 20, 1.0, [1]),
    probability_case("worse than chance", 3, 50, -2.0),
]
out = {"made_with": f"scikit-learn {sklearn.__version__}", "cases": cases, "probabilities": probabilities}
pathlib.Path(__file__).with_name("metrics.json").write_text(json.dumps(out) + "\n")
