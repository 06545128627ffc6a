"""Makes loss_kinds.json: every kind of loss with its gradient, from PyTorch's autograd in f64.

    pip install torch numpy scikit-learn coral-pytorch
    python tests/golden/make_loss_kinds.py

The rule, for outputs z, soft targets t, class weights w (1 where null), sample weights s (1 where null; 0: the label is missing),
photos n of each label, smoothing ε and K labels:

    t'   = (1 − ε) t + ε / K
    loss = Σ_i s_i Σ_c t'_ic w_c ℓ(z_i, c) / Σ_i s_i Σ_c t'_ic w_c

with ℓ(z, c) the loss of the hard label c, as each paper has it; `hard` below. `earth_mover` is a photo's squared distance of cumulative sums
times Σ_c t'_c w_c, and so are `l1`, `smooth_l1` and the two terms of `mean_variance`; `soft_f1` one of the whole batch, `corn` divides by the number of binary cross-entropies. Where a published program
exists for hard labels without weights (coral-pytorch, scikit-learn's F1 for sure predictions), the rule is asserted to agree with it.

`kind` is the loss as a head's file writes it.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from coral_pytorch.dataset import corn_label_from_logits, levels_from_labelbatch
from coral_pytorch.losses import coral_loss, corn_loss
from sklearn.metrics import f1_score

HERE = pathlib.Path(__file__).resolve().parent


def hard(kind, z, c, n):
    """ℓ of every row of z for the hard label c (an int), and by what it counts in the denominator."""
    name, o = (kind, {}) if isinstance(kind, str) else next(iter(kind.items()))
    p = F.softmax(z, 1)
    y = torch.full((z.shape[0],), c)
    each = dict(reduction="none")
    if name == "cross_entropy":
        return F.cross_entropy(z, y, **each), 1
    if name == "focal":
        alpha = o.get("alpha", [1.0] * z.shape[1])[c]
        return alpha * (1 - p[:, c]) ** o["gamma"] * F.cross_entropy(z, y, **each), 1
    if name == "ldam":  # as the authors' LDAMLoss: m_list, then cross_entropy(s * (x − margin of y), y)
        m = 1.0 / torch.sqrt(torch.sqrt(n.clamp_min(1)))
        m = m * (o.get("max_margin", 0.5) / m.max())
        shifted = z - m[c] * F.one_hot(y, z.shape[1])
        return F.cross_entropy(o.get("scale", 1.0) * shifted, y, **each), 1
    if name == "logit_adjusted":
        prior = n.clamp_min(1) / n.clamp_min(1).sum()
        return F.cross_entropy(z + o.get("tau", 1.0) * prior.log(), y, **each), 1
    if name == "generalized_cross_entropy":
        q = o.get("q", 0.7)
        return (1 - p[:, c] ** q) / q, 1
    if name == "symmetric_cross_entropy":  # as the authors' SCELoss: the one-hot label clamped from below before its logarithm
        a = o.get("log_zero", -4.0)
        one_hot = F.one_hot(y, z.shape[1]).double().clamp(min=np.exp(a))
        rce = -(p * one_hot.log()).sum(1)
        return o.get("alpha", 0.1) * F.cross_entropy(z, y, **each) + o.get("beta", 1.0) * rce, 1
    if name == "coral":
        levels = (torch.arange(z.shape[1]) < c).double().expand_as(z)
        return F.binary_cross_entropy_with_logits(z, levels, **each).sum(1), 1
    if name == "corn":
        terms = min(c + 1, z.shape[1])
        levels = (torch.arange(terms) < c).double().expand(z.shape[0], terms)
        return F.binary_cross_entropy_with_logits(z[:, :terms], levels, **each).sum(1), terms
    raise KeyError(name)


def rule(kind, z, t, w, s, n):
    if isinstance(kind, dict) and "sum" in kind:
        return sum(term.get("factor", 1.0) * rule(term["kind"], z, t, w, s, n) for term in kind["sum"])
    k = t.shape[1]
    if kind == "soft_f1":
        p = F.softmax(z, 1) * s[:, None]
        there = (t * s[:, None]).sum(0)
        tp = (p * t).sum(0)
        fp, fn = (p * (1 - t)).sum(0), (s[:, None] * t).sum(0) - tp
        f1 = 2 * tp / (2 * tp + fp + fn)
        w = w * (there > 0)
        return 1 - (w * f1).sum() / w.sum()
    if kind == "earth_mover":
        p = F.softmax(z, 1)
        distance = ((p.cumsum(1) - t.cumsum(1)) ** 2).sum(1)
        v = s * (t * w).sum(1)
        return (v * distance).sum() / v.sum()
    if kind == "l1" or "smooth_l1" in kind or "mean_variance" in kind:
        # Over places 0 to K − 1, as `torch` has the first two and as Pan et al. 2018 write the third (their published program takes
        # hard labels only, and the mean of the batch).
        p, places, v = F.softmax(z, 1), torch.arange(k, dtype=z.dtype), s * (t * w).sum(1)
        mean, truth = (p * places).sum(1), (t * places).sum(1) / t.sum(1).clamp_min(1e-30)
        each = dict(reduction="none")
        if kind == "l1":
            return (v * F.l1_loss(mean, truth, **each)).sum() / v.sum()
        if "smooth_l1" in kind:
            return (v * F.smooth_l1_loss(mean, truth, beta=kind["smooth_l1"].get("beta", 1.0), **each)).sum() / v.sum()
        o = kind["mean_variance"]
        variance = (p * (places - mean[:, None]) ** 2).sum(1)
        both = o.get("mean", 0.2) * F.mse_loss(mean, truth, **each) / 2 + o.get("variance", 0.05) * variance
        return rule("cross_entropy", z, t, w, s, n) + (v * both).sum() / v.sum()
    numerator = denominator = 0
    for c in range(k):
        each, count = hard(kind, z, c, n)
        numerator = numerator + (s * t[:, c] * w[c] * each).sum()
        denominator = denominator + (s * t[:, c] * w[c]).sum() * count
    return numerator / denominator


def listed(v):
    return None if v is None else v.detach().tolist()


def case(kind, z, t, w=None, s=None, n=None, smoothing=0.0):
    k = t.shape[1]
    z = z.clone().requires_grad_()
    ones = lambda m: torch.ones(m, dtype=z.dtype)
    smoothed = (1 - smoothing) * t + smoothing / k
    loss = rule(kind, z, smoothed, ones(k) if w is None else w, ones(len(t)) if s is None else s, ones(k) if n is None else n)
    loss.backward()
    assert torch.isfinite(z.grad).all()
    return {
        "kind": kind,
        "logits": listed(z),
        "targets": listed(t),
        "class_weights": listed(w),
        "sample_weights": listed(s),
        "counts": listed(n),
        "smoothing": smoothing,
        "loss": loss.item(),
        "grad": listed(z.grad),
    }


KINDS = {
    "cross_entropy": "cross_entropy",
    "focal": {"focal": {"gamma": 2.0}},
    "focal_alpha": {"focal": {"gamma": 1.5, "alpha": [0.25, 0.75, 1.0, 0.5]}},
    "soft_f1": "soft_f1",
    "ldam": {"ldam": {}},
    "ldam_scaled": {"ldam": {"max_margin": 0.8, "scale": 3.0}},
    "logit_adjusted": {"logit_adjusted": {}},
    "logit_adjusted_half": {"logit_adjusted": {"tau": 0.5}},
    "generalized": {"generalized_cross_entropy": {}},
    "generalized_1": {"generalized_cross_entropy": {"q": 1.0}},
    "symmetric": {"symmetric_cross_entropy": {}},
    "symmetric_6": {"symmetric_cross_entropy": {"alpha": 6.0, "beta": 0.1, "log_zero": -6.0}},
    "coral": "coral",
    "corn": "corn",
    "earth_mover": "earth_mover",
    "mean_variance": {"mean_variance": {}},
    "mean_variance_other": {"mean_variance": {"mean": 1.5, "variance": 0.4}},
    "l1": "l1",
    "smooth_l1": {"smooth_l1": {}},
    "smooth_l1_small": {"smooth_l1": {"beta": 0.3}},
    "sum": {"sum": [{"kind": "cross_entropy", "factor": 0.7}, {"kind": "soft_f1", "factor": 0.5}, {"kind": {"focal": {"gamma": 2.0}}}]},
}


def main():
    rng = np.random.default_rng(7)
    k, photos = 4, 6
    draw = lambda *shape: torch.from_numpy(rng.normal(size=shape).round(3) * 2)
    z = draw(photos, k)
    y = torch.tensor([0, 2, 1, 3, 0, 1])
    one_hot = F.one_hot(y, k).double()
    lam = torch.tensor([0.7, 1.0, 0.55, 0.25, 0.9, 0.6], dtype=torch.float64)[:, None]
    soft = lam * one_hot + (1 - lam) * one_hot.flip(0)
    # A soft target on labels 0 to 2 alone: label 3 is not in the batch.
    narrow = torch.cat([soft[:, :2], soft[:, 2:].sum(1, keepdim=True), torch.zeros(photos, 1, dtype=torch.float64)], 1)
    w = torch.tensor([1.0, 3.0, 0.5, 2.0], dtype=torch.float64)
    s = torch.tensor([1.0, 0.0, 0.25, 1.0, 2.0, 0.5], dtype=torch.float64)
    n = torch.tensor([900.0, 40.5, 0.0, 7.0], dtype=torch.float64)
    cases = {}
    for name, kind in KINDS.items():
        outputs = z[:, : k - 1] if name in ("coral", "corn") else z
        cases[name + "_hard"] = case(kind, outputs, one_hot, n=n)
        cases[name + "_soft_weighted_missing_smoothed"] = case(kind, outputs, soft, w, s, n, 0.1)
        cases[name + "_label_absent"] = case(kind, outputs, narrow, None, s, n)
    # Beside the published programs.
    levels = levels_from_labelbatch(y, k).double()
    assert abs(coral_loss(z[:, :3], levels).item() - cases["coral_hard"]["loss"]) < 1e-12
    assert abs(corn_loss(z[:, :3], y, k).item() - cases["corn_hard"]["loss"]) < 1e-12
    guess = torch.tensor([0, 1, 1, 3, 0, 2])
    sure = rule("soft_f1", 1e3 * F.one_hot(guess, k).double(), one_hot, torch.ones(k).double(), torch.ones(photos).double(), None)
    assert abs((1 - sure.item()) - f1_score(y, guess, average="macro")) < 1e-12

    # Probabilities of labels from the outputs of ordered heads.
    a = torch.tensor([[2.0, 0.5, -1.0], [0.0, 0.0, 0.0], [-3.0, -3.5, -40.0], [60.0, 50.0, 45.0]], dtype=torch.float64)
    beyond = torch.sigmoid(a)
    corn = beyond.cumprod(1)
    edge = lambda v: torch.cat([torch.ones(len(v), 1), v, torch.zeros(len(v), 1)], 1)
    probs = lambda v: (edge(v)[:, :-1] - edge(v)[:, 1:]).tolist()
    # The papers' label: the number of borders passed with a probability above a half.
    median = corn_label_from_logits(a).tolist()
    ordered = {"outputs": a.tolist(), "coral": probs(beyond), "corn": probs(corn), "corn_median": median}

    # Class-balanced weights, as the authors' program: (1 − β) / (1 − βⁿ), divided by their sum, times the labels.
    counts = np.array([900.0, 40.5, 7.0])
    effective = []
    for beta in (0.9, 0.999, 0.999999):
        each = (1 - beta) / (1 - np.power(beta, counts))
        effective.append({"beta": beta, "counts": counts.tolist(), "weights": (each / each.sum() * len(counts)).tolist()})

    text = lambda v: json.dumps(v, allow_nan=False)
    rows = ",\n".join(f"  {text(name)}: {text(c)}" for name, c in cases.items())
    out = HERE / "loss_kinds.json"
    out.write_text(f'{{\n "cases": {{\n{rows}\n }},\n "ordered": {text(ordered)},\n "effective": {text(effective)}\n}}\n')
    print(out.name, len(cases), "cases", out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
