"""Makes losses.json and optimisers.json: losses with their gradients, and optimiser trajectories, from PyTorch in f64.

    pip install torch numpy
    python tests/golden/make_losses.py

The rule of losses.json, for logits z, soft targets t, class weights w (1 where null), sample weights s (1 where null; 0: the label is
missing), smoothing ε and K labels, p = softmax(z):

    t'   = (1 − ε) t + ε / K
    ℓ_i  = − Σ_c t'_ic w_c (1 − p_ic)^γ log p_ic         (γ = 0: cross-entropy)
    loss = Σ_i s_i ℓ_i / Σ_i s_i Σ_c t'_ic w_c           (0, and a gradient of 0, where the denominator is 0)

For hard labels without smoothing that is torch.nn.CrossEntropyLoss(weight=w); the cases `torch_mean*` come from that class itself and are asserted to
agree with the rule. With class weights *and* smoothing torch divides by Σ w_y instead (not the rule; case `torch_smoothed_weighted`,
`"rule": false`, is there to show the difference). Each case holds numerator and denominator too.

optimisers.json: parameters before, the gradient and the learning rate of each of 5 steps, the parameters after each.
"""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent


def rule(z, t, w, s, gamma, smoothing):
    k = z.shape[1]
    w = torch.ones(k, dtype=z.dtype) if w is None else w
    s = torch.ones(z.shape[0], dtype=z.dtype) if s is None else s
    t = (1 - smoothing) * t + smoothing / k
    log_p = F.log_softmax(z, 1)
    focus = (1 - log_p.exp()) ** gamma if gamma else 1.0
    each = -(t * w * focus * log_p).sum(1)
    numerator, denominator = (s * each).sum(), (s * (t * w).sum(1)).sum()
    return numerator, denominator


def listed(v):
    return None if v is None else v.detach().tolist()


def case(z, t, w=None, s=None, gamma=0.0, smoothing=0.0):
    z = z.clone().requires_grad_()
    numerator, denominator = rule(z, t, w, s, gamma, smoothing)
    loss = numerator / denominator if denominator > 0 else numerator * 0
    loss.backward()
    assert torch.isfinite(z.grad).all()
    return {
        "rule": True,
        "logits": listed(z),
        "targets": listed(t),
        "class_weights": listed(w),
        "sample_weights": listed(s),
        "gamma": gamma,
        "smoothing": smoothing,
        "numerator": numerator.item(),
        "denominator": denominator.item(),
        "loss": loss.item(),
        "grad": listed(z.grad),
    }


def torch_case(z, y, w=None, smoothing=0.0, agrees=True):
    """torch.nn.CrossEntropyLoss on hard labels `y` (−100: ignored)."""
    t = F.one_hot(y.clamp_min(0), z.shape[1]).double()
    s = (y >= 0).double()
    ours = case(z, t, w, s, 0.0, smoothing)
    z = z.clone().requires_grad_()
    loss = torch.nn.CrossEntropyLoss(weight=w, label_smoothing=smoothing, reduction="mean")(z, y)
    loss.backward()
    same = abs(loss.item() - ours["loss"]) < 1e-14 and np.allclose(z.grad.tolist(), ours["grad"], rtol=0, atol=1e-14)
    assert same == agrees
    return ours | {"rule": agrees, "loss": loss.item(), "grad": listed(z.grad)}


