"""Checks hydranet's export to ONNX with ONNX Runtime and `onnx.checker`, for a model of every kind of network, against hydranet itself.

    pip install onnx onnxruntime numpy
    python tests/golden/onnx_check.py
    python tests/golden/onnx_check.py MODEL.safetensors FOLDER   # and a trained model on 100 photos of a folder

Writes `onnx.json`: of each graph a digest and the greatest difference of a probability. `tests/model_file/onnx.rs` compares the digests.
Made with onnx 1.23.2, onnxruntime 1.32.0.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

HERE = pathlib.Path(__file__).resolve().parent
TYPES = {"F32": numpy.float32, "F64": numpy.float64}
TOLERANCE = 1e-4


def tensors(path):
    """A safetensors file: the length of the header, the header, the tensors."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    found = {}
    for name, about in header.items():
        begin, end = (start + offset for offset in about["data_offsets"])
        values = numpy.frombuffer(data[begin:end], TYPES[about["dtype"]])
        found[name] = values.reshape(about["shape"])
    return found


def check(path):
    """The greatest difference of a probability, in batches of all photos and of one."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert about["hydranet"]["classes"] == about["classes"]
    golden = tensors(path.with_suffix(".safetensors"))
    images = golden.pop("images")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    expected_names, widths = [], {}
    several = {h["name"] for h in about["hydranet"]["model"]["heads"] if h.get("kind") == "multi_label"}
    for head in about["hydranet"]["model"]["heads"]:
        number = ["mean", "bins"] if head.get("kind") == "number" else []
        number += ["groups"] if head.get("groups") else []
        expected_names += [head["name"], *(f"{head['name']}_{what}" for what in number)]
        if head.get("groups"):  # groups in groups: together more than 1
            several.add(f"{head['name']}_groups")
        if head.get("kind") == "number":
            widths[f"{head['name']}_mean"] = head["range"][1] - head["range"][0]
    assert names == expected_names + ["joint", "final_class"]
    assert sorted(names) == sorted(golden)
    worst, spread = 0.0, 1.0
    for batch in [images, images[:1]]:
        for name, found in zip(names, session.run(None, {"images": batch})):
            expected = golden[name][: len(batch)]
            if name == "final_class":
                assert found.dtype == numpy.int64 and (found == expected[:, 0]).all()
                continue
            if name in widths:  # the mean of a number, in its unit
                assert found.dtype == numpy.float32 and found.shape == (len(batch),)
                worst = max(worst, float(abs(found - expected[:, 0]).max()) / widths[name])
                continue
            assert found.dtype == numpy.float32 and found.shape == expected.shape
            if name not in several:
                assert abs(found.sum(1) - 1).max() < 1e-5
            worst = max(worst, float(abs(found - expected).max()))
            if len(batch) > 1 and name != "joint":
                spread = min(spread, float(expected.std(0).max()))
    print(f"{path.stem}: {len(images)} photos, off by {worst:.1e}; each head's probabilities deviate by {spread:.2f} or more between them")
    return worst


def main(model=None, photos=None):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        environment = os.environ | {"HYDRANET_ONNX": temporary}
        if model is not None:
            environment |= {"HYDRANET_MODEL": os.path.abspath(model), "HYDRANET_PHOTOS": os.path.abspath(photos)}
        test = ["cargo", "test", "--release", "--lib", "written_for_the_script", "--", "--ignored"]
        subprocess.run(test, cwd=HERE, env=environment, check=True)
        differences = {path.stem: check(path) for path in sorted(folder.glob("*.onnx"))}
        assert max(differences.values()) < TOLERANCE
        digests = json.loads((folder / "digests.json").read_text())
    result = {}
    for name, digest in digests.items():
        result[name] = {"sha256": digest}
        if name in differences:
            result[name]["difference"] = float(f"{differences[name]:.1e}")
    (HERE / "onnx.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
