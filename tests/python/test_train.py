"""Training, scoring and auditing from Python are the command's, to the byte; Ctrl-C saves."""

import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from conftest import SETTINGS, settings
from conftest import hydranet as command

import hydranet

FILES = ("best.safetensors", "metrics.csv", "split.csv", "scores.json", "valid_predictions.csv")


def same(a, b):
    """Two runs left the same."""
    for name in FILES:
        assert (a / name).read_bytes() == (b / name).read_bytes(), name


def test_a_run_has_the_commands_bytes(place, tmp_path):
    events = []
    run = hydranet.train(place.listing, heads=place.heads, set=SETTINGS, out=tmp_path / "run", on_event=events.append)
    same(run.out, place.run)
    assert not run.stopped and run.model.is_file() and run.report.is_file()
    assert run.scores == json.loads((place.run / "scores.json").read_text())
    assert [row["epoch"] for row in run.history] == [1, 2]
    kinds = [e["kind"] for e in events]
    assert {"note", "progress", "step", "epoch"} <= set(kinds)
    epochs = [e for e in events if e["kind"] == "epoch"]
    assert [e["epoch"] for e in epochs] == [1, 2] and set(epochs[0]["head_accuracy"]) == {"colour", "size"}
    steps = [(e["epoch"], e["step"], e["steps"]) for e in events if e["kind"] == "step"]
    assert steps == [(epoch, step, 5) for epoch in (1, 2) for step in range(1, 6)]
    assert run.predictor().heads.keys() == {"colour", "size"}


def test_a_configuration_is_a_file_a_dictionary_or_settings(place, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text("[train]\nepochs = 2\nbatch = 8\nseed = 9\n[heads.size]\nweight = 0.5\n[model.input]\nsize = [32, 40]\n")
    tables = {
        "train": {"epochs": 3, "batch": 8, "seed": 9, "mix_up": None},
        "heads": {"size": {"weight": 0.5}},
        "model": {"input": {"size": (32, 40)}},
    }
    given = [(file, []), (tables, ["train.epochs=2"])]
    runs = []
    for i, (config, more) in enumerate(given):
        out = tmp_path / str(i)
        runs.append(hydranet.train([place.listing], heads=place.heads, config=config, set=more, out=out, on_event=None))
    same(runs[0].out, runs[1].out)
    assert (runs[0].out / "config.toml").read_text() == (runs[1].out / "config.toml").read_text()
    assert (runs[0].out / "best.safetensors").read_bytes() != place.model.read_bytes()


def test_on_event_ends_a_run_that_goes_on_as_if_it_had_not(place, tmp_path):
    out = tmp_path / "run"
    given = dict(heads=place.heads, set=SETTINGS, out=out)
    stopped = hydranet.train(place.listing, **given, on_event=lambda e: (e["kind"], e.get("step")) != ("step", 2))
    assert stopped.stopped and stopped.scores is None
    with pytest.raises(hydranet.InvalidError, match="resume=True"):
        hydranet.train(place.listing, **given, on_event=None)

    def fails(event):
        if event["kind"] == "epoch":
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        hydranet.train(out=out, heads=place.heads, resume=True, on_event=fails)
    run = hydranet.train(out=out, heads=place.heads, resume=True, on_event=None)
    assert not run.stopped
    same(run.out, place.run)


SCRIPT = """
import sys, threading, hydranet
ticks = 0
def tick():
    global ticks
    while True:
        ticks += 1
        threading.Event().wait(0.005)
threading.Thread(target=tick, daemon=True).start()
def hear(event):
    if event["kind"] == "step" and event["epoch"] == 1:
        print("step", ticks, flush=True)
try:
    hydranet.train(sys.argv[1], heads=sys.argv[2], set=sys.argv[4:], out=sys.argv[3], on_event=hear)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(7)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are Unix's")
def test_ctrl_c_is_raised_after_everything_is_saved(place, tmp_path):
    out = tmp_path / "run"
    args = [sys.executable, "-c", SCRIPT, place.listing, place.heads, out, *SETTINGS]
    child = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ticks = [int(child.stdout.readline().split()[1]) for _ in range(2)]
    child.send_signal(signal.SIGINT)
    said, errors = child.communicate(timeout=300)
    assert (child.returncode, said.splitlines()[-1]) == (7, "interrupted"), errors
    # While a step was computed, another thread of Python's went on.
    assert ticks[1] > ticks[0], ticks
    assert (out / "state.safetensors").is_file() and not list(out.glob("*.tmp*"))
    command("train", "--resume", "--out", out, "--heads", place.heads)
    same(out, place.run)


def test_scores_are_the_commands(place, tmp_path):
    predictions = tmp_path / "python.csv"
    scores = hydranet.evaluate(place.model, place.listing, coverage=True, out=predictions, on_event=None)
    other = tmp_path / "command.csv"
    said = command("evaluate", "--model", place.model, "--data", place.listing, "--coverage", "--out", other, "--json")
    assert scores == json.loads(said)
    assert predictions.read_bytes() == other.read_bytes()


def test_ctrl_c_ends_what_has_nothing_to_save(place):
    heard = []

    def hear(event):
        heard.append(event)
        if event["kind"] == "progress" and event["what"] == "evaluate":
            signal.raise_signal(signal.SIGINT)

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        hydranet.evaluate(place.model, [place.listing], split="all", on_event=hear)
    assert heard and threading.active_count() == before
    with pytest.raises(hydranet.InvalidError, match="evaluate: on_event ended it"):
        hydranet.evaluate(place.model, place.listing, on_event=lambda event: False)
    assert hydranet.evaluate(place.model, place.listing, on_event=None)


def test_an_audit_is_the_commands(place, tmp_path):
    given = ["train.epochs=3", "train.seed=3"]
    found = hydranet.audit(place.listing, heads=place.heads, set=given, folds=2, out=tmp_path / "a", on_event=None)
    args = ["--set", given[0], "--set", given[1], "--folds", "2", "--out", tmp_path / "b"]
    command("audit", "--data", place.listing, "--heads", place.heads, *args)
    for name in ("audit.json", "suspects.csv", "persons.csv", "out_of_fold.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    assert found == json.loads((tmp_path / "b" / "audit.json").read_text())


def test_other_commands_run_too(place, tmp_path, capfd):
    said = hydranet.command("inspect", "--model", place.model, on_event=None)
    assert said + "\n" == command("inspect", "--model", place.model)
    hydranet.command("check", "--data", place.listing, "--heads", place.heads)
    out = capfd.readouterr()
    assert out.out == ""
    with pytest.raises(hydranet.InvalidError, match="a server listens for signals"):
        hydranet.command("serve", "--model", place.model)
