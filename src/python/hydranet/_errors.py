"""The exceptions of the package: one class a kind of error."""

from __future__ import annotations

from typing import Any, Optional


class Error(Exception):
    """Anything that goes wrong in hydranet, in words a user can act on; the base of all exceptions of this package."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class FileError(Error, OSError):
    """The operating system refused to read or write a file: ``errno`` and ``filename`` say why and which."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class ImageError(Error, ValueError):
    """A photo cannot be used."""

    photo: Optional[str] = None
    """Its path, or its place among those given, from 1."""


class ConfigError(Error, ValueError):
    """A configuration, a file of a head or an ensemble's manifest is not valid."""


class DataError(Error, ValueError):
    """A listing or a row of it cannot be used, a label is unknown, or a side of the data is empty."""

    filename: Optional[str] = None
    """The listing, where it is one."""
    line: Optional[int] = None
    """The line of the file, from 1 with the header, where it is one."""


class InvalidError(Error, ValueError):
    """An argument is not understood, is out of range or contradicts another; or a folder is not to be overwritten."""


class ModelFileError(Error, ValueError):
    """A file of a model or of weights cannot be used."""


class HubError(Error, OSError):
    """A repository on the Hugging Face Hub, or a file in it, cannot be had."""

    kind: str = "invalid"
    """``try_again``, ``not_found``, ``forbidden``, ``offline``, ``corrupt`` or ``invalid``."""


class TrainingError(Error, ArithmeticError):
    """A loss or a gradient is not finite, or a variable receives none."""


class ComputeError(Error, RuntimeError):
    """Computing itself failed."""


class MissingPackageError(Error, ImportError):
    """A package that is needed for this call alone is not installed."""


def _made(name: str, words: str, attributes: dict[str, Any]) -> Error:
    """An exception by the name of its class; the native half calls it."""
    error: Error = globals()[name](words)
    for attribute, value in attributes.items():
        setattr(error, attribute, value)
    return error


def _needed(package: str, call: str) -> Any:
    """A package that is not needed but for this call."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise MissingPackageError(f"{call} needs {package}: pip install {package}", name=package) from error
