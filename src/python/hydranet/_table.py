"""Predictions as a table of Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence, Union

from ._errors import Error, _needed
from ._prediction import HeadPrediction, Prediction

if TYPE_CHECKING:
    import pyarrow


def table(
    columns: Sequence[str],
    heads: Mapping[str, Sequence[str]],
    paths: Sequence[Union[str, None]],
    found: Sequence[Union[Prediction, Error]],
    errors: bool,
) -> pyarrow.Table:
    """A row a photo, the columns being those of ``hydranet predict``; without a prediction only path and error are there."""
    pa = _needed("pyarrow", "predict_table")
    rows = [_row(path, p) for path, p in zip(paths, found)]
    kinds = {"class": pa.int64(), "abstains": pa.bool_()}
    texts = {"path", "name", "error", *heads}
    # A level has its probability beside it, a label of such a name has not.
    levels = (_level(head, at) for head in heads for at in range(1, len(columns)))
    texts.update(level for level in levels if f"{level}_prob" in columns)
    names = [*columns, "error"] if errors else list(columns)
    arrays = []
    for name in names:
        kind = pa.string() if name in texts else kinds.get(name, pa.float64())
        arrays.append(pa.array([row.get(name) for row in rows], type=kind))
    return pa.Table.from_arrays(arrays, names=names)


def _row(path: Union[str, None], found: Union[Prediction, Error]) -> dict[str, Any]:
    """What stands in the columns of a photo."""
    row: dict[str, Any] = {"path": path}
    if isinstance(found, Error):
        row["error"] = str(found)
        return row
    row.update({"class": found.class_index, "name": found.label, "prob": found.probability})
    row.update(abstains=found.abstains, novelty=found.novelty)
    for name, head in found.heads.items():
        row[name] = _label(head)
        row.update((f"{name}_{label}", prob) for label, prob in head.probs.items())
        if head.number is not None:
            row.update({f"{name}_mean": head.number.mean, f"{name}_low": head.number.low, f"{name}_high": head.number.high})
        for at, group in enumerate(head.groups, 1):
            row.update({_level(name, at): group.group, f"{_level(name, at)}_prob": group.probability})
    return row


def _level(head: str, at: int) -> str:
    return f"{head}_level_{at}"


def _label(head: HeadPrediction) -> Union[str, None]:
    """The label, or several as a listing has them."""
    return head.label if head.labels is None else ";".join(head.labels) or "-"