def losses():
    rng = np.random.default_rng(5)
    z = torch.from_numpy(rng.normal(size=(6, 3)).round(3) * 2)
    y = torch.tensor([0, 2, 1, 1, 0, 1])
    missing = torch.tensor([0, -100, 1, 1, -100, 1])
    hard = F.one_hot(y, 3).double()
    w = torch.tensor([1.0, 3.0, 0.5], dtype=torch.float64)
    s = torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.float64)
    lam = torch.tensor([0.7, 1.0, 0.55, 0.25, 0.9, 0.6], dtype=torch.float64)[:, None]
    soft = lam * hard + (1 - lam) * hard.flip(0)
    uneven = torch.tensor([1.0, 0.25, 2.0, 0.0, 0.5, 1.5], dtype=torch.float64)
    huge = torch.tensor([[200.0, -200.0, 0.0], [-500.0, 500.0, 499.0], [0.0, 0.0, 0.0], [1e4, 1e4, -1e4]], dtype=torch.float64)
    huge_t = torch.tensor([[0, 1, 0], [0, 1, 0], [1, 0, 0], [0.5, 0.25, 0.25]], dtype=torch.float64)
    two = torch.from_numpy(rng.normal(size=(4, 2)).round(3))
    return {
        "torch_mean": torch_case(z, y),
        "torch_mean_weighted": torch_case(z, y, w),
        "torch_mean_weighted_missing": torch_case(z, missing, w),
        "torch_mean_smoothed": torch_case(z, y, None, 0.1),
        "torch_mean_smoothed_missing": torch_case(z, missing, None, 0.1),
        "torch_smoothed_weighted": torch_case(z, y, w, 0.1, agrees=False),
        "smoothed_weighted": case(z, hard, w, None, 0.0, 0.1),
        "soft": case(z, soft),
        "soft_weighted": case(z, soft, w),
        "soft_weighted_missing": case(z, soft, w, s),
        "soft_sample_weights": case(z, soft, w, uneven),
        "soft_smoothed_weighted_missing": case(z, soft, w, s, 0.0, 0.2),
        "all_missing": case(z, soft, w, torch.zeros(6, dtype=torch.float64)),
        "focal_2_hard": case(z, hard, None, None, 2.0),
        "focal_2_soft_weighted_missing": case(z, soft, w, s, 2.0),
        "focal_half_soft": case(z, soft, None, None, 0.5),
        "focal_2_smoothed_weighted": case(z, hard, w, None, 2.0, 0.1),
        "focal_1_two_labels": case(two, F.one_hot(torch.tensor([0, 1, 1, 0]), 2).double(), None, None, 1.0),
        "extreme_logits": case(huge, huge_t),
        "extreme_logits_focal_2": case(huge, huge_t, None, None, 2.0),
    }


def trajectory(start, grads, rates, make, before=None):
    p = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimiser = make([p])
    after = []
    for g, lr in zip(grads, rates):
        for group in optimiser.param_groups:
            group["lr"] = lr
        if before:
            before(p, lr)
        p.grad = torch.tensor(g, dtype=torch.float64)
        optimiser.step()
        after.append(p.tolist())
    return {"rates": rates, "after": after}


def optimisers():
    rng = np.random.default_rng(6)
    start = [1.0, -0.5, 0.25, 2.0, 0.0]
    grads = (rng.normal(size=(5, 5)) * [1, 1, 1e-3, 10, 0.1]).round(5).tolist()
    grads[1][1] = 0.0
    constant, varying = [0.01] * 5, [0.001, 0.01, 0.008, 0.004, 0.0]
    AdamW, SGD = torch.optim.AdamW, torch.optim.SGD

    def adamw(rates, wd, betas=(0.9, 0.999), eps=1e-8):
        made = trajectory(start, grads, rates, lambda p: AdamW(p, lr=1.0, betas=betas, eps=eps, weight_decay=wd))
        return {"kind": "adamw", "betas": betas, "eps": eps, "weight_decay": wd} | made

    def sgd(rates, momentum, wd, decoupled):
        """decoupled: p ← p (1 − lr·wd) before torch's step, as AdamW does; else torch's own, the decay added to the gradient."""

        def shrink(p, lr):
            with torch.no_grad():
                p.mul_(1 - lr * wd)

        own = 0.0 if decoupled else wd
        made = trajectory(start, grads, rates, lambda p: SGD(p, lr=1.0, momentum=momentum, weight_decay=own), shrink if decoupled else None)
        return {"kind": "sgd", "momentum": momentum, "weight_decay": wd, "decoupled": decoupled} | made

    return {
        "start": start,
        "grads": grads,
        "cases": {
            "adamw": adamw(constant, 0.0),
            "adamw_decay": adamw(constant, 0.05),
            "adamw_decay_varying_rate": adamw(varying, 0.05),
            "adamw_other_betas": adamw(constant, 0.01, (0.8, 0.95), 1e-6),
            "sgd": sgd(constant, 0.0, 0.0, True),
            "sgd_momentum": sgd(constant, 0.9, 0.0, True),
            "sgd_momentum_varying_rate": sgd(varying, 0.9, 0.0, True),
            "sgd_momentum_decay": sgd(varying, 0.9, 0.05, True),
            "sgd_momentum_decay_coupled": sgd(varying, 0.9, 0.05, False),
        },
    }


def write(name, value, depth):
    def text(v, level):
        if isinstance(v, dict) and level < depth:
            pad = " " * (level + 1)
            inner = ",\n".join(f"{pad}{json.dumps(k)}: {text(x, level + 1)}" for k, x in v.items())
            return "{\n" + inner + "\n" + " " * level + "}"
        return json.dumps(v, allow_nan=False)

    (HERE / name).write_text(text(value, 0) + "\n")
    print(name, (HERE / name).stat().st_size, "bytes")


if __name__ == "__main__":
    write("losses.json", losses(), 2)
    write("optimisers.json", optimisers(), 3)
