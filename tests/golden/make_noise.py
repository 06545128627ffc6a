"""Writes noise.json: confident learning as the package cleanlab does it.

    pip install cleanlab==2.9.0
    python make_noise.py

Where values tie, NumPy's default argsort orders them as the processor's instructions let it: three runs of one program on three
processors are three orders. So every case is computed with a stable argsort in its place, and `any_sort` says whether the
default one gives the same here.
"""

import json
import pathlib

import cleanlab
import numpy as np
from cleanlab import count, filter, rank

RULES = ["prune_by_class", "prune_by_noise_rate", "both", "confident_learning", "low_normalized_margin", "low_self_confidence"]
QUALITIES = ["self_confidence", "normalized_margin", "confidence_weighted_entropy"]
default_argsort = np.argsort


def stable_argsort(a, *args, **kwargs):
    return default_argsort(a, kind="stable")


def results(labels, probs, least, whole):
    joint = count.compute_confident_joint(labels, probs)
    prior, given_true, true_given = count.estimate_latent(joint, labels)
    issues, orders = {}, {}
    for rule in RULES:
        options = dict(filter_by=rule, min_examples_per_class=least, n_jobs=1)
        mask = filter.find_label_issues(labels, probs, **options)
        issues[rule] = np.flatnonzero(mask).tolist()
        orders[rule] = {
            q: filter.find_label_issues(labels, probs, return_indices_ranked_by=q, **options).tolist() for q in QUALITIES
        }
    out = {
        "thresholds": np.asarray(count.get_confident_thresholds(labels, probs), dtype=float).tolist(),
        "counts": count.compute_confident_joint(labels, probs, calibrate=False).tolist(),
        "calibrated": joint.tolist(),
        "joint": short(count.estimate_joint(labels, probs)),
        "given_true": short(given_true), "true_given": short(true_given), "prior": short(prior),
    }
    if whole:
        scores = {q: short(rank.get_label_quality_scores(labels, probs, method=q)) for q in QUALITIES}
        return out | {"orders": orders, "scores": scores}
    return out | {"hashes": {r: {q: fold(o) for q, o in by.items()} for r, by in orders.items()},
                  "sizes": {r: len(i) for r, i in issues.items()}}


def short(values):
    """What is compared within a tolerance, in 9 digits."""
    return np.vectorize(lambda v: float(f"{v:.9g}"))(np.asarray(values, dtype=float)).tolist()


def fold(order):
    h = 0
    for place in order:
        h = (h * 1_000_003 + place + 1) % (2**61 - 1)
    return h


def both_sorts(labels, probs, least, whole):
    np.argsort = stable_argsort
    stable = results(labels, probs, least, whole)
    np.argsort = default_argsort
    return stable | {"any_sort": stable == results(labels, probs, least, whole)}


def noisy(rng, n, classes, sharp, wrong=0.15, shares=None, digits=6):
    """Labels, a share of them wrong, and probabilities that favour the true class."""
    true = rng.choice(classes, n, p=shares)
    logits = rng.normal(0, 1, (n, classes))
    logits[np.arange(n), true] += sharp
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.where(rng.random(n) < wrong, rng.integers(0, classes, n), true)
    return labels, np.round(probs, digits)


rng = np.random.default_rng(11)
cases = []


def case(name, labels, probs, least=1, f32=False):
    labels = np.asarray(labels)
    probs = np.asarray(probs, dtype=float)
    given = probs.astype(np.float32) if f32 else probs
    cases.append({
        "name": name, "least": least, "f32": f32, "classes": probs.shape[1], "labels": labels.tolist(),
        "probs": probs.ravel().tolist(), **both_sorts(labels, given, least, True),
    })


for classes, n in [(2, 60), (3, 80), (5, 100), (7, 120), (9, 150), (12, 120), (18, 180)]:
    case(f"{classes} classes", *noisy(rng, n, classes, 2.0))
    case(f"{classes} classes, f32", *noisy(rng, n // 2, classes, 1.5), f32=True)
labels, probs = noisy(rng, 90, 6, 2.0)
case("an absent class", np.where(labels == 4, 2, labels), probs)
case("an absent class, f32", np.where(labels == 4, 2, labels), probs, f32=True)
case("all but two absent", np.where(labels < 3, 1, 5), probs)
labels, probs = noisy(rng, 100, 18, 2.5)
case("half of 18 absent", labels // 2 * 2, probs)
shares = [0.9, 0.06, 0.03, 0.01]
labels, probs = noisy(rng, 150, 4, 1.5, shares=shares)
case("rare classes", labels, probs)
for least in [0, 2, 5, 20]:
    case(f"at least {least} kept", labels, probs, least=least)
labels, probs = noisy(rng, 60, 3, 1.0, wrong=0.6)
case("mostly wrong", labels, probs, least=8)
labels[labels == 2] = 0
labels[17] = 2
case("a class of one photo", labels, probs)
case("a class of one photo, none kept", labels, probs, least=0)
case("ties, one decimal", *noisy(rng, 120, 4, 1.5, digits=1))
case("ties, one decimal, f32", *noisy(rng, 120, 4, 1.5, digits=1), f32=True)
case("ties, 18 classes, two decimals", *noisy(rng, 140, 18, 2.0, digits=2))
labels, probs = noisy(rng, 80, 3, 1.0)
case("certain", labels, np.eye(3)[probs.argmax(1)])
case("certain and right", probs.argmax(1), np.eye(3)[probs.argmax(1)])
case("nothing known", labels, np.full((80, 3), 1 / 3))
case("all wrong", (probs.argmax(1) + 1) % 3, np.eye(3)[probs.argmax(1)])
case("nearly zero", labels, np.where(probs == probs.max(1, keepdims=True), 1 - 2e-7, 1e-7))
case("four photos", [0, 1, 1, 0], [[0.7, 0.3], [0.6, 0.4], [0.2, 0.8], [0.1, 0.9]])


def made(n, classes, seed, wide):
    """Labels and probabilities out of whole numbers, so that a test can make the same."""
    state, mask = seed, 2**64 - 1

    def draw():
        nonlocal state
        state = (state * 6364136223846793005 + 1442695040888963407) & mask
        return state >> 33

    labels, probs = [], np.empty((n, classes))
    for i in range(n):
        true = draw() % classes
        labels.append(true if draw() % 10 else draw() % classes)
        parts = [1 + draw() % 1_000_000 for _ in range(classes)]
        parts[true] += draw() % (1_000_000 * classes)
        probs[i] = np.array(parts, dtype=float) / float(sum(parts))
    return np.array(labels), probs if wide else probs.astype(np.float32)


many = []
for n, classes, seed, wide in [(6000, 3, 1, True), (6000, 18, 2, True), (6000, 18, 3, False), (4000, 7, 4, False)]:
    many.append({"photos": n, "classes": classes, "seed": seed, "f32": not wide,
                 **both_sorts(*made(n, classes, seed, wide), 1, False)})

out = {"made_with": f"cleanlab {cleanlab.__version__}, numpy {np.__version__}", "cases": cases, "many": many}
pathlib.Path(__file__).with_name("noise.json").write_text(json.dumps(out) + "\n")
print([c["name"] for c in cases if not c["any_sort"]], [m["seed"] for m in many if not m["any_sort"]])
