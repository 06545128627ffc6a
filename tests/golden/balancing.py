"""Makes balancing.json: the course of each method of train.balancing over a few steps, from PyTorch in f64.

    pip install torch
    python tests/golden/balancing.py

Written from the papers, by autograd wherever there is a gradient: each method's own objective is differentiated and handed to torch.optim.Adam, one
parameter a head, so that a head without a loss (null) is one without a gradient. Three heads.

uncertainty      minimises exp(−s) L + s / 2 (Kendall, Gal and Cipolla 2018); lr changes from step to step.
dynamic_average  K softmax(r / T), r the ratio of the last two epochs' mean losses (Liu, Johns and Davison 2019).
grad_norm        a linear map of each head over shared features x, L = |A x − b|²; G = |∂(w L) / ∂x|; the objective Σ |G − mean(G) r^α| with the
                 second term held constant is differentiated through G to w; then w is scaled back to its sum (Chen et al. 2018).
pc_grad          projections of whole vectors, one after the other (Yu et al. 2020).
famo             softmax's vector-Jacobian product from autograd, decay as Adam's (Liu, Feng, Stone and Liu 2023).
"""

import json
import pathlib

import torch

HERE = pathlib.Path(__file__).resolve().parent
torch.set_default_dtype(torch.float64)
HEADS = 3


