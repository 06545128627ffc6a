"""Predictions are the command's, whatever a photo is given as."""

import csv
import io
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import hydranet as command

import hydranet


def test_predictions_are_the_commands_byte_for_byte(place, predictor):
    said = command("predict", "--json", "--model", place.model, *place.photos).splitlines()
    found = predictor.predict(place.photos)
    assert [p.json for p in found] == said
    first, p = json.loads(said[0]), found[0]
    assert (p.label, p.class_index, p.probability) == (first["name"], first["class"], first["prob"])
    assert list(p.heads) == [h["head"] for h in first["heads"]] == ["colour", "size"]
    for said_of in first["heads"]:
        head = p.heads[said_of["head"]]
        assert (head.label, head.index) == (said_of["label"], said_of["index"])
        assert list(head.probs.values()) == said_of["probs"]
        assert head.probability == head.probs[head.label]


def test_files_bytes_and_pixels_are_the_same_photo(place, predictor):
    path, pixels = place.photos[0], place.pixels[0]
    of_file = predictor.predict(path)
    assert of_file.path == str(path)
    data = path.read_bytes()
    wide = np.zeros((40, 72, 3), dtype=np.uint8)
    wide[:, ::2] = pixels
    for same in (data, bytearray(data), memoryview(data), pixels, np.asfortranarray(pixels), wide[:, ::2]):
        other = predictor.predict(same)
        assert other.path is None
        assert (other.class_probs, other.heads) == (of_file.class_probs, of_file.heads)
    together = predictor.predict(np.stack(place.pixels[:5]))
    assert [p.class_probs for p in together] == [p.class_probs for p in predictor.predict(place.photos[:5])]
    assert predictor.predict([]) == []
    mixed = predictor.predict(iter([str(path), data, pixels]))
    assert [p.class_probs for p in mixed] == [of_file.class_probs] * 3


def test_what_a_model_has(place, predictor):
    assert predictor.heads == {"colour": ("red", "green", "blue"), "size": ("small", "large")}
    assert len(predictor.classes) == 6 and predictor.classes[0] == "red / small"
    p = predictor.predict(place.photos[0])
    assert p.classes[p.class_index] == p.label and abs(sum(p.class_probs) - 1) < 1e-9
    top = p.top_k(3)
    assert [t.probability for t in top] == sorted(p.class_probs)[:2:-1]
    assert top[0] == (p.label, p.class_index, p.probability)
    assert predictor.descriptions[0]["model"]["backbone"] == "tf_efficientnet_lite0"
    assert repr(predictor).endswith("best.safetensors': colour, size; 6 classes)")


def test_the_table_is_the_commands(place, predictor):
    broken = place.folder / "broken.png"
    broken.write_bytes(place.photos[1].read_bytes()[:200])
    photos = [place.photos[0], broken, place.photos[2]]
    table = predictor.predict_table(photos, on_error="return")
    rows = table.to_pylist()
    assert rows[1]["path"] == str(broken) and str(broken) in rows[1]["error"] and rows[1]["class"] is None
    said = list(csv.DictReader(io.StringIO(command("predict", "--model", place.model, photos[0], photos[2]))))
    assert table.column_names == [*said[0], "error"]
    for row, of_command in zip([rows[0], rows[2]], said):
        assert row.pop("error") is None
        shown = {name: f"{cell:.6f}" if isinstance(cell, float) else str(cell) for name, cell in row.items()}
        assert shown == of_command
    with pytest.raises(hydranet.ImageError):
        predictor.predict_table(photos)


def test_features_are_an_array(place, predictor):
    rows = predictor.features(place.photos[:40])
    assert rows.shape == (40, 1280) and rows.dtype == np.float32 and rows.flags.writeable
    assert np.isfinite(rows).all() and rows.std() > 0
    assert (predictor.features(place.pixels[3]) == rows[3:4]).all()
    assert predictor.features([]).shape == (0, 1280)
    # What the first head says is a linear layer of them.
    tensors = {name: (shape, data) for name, shape, data in hydranet._native.read_tensors(place.model)}
    weight, bias = (np.frombuffer(tensors[f"heads.colour.fc.{part}"][1], dtype=np.float32) for part in ("weight", "bias"))
    logits = rows @ weight.reshape(3, -1).T + bias
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = [list(p.heads["colour"].probs.values()) for p in predictor.predict(place.photos[:40])]
    assert np.abs(probs - said).max() < 1e-5


