"""Writes statistics.json: quantiles of Student's t, and paired differences with their intervals, from scipy.

    python make_statistics.py      # needs numpy and scipy
"""

import json
import pathlib

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(7)
quantiles = [
    {"p": p, "freedom": df, "t": float(stats.t.ppf(p, df))}
    for df in [1, 2, 3, 4, 5, 9, 14, 29, 99, 1000]
    for p in [0.005, 0.05, 0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9995]
]
pairs = []
for n, ratio, confidence in [(2, 0.0, 0.95), (5, 0.0, 0.95), (5, 0.25, 0.95), (10, 0.5, 0.9), (30, 0.25, 0.99)]:
    a, b = rng.normal(0.65, 0.02, n), rng.normal(0.64, 0.02, n)
    # Nadeau and Bengio 2003: scipy's own paired interval is that of ratio 0; its width grows with the standard error.
    result = stats.ttest_rel(a, b)
    low, high = result.confidence_interval(confidence)
    mean = float(np.mean(a - b))
    wider = np.sqrt((1 / n + ratio) / (1 / n))
    pairs.append({
        "differences": (a - b).tolist(), "ratio": ratio, "confidence": confidence, "mean": mean,
        "spread": float(np.std(a - b, ddof=1)),
        "low": float(mean + (low - mean) * wider), "high": float(mean + (high - mean) * wider),
    })
out = {"made_with": f"scipy {scipy.__version__}", "quantiles": quantiles, "pairs": pairs}
pathlib.Path(__file__).with_name("statistics.json").write_text(json.dumps(out) + "\n")
