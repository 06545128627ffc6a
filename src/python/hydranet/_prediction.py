"""What a model says of a photo."""

from __future__ import annotations

import json
from array import array
from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Optional, Sequence


class ClassProbability(NamedTuple):
    """A final class and its probability."""

    label: str
    class_index: int
    probability: float


class GroupProbability(NamedTuple):
    """A group of labels and its probability."""

    group: str
    probability: float


class NumberPrediction(NamedTuple):
    """A number, and the bounds between which it lies with 90 % probability, as the model says."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class HeadPrediction:
    """What one head says of a photo."""

    label: Optional[str]
    """The label that the final class has for this head; ``None`` if the head does not apply, or has several at once."""
    index: Optional[int]
    """Its index."""
    probability: Optional[float]
    """Its probability."""
    best_label: str
    """The label that the head itself holds likeliest; the final class may have another, which fits the other heads."""
    probs: Mapping[str, float]
    """The probability of each label."""
    labels: Optional[tuple[str, ...]] = None
    """Of a head with several labels at once, those that are likely enough."""
    number: Optional[NumberPrediction] = None
    """Of a head that predicts a number, the number."""
    groups: tuple[GroupProbability, ...] = ()
    """Of a head whose labels are in groups, the likeliest of each level, the outermost first."""


@dataclass(frozen=True)
class Prediction:
    """What a model says of one photo."""

    path: Optional[str]
    """The photo's path; ``None`` of bytes and arrays."""
    label: str
    """The name of the final class."""
    class_index: int
    """Its index."""
    probability: float
    """Its joint probability."""
    heads: Mapping[str, HeadPrediction]
    """Each head's part, by its name, in the order of the heads."""
    abstains: bool = False
    """Whether the probability is below what the model asks for: better left to a person."""
    novelty: Optional[float] = None
    """How unlike the training photos it is, from 0 to 1; ``None`` if the model cannot tell."""
    class_probs: Sequence[float] = field(default=(), repr=False)
    """The probability of each final class, in order."""
    classes: Sequence[str] = field(default=(), repr=False, compare=False)
    """The names of the final classes, in order."""
    json: str = field(default="", repr=False, compare=False)
    """The prediction in one line, byte for byte as ``hydranet predict --json`` prints it."""

    def top_k(self, k: int) -> list[ClassProbability]:
        """The ``k`` likeliest final classes, the likeliest first."""
        order = sorted(range(len(self.class_probs)), key=lambda i: -self.class_probs[i])
        return [ClassProbability(self.classes[i], i, self.class_probs[i]) for i in order[: max(k, 0)]]


def prediction(text: str, class_probs: bytes, heads: Mapping[str, Sequence[str]], classes: Sequence[str]) -> Prediction:
    """A prediction out of what the native half gives."""
    said = json.loads(text)
    probs = array("d")
    probs.frombytes(class_probs)
    return Prediction(
        path=said.get("path"),
        label=said["name"],
        class_index=said["class"],
        probability=said["prob"],
        heads={h["head"]: _head(h, heads[h["head"]]) for h in said["heads"]},
        abstains=said.get("abstains", False),
        novelty=said.get("novelty"),
        class_probs=tuple(probs),
        classes=classes,
        json=text,
    )


def _head(said: dict[str, Any], labels: Sequence[str]) -> HeadPrediction:
    index, several, number = said["index"], said.get("labels"), said.get("number")
    return HeadPrediction(
        label=said["label"],
        index=index,
        probability=None if index is None else said["probs"][index],
        best_label=said["best_label"],
        probs=dict(zip(labels, said["probs"])),
        labels=None if several is None else tuple(several),
        number=None if number is None else NumberPrediction(number["mean"], number["low"], number["high"]),
        groups=tuple(GroupProbability(g["group"], g["prob"]) for g in said.get("groups", ())),
    )
