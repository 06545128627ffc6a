"""Makes multi_label.json: losses and scores of labels of which a photo may have several, by PyTorch and scikit-learn, in f64.

    pip install numpy torch scikit-learn
    python tests/golden/make_multi_label.py

- `losses`: value and gradient by the logits z, from soft targets t, label weights w (1 where null), photo weights s (1 where null; 0:
  not known) and smoothing ε, of K labels:

      t'   = (1 − ε) t + ε / 2
      loss = Σ_i s_i Σ_c w_c [t'_ic ℓ(z_ic, 1) + (1 − t'_ic) ℓ(z_ic, 0)] / (K Σ_i s_i)

  with ℓ PyTorch's `binary_cross_entropy_with_logits` of the hard label, or the asymmetric loss of Ridnik et al. 2021 as the authors' program
  has it, without its lower bound of 1e-8 on the probabilities. For hard targets the rule is asserted to agree with `BCEWithLogitsLoss(weight)`
  and with the authors' `AsymmetricLoss`, which is a sum, divided by photos and labels.
- `metrics`: sets of labels told well and badly, with labels that no photo has or none is told to have, and equal probabilities.
"""

import json
import pathlib
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from sklearn import metrics

HERE = pathlib.Path(__file__).resolve().parent


def asymmetric(z, y, gamma_neg=4.0, gamma_pos=1.0, clip=0.05):
    """As the authors' program: the terms of each label, for hard or soft y, the focus within the gradient."""
    p = torch.sigmoid(z)
    there, absent = p, 1 - p
    if clip > 0:
        absent = (absent + clip).clamp(max=1)
    terms = y * torch.log(there) + (1 - y) * torch.log(absent)
    sure = there * y + absent * (1 - y)
    gamma = gamma_pos * y + gamma_neg * (1 - y)
    return -terms * torch.pow(1 - sure, gamma)


def hard(kind, z, y):
    if kind == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(z, y, reduction="none")
    return asymmetric(z, y, **kind["asymmetric"])


def rule(kind, z, t, w, s):
    one, none = torch.ones_like(z), torch.zeros_like(z)
    each = t * hard(kind, z, one) + (1 - t) * hard(kind, z, none)
    return (s[:, None] * w * each).sum() / (z.shape[1] * s.sum())


def loss(rng, kind, photos, labels, soft=False, weighted=False, missing=False, smoothing=0.0, sharp=1.5):
    z = torch.tensor((rng.normal(size=(photos, labels)) * sharp).round(3), requires_grad=True)
    t = rng.uniform(size=(photos, labels)).round(2) if soft else (rng.uniform(size=(photos, labels)) < 0.4) * 1.0
    w = rng.uniform(0.2, 3, labels).round(2) if weighted else np.ones(labels)
    s = rng.uniform(0.2, 1, photos).round(2) if missing else np.ones(photos)
    if missing:
        s[1] = 0
    target, w_, s_ = map(torch.tensor, (t, w, s))
    smoothed = (1 - smoothing) * target + smoothing / 2
    value = rule(kind, z, smoothed, w_, s_)
    (grad,) = torch.autograd.grad(value, z)
    if not (soft or missing or smoothing):
        if kind == "binary_cross_entropy":
            known = torch.nn.BCEWithLogitsLoss(weight=w_)(z, target)
        else:
            known = (w_ * asymmetric(z, target, **kind["asymmetric"])).sum() / z.numel()
        assert abs(known.item() - value.item()) < 1e-12
    return {
        "kind": kind,
        "logits": z.tolist(),
        "targets": t.tolist(),
        "class_weights": w.tolist() if weighted else None,
        "sample_weights": s.tolist() if missing else None,
        "smoothing": smoothing,
        "loss": value.item(),
        "grad": grad.tolist(),
    }


def scores(rng, photos, labels, skill, digits=6, absent=(), never=()):
    truth = rng.uniform(size=(photos, labels)) < rng.uniform(0.1, 0.6, labels)
    truth[:, list(absent)] = False
    probs = 1 / (1 + np.exp(-(skill * (2 * truth - 1) + rng.normal(size=truth.shape))))
    probs = probs.round(digits)
    thresholds = rng.uniform(0.3, 0.7, labels).round(3)
    thresholds[list(never)] = 1.0
    said = probs >= thresholds
    f1 = lambda average: float(metrics.f1_score(truth, said, average=average, zero_division=0))
    precision, recall, each, support = metrics.precision_recall_fscore_support(truth, said, zero_division=0)
    has = truth.any(0)
    mean = metrics.average_precision_score(truth[:, has], probs[:, has], average="macro") if has.any() else None
    # Of a label that all photos or none has there is no area.
    auc = [float(metrics.roc_auc_score(t, p)) if 0 < t.sum() < photos else None for t, p in zip(truth.T, probs.T)]
    return {
        "truth": truth.tolist(),
        "probs": probs.tolist(),
        "thresholds": thresholds.tolist(),
        "exact": float(metrics.accuracy_score(truth, said)),
        "micro_f1": f1("micro"),
        "macro_f1": f1("macro"),
        "weighted_f1": f1("weighted"),
        "precision": precision.tolist(),
        "recall": recall.tolist(),
        "f1": each.tolist(),
        "support": support.tolist(),
        "roc_auc": auc,
        "average_precision": None if mean is None else float(mean),
    }


def main():
    rng = np.random.default_rng(20)
    warnings.simplefilter("ignore")
    kinds = [
        "binary_cross_entropy",
        {"asymmetric": {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}},
        {"asymmetric": {"gamma_neg": 4.0, "gamma_pos": 0.0, "clip": 0.05}},
        {"asymmetric": {"gamma_neg": 2.0, "gamma_pos": 0.5, "clip": 0.0}},
        {"asymmetric": {"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.2}},
    ]
    losses = []
    for kind in kinds:
        losses += [
            loss(rng, kind, 6, 4),
            loss(rng, kind, 5, 3, weighted=True),
            loss(rng, kind, 5, 3, soft=True),
            loss(rng, kind, 5, 3, soft=True, weighted=True, missing=True, smoothing=0.1),
            loss(rng, kind, 4, 2, sharp=8),
        ]
    cases = [
        scores(rng, 60, 5, 1.0),
        scores(rng, 40, 3, 0.0),
        scores(rng, 40, 4, 1.5, digits=1),
        scores(rng, 30, 4, 1.0, absent=[1], never=[2]),
        scores(rng, 12, 3, -1.0, absent=[0], never=[0]),
        scores(rng, 10, 2, 1.0, absent=[0, 1]),
    ]
    # A case a line.
    lists = ['"%s": [\n%s\n]' % (n, ",\n".join(map(json.dumps, c))) for n, c in (("losses", losses), ("metrics", cases))]
    (HERE / "multi_label.json").write_text("{" + ",\n".join(lists) + "}\n")


if __name__ == "__main__":
    main()
