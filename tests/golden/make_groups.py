"""Makes groups.json: losses of labels in groups by PyTorch, and their scores by scikit-learn, in f64.

    pip install numpy torch scikit-learn
    python tests/golden/make_groups.py

- `losses`: value and gradient by the logits z, from soft targets t over labels and behind them groups (in the order of their names),
  label weights w (1 where null; a group's is the mean of its labels'), photo weights s (1 where null; 0: not known) and smoothing ε:

      t'_c = (1 − ε) t_c + ε / K for labels, (1 − ε) t_c for groups
      loss = Σ_i s_i Σ_n t'_in w_n ℓ_in / Σ_i s_i Σ_n t'_in w_n
      ℓ_n  = −Σ e^(−α d(C)) log(P(C) / P(parent of C)), over n and the groups C around it

  P(C) is a plain sum of the softmax, d(C) the number of groups around C. With α = 0 and hard labels the rule is asserted to be PyTorch's
  `CrossEntropyLoss(weight)`, and of a group alone −log of the sum of its labels' probabilities.
- `metrics`: labels, some known by a group alone, and what is predicted: at each level scikit-learn's scores of the groups' numbers, and the
  mean distance of labels in the tree, the height of their least common group above its labels.
"""

import json
import pathlib
import warnings

import numpy as np
import torch
from sklearn import metrics

HERE = pathlib.Path(__file__).resolve().parent
FLAT = (
    ["orange", "carrot", "lemon", "apple", "turnip"],
    {"citrus": ["lemon", "orange"], "pome": ["apple"], "root": ["carrot", "turnip"]},
)
NESTED = (
    ["orange", "carrot", "lemon", "apple", "pear", "cherry"],
    {
        "citrus": ["orange", "lemon"],
        "fruit": ["pome", "citrus", "cherry"],
        "pome": ["apple", "pear"],
        "root": ["carrot"],
    },
)


class Tree:
    def __init__(self, labels, groups):
        self.labels, self.groups, self.names = labels, groups, sorted(groups)
        self.nodes = labels + self.names

    def leaves(self, node):
        if node in self.labels:
            return {self.labels.index(node)}
        return set().union(*(self.leaves(inside) for inside in self.groups[node]))

    def parent(self, node):
        return next((g for g in self.names if node in self.groups[g]), None)

    def around(self, node):
        """The node and the groups around it, the innermost first."""
        path = [node]
        while (above := self.parent(path[-1])) is not None:
            path.append(above)
        return path

    def height(self, node):
        return 0 if node in self.labels else 1 + max(self.height(inside) for inside in self.groups[node])

    def distance(self, a, b):
        if a == b:
            return 0
        common = [g for g in self.around(self.labels[a])[1:] if b in self.leaves(g)]
        top = [g for g in self.names if self.parent(g) is None]
        return self.height(common[0]) if common else 1 + max(map(self.height, top))

    def levels(self):
        """Of each level, the group of each label."""
        paths = [self.around(label)[:0:-1] for label in self.labels]
        return [[p[min(k, len(p) - 1)] for p in paths] for k in range(max(map(len, paths)))]


def rule(tree, alpha, z, t, w, s):
    p = torch.softmax(z, -1)
    share = {n: p[:, sorted(tree.leaves(n))].sum(-1) for n in tree.nodes}
    total, norm = 0, 0
    for place, node in enumerate(tree.nodes):
        weight = w[sorted(tree.leaves(node))].mean()
        each = 0
        for c in tree.around(node):
            above = tree.parent(c)
            conditional = share[c] if above is None else share[c] / share[above]
            each = each - np.exp(-alpha * (len(tree.around(c)) - 1)) * torch.log(conditional)
        total = total + (s * t[:, place] * weight * each).sum()
        norm = norm + (s * t[:, place] * weight).sum()
    return total / norm


