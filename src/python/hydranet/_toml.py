"""A configuration given as dictionaries, as the TOML file that it stands for."""

from __future__ import annotations

import json
import os
from typing import Any, Iterator, Mapping

from ._errors import ConfigError


def document(config: Mapping[str, Any]) -> str:
    """The text of a file; keys whose value is ``None`` are left out, see :func:`taken_away`."""
    return "\n".join(_lines(config, ())) + "\n"


def taken_away(config: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted keys whose value is ``None``: their defaults hold."""
    for key, value in config.items():
        here = (*path, str(key))
        if value is None:
            yield ".".join(here)
        elif isinstance(value, Mapping):
            yield from taken_away(value, here)


def text(value: str) -> str:
    """A string."""
    # JSON writes strings as TOML reads them, but for this one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    if path:
        yield f"[{'.'.join(map(text, path))}]"
    for key, value in table.items():
        if value is not None and not isinstance(value, Mapping):
            yield f"{text(str(key))} = {_value(value, (*path, str(key)))}"
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _lines(value, (*path, str(key)))


def _value(value: Any, path: tuple[str, ...]) -> str:
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        # A number of numpy's.
        value = value.item()
    elif hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (str, os.PathLike)):
        return text(str(os.fspath(value)))
    if isinstance(value, Mapping):
        inside = (f"{text(str(k))} = {_value(v, (*path, str(k)))}" for k, v in value.items() if v is not None)
        return f"{{{', '.join(inside)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(v, path) for v in value)}]"
    expected = "a number, a string, a boolean, None, or lists and dictionaries of these"
    raise ConfigError(f"config, {'.'.join(path)}: expected {expected}, found {type(value).__name__}")