def test_a_bad_photo_is_raised_or_returned_in_its_place(place, predictor):
    photos = [place.photos[0], b"no photo", place.photos[1]]
    with pytest.raises(hydranet.ImageError, match="photo 2: ") as raised:
        predictor.predict(photos)
    assert raised.value.photo == "2"
    first, error, last = predictor.predict(photos, on_error="return")
    assert isinstance(error, hydranet.ImageError) and str(error) == str(raised.value)
    assert (first, last) == tuple(predictor.predict([photos[0], photos[2]]))
    # After the first nothing more is taken, but what is held at once.
    taken = itertools.count()
    endless = (next(taken) and b"no photo" or b"none" for _ in itertools.count())
    with pytest.raises(hydranet.ImageError, match="photo 1: "):
        predictor.predict(endless)
    assert next(taken) < 100


def test_an_exception_of_the_photos_own_is_raised(place, predictor):
    def photos():
        yield place.photos[0]
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        predictor.predict(photos())


def test_an_ensemble_and_views(place, predictor):
    manifest = place.folder / "all.json"
    command("ensemble", "--out", manifest, place.model, place.model, "--flip")
    for given, options in ((manifest, {}), (place.model, {"flip": True})):
        said = command("predict", "--json", "--model", given, *(["--flip"] if options else []), place.photos[0])
        assert hydranet.Predictor(given, **options).predict(place.photos[0]).json == said.strip()
    with pytest.raises(hydranet.InvalidError, match="one model"):
        hydranet.Predictor(manifest).features(place.photos[0])
    with pytest.raises(hydranet.InvalidError, match="five_crops"):
        hydranet.Predictor(place.model, five_crops=2.0)


def test_a_predictor_is_pickled_as_its_path(place, predictor):
    again = pickle.loads(pickle.dumps(predictor))
    assert again.predict(place.photos[0]) == predictor.predict(place.photos[0])


def test_threads_go_on_meanwhile(place, predictor):
    ticks, going = [], True

    def tick():
        while going:
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    # Without one event of Python's in between: few enough to be held at once.
    photos = place.photos[:30]
    start = time.perf_counter()
    while time.perf_counter() - start < 0.5:
        before = time.perf_counter()
        predictor.features(photos)
        after = time.perf_counter()
    going = False
    thread.join()
    inside = [t for t in ticks if before < t < after]
    assert len(inside) > 200 * (after - before), (len(inside), after - before)
    found = [None] * 4

    def predict(i):
        found[i] = predictor.predict(place.photos[i])

    threads = [threading.Thread(target=predict, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert found == predictor.predict(place.photos[:4])


def test_ctrl_c_ends_a_prediction(place, predictor):
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        # More than half a second takes, and not without end.
        predictor.predict(itertools.repeat(place.photos[0], 200_000))
    assert predictor.predict(place.photos[0]).label


def test_the_same_number_of_threads_may_be_set_again(place):
    # As an engine for data does, whose tasks follow one another in a process.
    lines = """
import sys, hydranet
for _ in range(2):
    hydranet.set_threads(3)
    hydranet.Predictor(sys.argv[1]).predict(sys.argv[2])
try:
    hydranet.set_threads(2)
except hydranet.InvalidError as error:
    print(error)
"""
    args = [sys.executable, "-c", lines, place.model, place.photos[0]]
    out = subprocess.run(list(map(str, args)), capture_output=True, text=True)
    assert (out.returncode, out.stderr) == (0, "") and "set once" in out.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_is_refused_and_does_not_hang(place, predictor):
    predictor.predict(place.photos[0])
    child = os.fork()
    if child == 0:
        try:
            predictor.predict(place.photos[0])
        except hydranet.ComputeError as error:
            os._exit(0 if "spawn" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_missing_package_is_said(place, predictor, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(hydranet.MissingPackageError, match="predict_table needs pyarrow: pip install pyarrow") as raised:
        predictor.predict_table(place.photos[0])
    assert isinstance(raised.value, ImportError)
