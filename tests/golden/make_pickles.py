"""Makes the small PyTorch files `pickle_*` that the reader is tested with.

    pip install torch
    python tests/golden/make_pickles.py

pickle_wrapped.pth  {"state_dict": {"module.…"}, and what a training program keeps beside it}
pickle_ema.pth      {"model": {…}, "model_ema": {"module.…"}}: the mean must be taken
pickle_legacy.pth   as pickle_wrapped.pth, in the archive of PyTorch before 1.6
pickle_evil.pth     as pickle_wrapped.pth, with a call of os.system that would leave a file; it must not happen
pickle_foreign.pkl  a pickle of something else
"""

import argparse
import collections
import os
import pathlib
import pickle

import torch

HERE = pathlib.Path(__file__).resolve().parent


def state(prefix, start):
    """conv.weight counts up from `start`; bias is a view with an offset, fc.weight one with its axes exchanged."""
    buffer = start + torch.arange(16.0)
    return collections.OrderedDict(
        {
            f"{prefix}conv.weight": start + torch.arange(54.0).reshape(2, 3, 3, 3),
            f"{prefix}conv.bias": buffer[5:7],
            f"{prefix}fc.weight": (start + torch.arange(12.0).reshape(3, 4)).T,
            f"{prefix}bn.running_var": torch.nn.Parameter(torch.tensor([0.5, 1.5]).half()),
            f"{prefix}bn.bias": torch.tensor([0.25, -3.0], dtype=torch.float64),
            f"{prefix}bn.weight": torch.tensor([2.0, 4.0]).bfloat16(),
            f"{prefix}bn.num_batches_tracked": torch.tensor(7),
        }
    )


class Evil:
    def __reduce__(self):
        return os.system, ("touch executed",)


def wrapped():
    weight = torch.nn.Parameter(torch.ones(2, 3))
    optimizer = torch.optim.AdamW([weight], lr=1e-3)
    weight.sum().backward()
    optimizer.step()
    network = torch.nn.BatchNorm1d(2)
    beside = {
        "epoch": 3,
        "best": 0.75,
        "scale": torch.tensor(2.0),
        "args": argparse.Namespace(lr=1e-3, tags={"a", "b"}, big=-(2**40)),
        "optimizer": optimizer.state_dict(),
        "other": network.state_dict(),
    }
    return {"state_dict": state("module.", 0)} | beside


def main():
    torch.save(wrapped(), HERE / "pickle_wrapped.pth")
    torch.save(wrapped(), HERE / "pickle_legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"model": state("", 0), "model_ema": state("module.", 100)}, HERE / "pickle_ema.pth")
    torch.save({"evil": Evil()} | wrapped(), HERE / "pickle_evil.pth")
    (HERE / "pickle_foreign.pkl").write_bytes(pickle.dumps({"conv.weight": [1.0, 2.0]}, protocol=2))
    print({p.name: p.stat().st_size for p in sorted(HERE.glob("pickle_*"))})


if __name__ == "__main__":
    main()
