"""Makes numbers.json: heads that predict a number, by SciPy, PyTorch and scikit-learn, in f64.

    pip install numpy scipy torch scikit-learn
    python tests/golden/make_numbers.py

- `rows`: what a number is taught as, the normal density in the middles of the bins, together 1 (Gao et al. 2017, equation 3), by
  SciPy's normal distribution; beyond the range the middle of the first or last bin.
- `heads`: logits of bins, and by PyTorch's softmax the labels between borders, the mean and the quantiles, a bin's probability being
  spread evenly over it: NumPy's interpolation of the distribution function.
- `losses`: label distribution learning, PyTorch's `KLDivLoss` of the rows, its gradient, and the entropy of the rows, by which it
  differs from cross-entropy.
- `metrics`: numbers told well and badly, by scikit-learn.
"""

import json
import pathlib

import numpy as np
import scipy.stats
import torch
from sklearn.metrics import mean_absolute_error, r2_score

HERE = pathlib.Path(__file__).resolve().parent


def edges(low, high, bins):
    return np.linspace(low, high, bins + 1)


def row(number, low, high, bins, spread):
    borders = edges(low, high, bins)
    centres = (borders[1:] + borders[:-1]) / 2
    density = scipy.stats.norm(np.clip(number, centres[0], centres[-1]), spread).pdf(centres)
    return density / density.sum()


def head(rng, low, high, bins, thresholds, sharp):
    logits = (rng.normal(size=bins) * sharp).round(3)
    probs = torch.softmax(torch.tensor(logits), 0).numpy()
    borders = edges(low, high, bins)
    below = np.concatenate([[0], probs.cumsum()])
    at = np.interp(thresholds, borders, below)
    labels = np.diff(np.concatenate([[0], at, [1]]))
    quantile = [float(np.interp(q, below, borders)) for q in (0.05, 0.5, 0.95)]
    mean = float((probs * (borders[1:] + borders[:-1]) / 2).sum())
    return {
        "range": [low, high],
        "bins": bins,
        "thresholds": thresholds,
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "mean": mean,
        "quantiles": quantile,
    }


def loss(rng, numbers, low, high, bins, spread):
    target = torch.tensor(np.stack([row(v, low, high, bins, spread) for v in numbers]))
    logits = torch.tensor(rng.normal(size=target.shape).round(3), requires_grad=True)
    value = torch.nn.KLDivLoss(reduction="batchmean")(torch.log_softmax(logits, 1), target)
    value.backward()
    entropy = -(target * target.clamp_min(1e-300).log()).sum(1).mean()
    return {
        "numbers": numbers,
        "range": [low, high],
        "bins": bins,
        "spread": spread,
        "logits": logits.tolist(),
        "divergence": value.item(),
        "entropy": entropy.item(),
        "grad": logits.grad.tolist(),
    }


def metrics(truth, predicted):
    return {
        "truth": truth,
        "predicted": predicted,
        "mean_absolute_error": float(mean_absolute_error(truth, predicted)),
        "r2": float(r2_score(truth, predicted)),
    }


def main():
    rng = np.random.default_rng(20)
    rows = [
        {"number": n, "range": [a, b], "bins": k, "spread": s, "row": row(n, a, b, k, s).tolist()}
        for n, a, b, k, s in [
            (34.0, 0, 100, 20, 4.0),
            (0.0, 0, 100, 20, 4.0),
            (250.0, 0, 100, 20, 4.0),
            (-3.3, -5, 5, 7, 0.4),
            (2.0, -5, 5, 7, 10.0),
        ]
    ]
    heads = [
        head(rng, 0.0, 100.0, 20, [30.0, 60.0], 1.0),
        head(rng, 0.0, 100.0, 20, [31.0, 33.0, 58.5], 2.0),
        head(rng, -5.0, 5.0, 7, [0.0], 0.5),
        head(rng, 0.0, 1.0, 2, [0.9], 3.0),
    ]
    losses = [loss(rng, [34.0, 71.5, 3.0], 0.0, 100.0, 20, 6.0)]
    truth = (rng.random(40) * 70 + 10).round(2)
    told = [
        metrics(truth.tolist(), (truth + rng.normal(size=40) * 5).round(2).tolist()),
        metrics(truth.tolist(), rng.permutation(truth).tolist()),
        metrics([1.0, 2.0], [2.0, 1.5]),
    ]
    out = {"rows": rows, "heads": heads, "losses": losses, "metrics": told}
    (HERE / "numbers.json").write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main()
