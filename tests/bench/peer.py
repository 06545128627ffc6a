"""The same work in PyTorch, to run beside hydranet's own benchmark: EfficientNet-Lite0 with three linear heads.

    pip install torch timm
    python tests/bench/peer.py --batch 32 --size 144 112 --threads 2

A training step is forward, cross-entropy summed over the heads, backward and AdamW over all variables, batch norm on
batch statistics, no drop-path. Inference is the features and the heads in eval mode. Images are random and already in memory:
decoding is not measured. One JSON line a measurement, e.g. {"what":"train","img_per_s":60.1,"peak_rss_mb":1100, ...}; the better
of PyTorch's default layout and channels_last counts (`--layouts` shows both). Each runs in a process of its own, so that its peak
memory is its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

LABELS = [3, 2, 3]


def peak_mb():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    except OSError:  # not Linux; macOS counts in bytes
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 2**20 if sys.platform == "darwin" else peak / 1024


def measure(args):
    import timm
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    layout = torch.channels_last if args.layout == "channels_last" else torch.contiguous_format
    backbone = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    heads = torch.nn.ModuleList(torch.nn.Linear(backbone.num_features, n) for n in LABELS)
    backbone.to(memory_format=layout)
    images = torch.rand(args.batch, 3, *args.size).mul(2).sub(1).to(memory_format=layout)
    targets = [torch.randint(n, (args.batch,)) for n in LABELS]
    optimiser = torch.optim.AdamW([*backbone.parameters(), *heads.parameters()], lr=1e-4, weight_decay=0.01)

    def train():
        optimiser.zero_grad()
        features = backbone(images)
        loss = sum(F.cross_entropy(head(features), t) for head, t in zip(heads, targets))
        loss.backward()
        optimiser.step()
        return loss.item()

    @torch.inference_mode()
    def inference():
        features = backbone(images)
        return sum(head(features).sum() for head in heads).item()

    work = train if args.what == "train" else inference
    backbone.train(args.what == "train")
    for _ in range(args.warm_up):
        work()
    best = float("inf")
    for _ in range(args.repeat):
        start = time.perf_counter()
        for _ in range(args.steps):
            work()
        best = min(best, (time.perf_counter() - start) / args.steps)
    print(json.dumps({"img_per_s": round(args.batch / best, 1), "peak_rss_mb": round(peak_mb()), "torch": torch.__version__}))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=[224, 224], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--steps", type=int, default=3, help="steps in each repetition")
    parser.add_argument("--warm-up", type=int, default=2)
    parser.add_argument("--what", choices=["train", "inference", "both"], default="both")
    parser.add_argument("--layouts", action="store_true", help="a line for each layout, not only for the better one")
    parser.add_argument("--layout", choices=["default", "channels_last"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.layout:
        return measure(args)
    for what in ["train", "inference"] if args.what == "both" else [args.what]:
        lines = []
        for layout in ["default", "channels_last"]:
            command = [sys.executable, __file__, "--what", what, "--layout", layout]
            command += ["--size", *map(str, args.size)]
            for name in ["batch", "threads", "repeat", "steps", "warm_up"]:
                command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
            about = {"layout": layout, "batch": args.batch, "size": args.size, "threads": args.threads}
            lines.append({"what": what} | found | about)
        best = max(lines, key=lambda line: line["img_per_s"])
        for line in lines if args.layouts else [best]:
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
