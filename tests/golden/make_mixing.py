"""Makes mixing.json: timm's Mixup on tiny images, mix-up and CutMix.

    pip install torch numpy timm
    python tests/golden/make_mixing.py

Each case holds α's λ as drawn, the centre and the box as timm's rand_bbox has them (rows from, to, columns from, to), the λ that is really left,
images before and after, and soft targets after. Partners are those of timm's mode "batch": the batch reversed. `lambda_drawn` and `centre` are what
numpy's generator gave; the generator is wrapped to note them.
"""

import json
import pathlib

import numpy as np
import timm.data.mixup as mixup
import torch

HERE = pathlib.Path(__file__).resolve().parent


def case(seed, size, cut):
    h, w = size
    images = torch.from_numpy(np.random.default_rng(seed).integers(0, 100, size=(4, 2, h, w))).double()
    target = torch.tensor([0, 2, 1, 0])
    np.random.seed(seed)
    noted = {}
    beta, randint, box = np.random.beta, np.random.randint, mixup.rand_bbox

    def note_beta(*a, **k):
        noted["lambda_drawn"] = beta(*a, **k)
        return noted["lambda_drawn"]

    def note_randint(low, high, size=None):
        v = randint(low, high, size=size)
        noted.setdefault("centre", []).append(int(v))
        return v

    def note_box(*a, **k):
        noted["box"] = [int(v) for v in box(*a, **k)]
        return tuple(noted["box"])

    np.random.beta, np.random.randint, mixup.rand_bbox = note_beta, note_randint, note_box
    try:
        mix = mixup.Mixup(mixup_alpha=0.0 if cut else 0.4, cutmix_alpha=1.0 if cut else 0.0, label_smoothing=0.0, num_classes=3)
        before = images.clone()
        after, soft = mix(images, target)
    finally:
        np.random.beta, np.random.randint, mixup.rand_bbox = beta, randint, box
    lam = noted["lambda_drawn"]
    if cut:
        t, b, l, r = noted["box"]
        lam = 1 - (b - t) * (r - l) / (h * w)
    return {
        "size": size,
        "cut": cut,
        **noted,
        "lambda": lam,
        "before": before.flatten().tolist(),
        "after": [round(v, 6) for v in after.flatten().tolist()],
        "labels": target.tolist(),
        "targets": soft.flatten().tolist(),
    }


def main():
    cases = [case(seed, size, cut) for cut in (True, False) for seed, size in enumerate([(8, 6), (5, 7), (6, 6), (7, 9), (4, 4)])]
    out = HERE / "mixing.json"
    out.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(out.name, len(cases), "cases", out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