def loss(rng, shape, alpha, photos=6, soft=False, weighted=False, missing=False, groups=True, smoothing=0.0, sharp=1.5):
    tree = Tree(*shape)
    labels, count = len(tree.labels), len(tree.nodes)
    z = torch.tensor((rng.normal(size=(photos, labels)) * sharp).round(3), requires_grad=True)
    last = count if groups else labels
    t = np.zeros((photos, count))
    t[np.arange(photos), rng.integers(0, last, photos)] = 1
    if soft:
        # What mixing makes: two targets in parts.
        other = rng.permutation(photos)
        t = (0.7 * t + 0.3 * t[other]).round(3)
    w = rng.uniform(0.2, 3, labels).round(2) if weighted else np.ones(labels)
    s = rng.uniform(0.2, 1, photos).round(2) if missing else np.ones(photos)
    if missing:
        s[1] = 0
    smoothed = (1 - smoothing) * t
    smoothed[:, :labels] += smoothing / labels
    value = rule(tree, alpha, z, *map(torch.tensor, (smoothed, w, s)))
    (grad,) = torch.autograd.grad(value, z)
    if alpha == 0 and not (soft or missing or smoothing):
        p = torch.softmax(z, -1)
        if groups:
            inside = [sorted(tree.leaves(tree.nodes[row.argmax()])) for row in t]
            of_photo = torch.stack([-torch.log(p[i, own].sum()) for i, own in enumerate(inside)])
            each = torch.tensor([w[own].mean() for own in inside])
            known = (each * of_photo).sum() / each.sum()
        else:
            known = torch.nn.CrossEntropyLoss(torch.tensor(w))(z, torch.tensor(t.argmax(-1)))
        assert abs(known.item() - value.item()) < 1e-12
    return {
        "labels": tree.labels,
        "groups": tree.groups,
        "alpha": alpha,
        "logits": z.tolist(),
        "targets": t.tolist(),
        "class_weights": w.tolist() if weighted else None,
        "sample_weights": s.tolist() if missing else None,
        "smoothing": smoothing,
        "loss": value.item(),
        "grad": grad.tolist(),
    }


def scores(rng, shape, photos, sharp, alone):
    tree = Tree(*shape)
    labels = len(tree.labels)
    truth = rng.integers(0, labels, photos)
    z = rng.normal(size=(photos, labels)) + sharp * np.eye(labels)[truth]
    probs = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    # Of some photos only a group around the label is known.
    groups = [None] * photos
    for i in np.flatnonzero(rng.uniform(size=photos) < alone):
        groups[i] = tree.names.index(rng.choice(tree.around(tree.labels[truth[i]])[1:]))
    known = np.array([g is None for g in groups])
    said = probs.argmax(-1)
    apart = np.array([tree.distance(a, b) for a, b in zip(truth[known], said[known])])
    levels = []
    for of_label in tree.levels():
        names = list(dict.fromkeys(of_label))
        place = np.array([names.index(g) for g in of_label])
        sums = np.stack([probs[:, place == k].sum(-1) for k in range(len(names))], -1)
        own = []
        for i in range(photos):
            inside = [truth[i]] if known[i] else sorted(tree.leaves(tree.names[groups[i]]))
            places = set(place[inside])
            own.append(places.pop() if len(places) == 1 else -1)
        own = np.array(own)
        rows = own >= 0
        a, b = own[rows], sums.argmax(-1)[rows]
        all_names = range(len(names))
        levels.append({
            "names": names,
            "photos": int(rows.sum()),
            "accuracy": metrics.accuracy_score(a, b),
            "macro_f1": metrics.f1_score(a, b, labels=all_names, average="macro", zero_division=0),
            "balanced_accuracy": metrics.balanced_accuracy_score(a, b),
        })
    return {
        "labels": tree.labels,
        "groups": tree.groups,
        "truth": [int(t) if k else None for t, k in zip(truth, known)],
        "known": groups,
        "probs": probs.tolist(),
        "accuracy": metrics.accuracy_score(truth[known], said[known]),
        "macro_f1": metrics.f1_score(truth[known], said[known], labels=range(labels), average="macro", zero_division=0),
        "tree_distance": apart.mean(),
        "mistake_distance": apart[apart > 0].mean() if apart.any() else None,
        "levels": levels,
    }


def main():
    warnings.filterwarnings("ignore")
    rng = np.random.default_rng(20)
    losses = []
    for shape in (FLAT, NESTED):
        for alpha in (0.0, 0.5, 2.0):
            losses += [
                loss(rng, shape, alpha),
                loss(rng, shape, alpha, groups=False),
                loss(rng, shape, alpha, weighted=True, groups=False),
                loss(rng, shape, alpha, weighted=True),
                loss(rng, shape, alpha, soft=True, weighted=True, missing=True),
                loss(rng, shape, alpha, soft=True, smoothing=0.1),
                loss(rng, shape, alpha, soft=True, weighted=True, missing=True, smoothing=0.1, sharp=8),
            ]
    found = [
        scores(rng, FLAT, 40, 1.0, 0.0),
        scores(rng, NESTED, 60, 1.0, 0.3),
        scores(rng, NESTED, 9, 0.0, 0.3),
        scores(rng, NESTED, 12, 30.0, 0.3),
    ]
    # A case a line.
    lists = ['"%s": [\n%s\n]' % (n, ",\n".join(map(json.dumps, c))) for n, c in (("losses", losses), ("metrics", found))]
    (HERE / "groups.json").write_text("{" + ",\n".join(lists) + "}\n")


if __name__ == "__main__":
    main()
