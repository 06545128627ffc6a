"""A model's backbone for PyTorch."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, Union

from . import _native
from ._commands import command
from ._errors import _needed

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    import torch


def state_dict(path: Union[str, os.PathLike[str]]) -> dict[str, numpy.typing.NDArray[numpy.float32]]:
    """The tensors of a model's backbone, under timm's names, as arrays. Needs numpy."""
    np: Any = _needed("numpy", "state_dict")
    with tempfile.TemporaryDirectory(prefix="hydranet-") as folder:
        out = os.path.join(folder, "timm")
        command("export", f"--model={os.fspath(path)}", f"--timm={out}", on_event=None)
        tensors = _native.read_tensors(os.path.join(out, "model.safetensors"))
    return {name: np.frombuffer(bytearray(data), dtype=np.float32).reshape(shape) for name, shape, data in tensors}


def torch_state_dict(path: Union[str, os.PathLike[str]]) -> dict[str, torch.Tensor]:
    """The tensors of a model's backbone, under timm's names, as PyTorch's::

        network = timm.create_model(name, num_classes=0)
        network.load_state_dict(hydranet.torch_state_dict("best.safetensors"))

    where ``name`` is ``Predictor(path).descriptions[0]["model"]["backbone"]``. Needs torch and numpy.
    """
    torch: Any = _needed("torch", "torch_state_dict")
    return {name: torch.from_numpy(array) for name, array in state_dict(path).items()}
