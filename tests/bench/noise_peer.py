"""The peer of hydranet's benchmark of label noise: the package cleanlab, on the same labels and probabilities.

    pip install cleanlab==2.9.0
    cargo bench --bench noise -- --python python

The first line of the input is "<folder> <classes> <processes>". Each further line is a rule; the answer is "<seconds> <peak memory
in MiB> <issues> <fold of their order>". Reading the files is not measured.
"""

import pathlib
import sys
import time

import numpy as np
from cleanlab.filter import find_label_issues


def peak_mib():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:
        return float("nan")


def fold(order):
    h = 0
    for place in order.tolist():
        h = (h * 1_000_003 + place + 1) % (2**61 - 1)
    return h


folder, classes, jobs = sys.stdin.readline().split()
labels = np.fromfile(pathlib.Path(folder) / "labels", dtype=np.int64)
probs = np.fromfile(pathlib.Path(folder) / "probs").reshape(len(labels), int(classes))
for line in sys.stdin:
    start = time.perf_counter()
    issues = find_label_issues(
        labels, probs, filter_by=line.strip(), return_indices_ranked_by="self_confidence", n_jobs=int(jobs)
    )
    print(time.perf_counter() - start, peak_mib(), len(issues), fold(issues), flush=True)
