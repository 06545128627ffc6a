"""Training, scoring and auditing: what the commands of these names do, by the same code and over the same configuration."""

from __future__ import annotations

import csv
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Iterable, Iterator, Mapping, Optional, Sequence, Union

from . import _native, _toml
from ._errors import Error, InvalidError
from ._predictor import Predictor

PathLike = Union[str, "os.PathLike[str]"]
Paths = Union[PathLike, Sequence[PathLike]]
Event = dict[str, Any]
OnEvent = Callable[[Event], Any]


def show(event: Event) -> None:
    """Prints the lines among the events to standard error, as the command does; what ``on_event`` is if nothing is given."""
    if event["kind"] == "note":
        print(event["text"], file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Run:
    """A training run, in its folder."""

    out: Path
    """The folder."""
    stopped: bool
    """Whether ``on_event`` ended it before its end; ``train(resume=True, …)`` goes on."""
    scores: Optional[dict[str, Any]] = field(repr=False)
    """The scores of the model on the validation side; ``None`` without one, or if the run was stopped."""

    @property
    def model(self) -> Path:
        """The file of the model."""
        return self.out / "best.safetensors"

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.out / "report.html"

    @property
    def history(self) -> list[dict[str, Union[float, str, None]]]:
        """The figures of each epoch so far: the rows of ``metrics.csv``."""
        with open(self.out / "metrics.csv", newline="", encoding="utf-8") as file:
            return [{key: _number(cell) for key, cell in row.items()} for row in csv.DictReader(file)]

    def predictor(self, **options: Any) -> Predictor:
        """The model, ready to predict."""
        return Predictor(self.model, **options)


def train(
    data: Optional[Paths] = None,
    *,
    out: PathLike,
    heads: Optional[PathLike] = None,
    config: Union[PathLike, Mapping[str, Any], None] = None,
    set: Iterable[str] = (),
    weights: Optional[PathLike] = None,
    columns: Optional[Mapping[str, str]] = None,
    split_files: Paths = (),
    unlabelled: Paths = (),
    resume: bool = False,
    skip_broken: bool = False,
    on_event: Optional[OnEvent] = show,
) -> Run:
    """Fine-tunes a model and writes everything to the folder ``out``, as ``hydranet train`` does, to the same bytes.

    ``data`` are listings and folders of photos. The configuration is put together from the folder ``heads``, from ``config``, the
    path of a TOML file or a dictionary of its tables (``{"train": {"epochs": 3}}``), and from ``set``, settings one by one
    (``["train.epochs=3"]``), later ones winning. ``weights`` is short for the setting ``model.weights``. With ``resume`` the run
    in ``out`` goes on as it was begun.

    ``on_event`` is called in this thread with each event, a dictionary whose ``kind`` says which; see the chapter ``python`` of
    the guide. If it returns ``False`` the run saves everything and ends as stopped; if it raises, or on Ctrl-C, that is raised
    once everything is saved. Python's lock is held only while it runs. ``None`` is for silence.
    """
    args = ["train", *_many("data", data), f"--out={os.fspath(out)}", *_columns(columns)]
    args += [*_many("split-file", split_files), *_many("unlabelled", unlabelled)]
    args += [*_flag("resume", resume), *_flag("skip-broken", skip_broken)]
    settings = [] if weights is None else [f"model.weights={_toml.text(str(os.fspath(weights)))}"]
    with _config(heads, config, set, settings) as given:
        ended, _ = _run([*args, *given.args], on_event, given)
    stopped = ended == "stopped"
    scores = Path(out) / "scores.json"
    return Run(Path(out), stopped, json.loads(scores.read_text(encoding="utf-8")) if not stopped and scores.is_file() else None)


def evaluate(
    model: PathLike,
    data: Paths,
    *,
    split: str = "test",
    columns: Optional[Mapping[str, str]] = None,
    split_files: Paths = (),
    corrections: Paths = (),
    skip_broken: bool = False,
    flip: bool = False,
    five_crops: Optional[float] = None,
    coverage: bool = False,
    out: Optional[PathLike] = None,
    on_event: Optional[OnEvent] = show,
) -> dict[str, Any]:
    """The scores of a model, or of an ensemble, on labelled photos: what ``hydranet evaluate --json`` prints.

    Photos stand on the sides where they stood when the model was trained; those that it has not seen belong to the test. ``split``
    is ``train``, ``valid``, ``test`` or ``all``. ``out`` is a CSV to write every prediction to. Ctrl-C ends it.
    """
    args = ["evaluate", "--json", f"--model={os.fspath(model)}", f"--split={split}", *_many("data", data)]
    args += [*_columns(columns), *_many("split-file", split_files), *_many("corrections", corrections)]
    args += [*_flag("skip-broken", skip_broken), *_flag("flip", flip), *_flag("coverage", coverage)]
    if five_crops is not None:
        args.append(f"--five-crops={five_crops!r}")
    if out is not None:
        args.append(f"--out={os.fspath(out)}")
    results = _finished(args, on_event)
    scores: dict[str, Any] = json.loads("\n".join(results))
    return scores


def audit(
    data: Paths,
    *,
    out: PathLike,
    heads: Optional[PathLike] = None,
    config: Union[PathLike, Mapping[str, Any], None] = None,
    set: Iterable[str] = (),
    columns: Optional[Mapping[str, str]] = None,
    corrections: Paths = (),
    skip_broken: bool = False,
    folds: int = 5,
    rule: str = "prune_by_noise_rate",
    rank_by: str = "self_confidence",
    agreeing: Optional[Sequence[str]] = None,
    inject: Optional[float] = None,
    flip: Optional[str] = None,
    unit: Optional[str] = None,
    retrain: bool = False,
    on_event: Optional[OnEvent] = show,
) -> dict[str, Any]:
    """Finds labels that are likely wrong: what ``hydranet audit`` does. Gives what it writes to ``audit.json`` in the folder
    ``out``; ``suspects.csv``, ``persons.csv``, ``out_of_fold.csv`` and ``audit.html`` stand beside it.

    Configuration and events are as in :func:`train`. After Ctrl-C the same call goes on where it was.
    """
    args = ["audit", *_many("data", data), f"--out={os.fspath(out)}", f"--folds={folds}", f"--rule={rule}"]
    args += [f"--rank-by={rank_by}", *_columns(columns), *_many("corrections", corrections)]
    args += [*_flag("skip-broken", skip_broken), *_flag("retrain", retrain)]
    if agreeing is not None:
        args.append(f"--agreeing={','.join(agreeing)}")
    options = {"inject": inject, "flip": flip, "unit": unit}
    args += [f"--{name}={value}" for name, value in options.items() if value is not None]
    with _config(heads, config, set) as given:
        _finished([*args, *given.args], on_event, given)
    found: dict[str, Any] = json.loads((Path(out) / "audit.json").read_text(encoding="utf-8"))
    return found


def command(*args: PathLike, on_event: Optional[OnEvent] = show) -> str:
    """Runs any other command by its arguments, ``command("export", "--model", model, "--onnx", "model.onnx")``, and gives what it
    would print as its result. ``hydranet guide commands`` lists them; ``serve`` is for a program of its own.

    What is found wrong, by ``check`` for instance, is said in the result and is no exception.
    """
    results = _finished([os.fspath(arg) for arg in args], on_event)
    return "\n".join(results)


class _Config:
    """A configuration as arguments; a dictionary is a file while the command runs."""

    def __init__(self, args: list[str], folder: Optional[tempfile.TemporaryDirectory[str]] = None) -> None:
        self.args, self.folder = args, folder

    def __enter__(self) -> _Config:
        return self

    def __exit__(self, *_: object) -> None:
        if self.folder is not None:
            self.folder.cleanup()

    def named(self, words: str) -> str:
        """Words of an error in which a file that nobody has written is called what it was."""
        return words if self.folder is None else words.replace(os.path.join(self.folder.name, "config.toml"), "config")


def _config(
    heads: Optional[PathLike],
    config: Union[PathLike, Mapping[str, Any], None],
    settings: Iterable[str],
    before: Iterable[str] = (),
) -> _Config:
    if isinstance(settings, str):
        raise InvalidError('set: expected a list of settings, as ["train.epochs=3"], found a string')
    args = [] if heads is None else [f"--heads={os.fspath(heads)}"]
    folder = None
    if isinstance(config, Mapping):
        text = _toml.document(config)
        folder = tempfile.TemporaryDirectory(prefix="hydranet-")
        path = os.path.join(folder.name, "config.toml")
        Path(path).write_text(text, encoding="utf-8")
        args.append(f"--config={path}")
        args += [f"--set={key}=" for key in _toml.taken_away(config)]
    elif config is not None:
        args.append(f"--config={os.fspath(config)}")
    return _Config(args + [f"--set={setting}" for setting in (*before, *settings)], folder)


def _run(args: list[str], on_event: Optional[OnEvent], given: Optional[_Config] = None) -> tuple[str, list[str]]:
    def heard(text: str) -> Any:
        event = json.loads(text)
        return None if on_event is None else on_event(event)

    try:
        return _native.command(args, heard)
    except Error as error:
        if given is not None and error.args:
            error.args = (given.named(str(error)), *error.args[1:])
        raise


def _finished(args: list[str], on_event: Optional[OnEvent], given: Optional[_Config] = None) -> list[str]:
    ended, results = _run(args, on_event, given)
    if ended == "stopped":
        raise InvalidError(f"{args[0]}: on_event ended it by returning False, and so there is no result")
    return results


def _many(option: str, paths: Optional[Paths]) -> Iterator[str]:
    if paths is None:
        return
    for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
        yield f"--{option}={os.fspath(path)}"


def _flag(option: str, given: bool) -> list[str]:
    return [f"--{option}"] if given else []


def _columns(columns: Optional[Mapping[str, str]]) -> Iterator[str]:
    for word, column in (columns or {}).items():
        yield f"--columns={word}={column}"


def _number(cell: str) -> Union[float, str, None]:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