def uniform(rng, *shape, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(*shape, generator=rng)


def drawn_losses(rng, steps, missing):
    rows = [[float(v) for v in uniform(rng, HEADS, low=0.05, high=2.5)] for _ in range(steps)]
    for step, head in missing:
        rows[step][head] = None
    return rows


def parameters(value):
    return [torch.nn.Parameter(torch.tensor(value)) for _ in range(HEADS)]


def uncertainty(rng):
    losses = drawn_losses(rng, 8, [(2, 1), (5, 0), (5, 2)])
    rates = [2e-3 * (1 + i) for i in range(8)]
    s = parameters(0.0)
    adam = torch.optim.Adam(s)
    course, factors = [], []
    for row, lr in zip(losses, rates):
        factors.append([float(torch.exp(-v.detach())) for v in s])
        adam.zero_grad()
        sum(torch.exp(-v) * loss + v / 2 for v, loss in zip(s, row) if loss is not None).backward()
        adam.param_groups[0]["lr"] = lr
        adam.step()
        course.append([float(v.detach()) for v in s])
    return {"losses": losses, "lr": rates, "factors": factors, "log_variances": course}


def dynamic_average(rng):
    epochs = [drawn_losses(rng, 3, []) for _ in range(5)]
    epochs[1][0][2] = None
    for row in epochs[3]:
        row[0] = None
    means, factors = [], []
    for epoch in epochs:
        r = torch.ones(HEADS)
        if len(means) >= 2:
            for k in range(HEADS):
                if means[-1][k] is not None and means[-2][k] is not None:
                    r[k] = means[-1][k] / means[-2][k]
        factors.append((HEADS * torch.softmax(r / 1.5, 0)).tolist())
        seen = [[row[k] for row in epoch if row[k] is not None] for k in range(HEADS)]
        means.append([sum(s) / len(s) if s else None for s in seen])
    return {"temperature": 1.5, "epochs": epochs, "factors": factors}


def grad_norm(rng):
    alpha, lr = 1.5, 0.05
    w = parameters(1.0)
    adam = torch.optim.Adam(w, lr=lr)
    maps = [uniform(rng, 2, 5, low=-1, high=1) * scale for scale in (0.3, 1.0, 2.0)]
    first = [None] * HEADS
    all_losses, all_norms, factors = [], [], []
    # Later steps press a factor to its floor.
    for step in range(50):
        x = uniform(rng, 5, low=-1, high=1).requires_grad_()
        targets = [uniform(rng, 2, low=-1, high=1) for _ in range(HEADS)]
        losses = [((a @ x - b) ** 2).sum() for a, b in zip(maps, targets)]
        if step > 8:
            losses[0] = losses[0] * 50
        absent = {3: [1], 6: [0, 2], 7: [0, 1, 2]}.get(step, [])
        present = [k for k in range(HEADS) if k not in absent]
        norms = [torch.autograd.grad(loss, x, retain_graph=True)[0].norm() for loss in losses]
        all_losses.append([float(losses[k].detach()) if k in present else None for k in range(HEADS)])
        all_norms.append([float(n) for n in norms])
        if present:
            for k in present:
                first[k] = first[k] or float(losses[k].detach())
            ratio = torch.tensor([float(losses[k].detach()) / first[k] for k in present])
            r = ratio / ratio.mean()
            weighted = []
            for k in present:
                gradient = torch.autograd.grad(w[k] * losses[k], x, retain_graph=True, create_graph=True)[0]
                weighted.append(gradient.norm())
            weighted = torch.stack(weighted)
            target = (weighted.mean() * r**alpha).detach()
            adam.zero_grad()
            objective = (weighted - target).abs().sum()
            for k, g in zip(present, torch.autograd.grad(objective, [w[k] for k in present])):
                w[k].grad = g
            with torch.no_grad():
                before = sum(float(w[k].detach()) for k in present)
                adam.step()
                for k in present:
                    w[k].clamp_(min=0.01)
                scale = before / sum(float(w[k].detach()) for k in present)
                for k in present:
                    w[k].mul_(scale)
        factors.append([float(v.detach()) for v in w])
    return {"alpha": alpha, "lr": lr, "losses": all_losses, "norms": all_norms, "factors": factors}


def pc_grad(rng):
    cases = []
    for heads, size in [(2, 4), (3, 4), (3, 3), (4, 3), (5, 3)]:
        vectors = uniform(rng, heads, size, low=-1, high=1)
        if heads == 4:
            vectors[2] = 0.0
        orders = []
        total = torch.zeros(size)
        for i in range(heads):
            order = [j for j in torch.randperm(heads, generator=rng).tolist() if j != i]
            own = vectors[i].clone()
            for j in order:
                product = own @ vectors[j]
                if product < 0:
                    own -= product / (vectors[j] @ vectors[j]) * vectors[j]
            orders.append(order)
            total += own
        cases.append({"vectors": vectors.tolist(), "orders": orders, "total": total.tolist()})
    return cases


def famo(rng):
    lr, decay = 0.025, 1e-2
    xi = parameters(0.0)
    adam = torch.optim.Adam(xi, lr=lr, weight_decay=decay)
    missing = [(2, 1), (5, 0), (5, 2)]
    before = drawn_losses(rng, 10, missing)
    after = drawn_losses(rng, 10, missing)
    factors, logits = [], []
    for b, a in zip(before, after):
        present = [k for k in range(HEADS) if b[k] is not None]
        b, a = (torch.tensor([row[k] for k in present]) for row in (b, a))
        own = [xi[k] for k in present]
        z = torch.softmax(torch.stack(own), 0)
        # The gradient of c Σ z log L with respect to the losses are the factors.
        leaf = b.clone().requires_grad_()
        c = 1 / (z / b).sum().detach()
        row = [0.0] * HEADS
        for k, f in zip(present, torch.autograd.grad((c * z.detach() * leaf.log()).sum(), leaf)[0]):
            row[k] = float(f)
        factors.append(row)
        adam.zero_grad()
        for p, g in zip(own, torch.autograd.grad(z, own, grad_outputs=b.log() - a.log())):
            p.grad = g
        adam.step()
        logits.append([float(v.detach()) for v in xi])
    return {"lr": lr, "decay": decay, "before": before, "after": after, "factors": factors, "logits": logits}


if __name__ == "__main__":
    generator = torch.Generator().manual_seed(7)
    values = {f.__name__: f(generator) for f in (uncertainty, dynamic_average, grad_norm, pc_grad, famo)}
    floor = min(min(row) for row in values["grad_norm"]["factors"])
    print("least factor of grad_norm", floor)
    (HERE / "balancing.json").write_text(json.dumps(values) + "\n")
