"""One pretrained image backbone, a separate head for each question you ask of a photo, trained jointly, combined into one final
class.

>>> import hydranet
>>> predictor = hydranet.Predictor("best.safetensors")
>>> prediction = predictor.predict("photo.jpg")
>>> prediction.label, prediction.probability, prediction.heads["mask"].label

The chapter ``python`` of the guide (``print(hydranet.command("guide", "python"))``) has the rest.
"""

from ._commands import Event, Run, audit, command, evaluate, show, train
from ._errors import (
    ComputeError,
    ConfigError,
    DataError,
    Error,
    FileError,
    HubError,
    ImageError,
    InvalidError,
    MissingFileError,
    MissingPackageError,
    ModelFileError,
    TrainingError,
)
from ._native import VERSION as __version__
from ._native import set_threads
from ._prediction import ClassProbability, GroupProbability, HeadPrediction, NumberPrediction, Prediction
from ._predictor import Predictor
from ._torch import state_dict, torch_state_dict

__all__ = [
    "ClassProbability",
    "ComputeError",
    "ConfigError",
    "DataError",
    "Error",
    "Event",
    "FileError",
    "GroupProbability",
    "HeadPrediction",
    "HubError",
    "ImageError",
    "InvalidError",
    "MissingFileError",
    "MissingPackageError",
    "ModelFileError",
    "NumberPrediction",
    "Prediction",
    "Predictor",
    "Run",
    "TrainingError",
    "__version__",
    "audit",
    "command",
    "evaluate",
    "set_threads",
    "show",
    "state_dict",
    "torch_state_dict",
    "train",
]
