"""Makes architectures.json: what timm knows of each architecture, and the names and shapes of its tensors.

    pip install torch timm
    python tests/golden/make_architectures.py
    python tests/golden/make_architectures.py resnet18   # prints one's tensors and writes nothing

The names are those of the table in `src/guide/backbones.md`. For each its tag, the licence and the input of its pretrained weights, the width of its features, and of its tensors without classifier
the count, the values of the parameters, and the FNV-1a hash of the lines `name dimension dimension …`, sorted, each with a newline.
"""

import json
import pathlib
import sys

import timm
import torch

HERE = pathlib.Path(__file__).resolve().parent
GUIDE = HERE.parents[1] / "src" / "guide" / "backbones.md"


def names():
    """The first column of the table with a column of licences."""
    table = GUIDE.read_text().split("their licence |\n")[1].split("\n\n")[0]
    return [row.split("`")[1] for row in table.splitlines()[1:]]


def lines(network):
    shapes = {n: t.shape for n, t in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    return [" ".join([n, *map(str, shape)]) for n, shape in sorted(shapes.items())]


def fnv(text):
    found = 0xCBF29CE484222325
    for byte in text.encode():
        found = (found ^ byte) * 0x100000001B3 % 2**64
    return f"{found:016x}"


def about(name):
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=0)
        features = network.eval()(torch.zeros(1, *network.pretrained_cfg["input_size"])).shape[1]
    known = network.pretrained_cfg
    tensors = lines(network)
    trained = known["tag"] != "untrained"
    return tensors, {
        "tag": known["tag"] if trained else "",
        "licence": known["license"] if trained else "",
        "num_features": features,
        "side": known["input_size"][-1],
        "crop_pct": known["crop_pct"],
        "interpolation": known["interpolation"],
        "mean": known["mean"],
        "std": known["std"],
        "parameters": sum(p.numel() for p in network.parameters()),
        "tensors": len(tensors),
        "hash": fnv("".join(line + "\n" for line in tensors)),
    }


def main():
    if sys.argv[1:]:
        print("\n".join(about(sys.argv[1])[0]))
        return
    rows = [f' "{name}": {json.dumps(about(name)[1])}' for name in sorted(names())]
    (HERE / "architectures.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")


if __name__ == "__main__":
    main()
