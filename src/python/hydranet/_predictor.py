"""A trained model, ready to predict."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Literal, Mapping, Optional, Sequence, Union, overload

from . import _native
from ._errors import Error, InvalidError, _needed
from ._prediction import Prediction, prediction

if TYPE_CHECKING:
    import numpy
    import numpy.typing
    import pyarrow

Photo = Any
"""A photo: the path of its file, the bytes of its file, or pixels: an array of ``uint8`` of shape (height, width, 3), also 1 or 4
channels or none, or anything numpy makes such an array of, a picture of Pillow's among them."""

_FILES = (bytes, bytearray, memoryview, str, os.PathLike)


class Predictor:
    """A trained model, or an ensemble of several, ready to predict.

    ``path`` is a model file (``best.safetensors``), a folder that ``hydranet export --hugging-face`` wrote, or an ensemble's
    JSON. ``flip`` predicts each photo mirrored too, and ``five_crops=0.875`` its middle and its corners in place of the whole;
    the answers are averaged.

    It can be shared between threads, which compute at once without Python's lock, and pickled, as its path.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *, flip: bool = False, five_crops: Optional[float] = None) -> None:
        self._opened = (os.fspath(path), flip, five_crops)
        self._native = _native.Predictor(*self._opened)
        self._heads = {head: tuple(labels) for head, labels in self._native.heads()}
        self._classes = tuple(self._native.classes())

    def __repr__(self) -> str:
        return f"hydranet.Predictor({self._opened[0]!r}: {', '.join(self._heads)}; {len(self._classes)} classes)"

    def __reduce__(self) -> tuple[Any, ...]:
        return _opened, self._opened

    @property
    def heads(self) -> Mapping[str, tuple[str, ...]]:
        """The labels of each head by its name, in order."""
        return self._heads

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the final classes, in order."""
        return self._classes

    @property
    def descriptions(self) -> list[dict[str, Any]]:
        """What the file of each model says of it: its backbone, its heads, how it was trained."""
        return [json.loads(text) for text in self._native.descriptions()]

    # One photo has one answer, several have a list.
    @overload
    def predict(self, photos: Union[str, bytes, os.PathLike[str]]) -> Prediction: ...
    @overload
    def predict(self, photos: list[Photo]) -> list[Prediction]: ...
    @overload
    def predict(self, photos: list[Photo], *, on_error: Literal["return"]) -> list[Union[Prediction, Error]]: ...
    @overload
    def predict(self, photos: Any, *, on_error: Literal["raise", "return"] = "raise") -> Any: ...
    def predict(self, photos: Any, *, on_error: Literal["raise", "return"] = "raise") -> Any:
        """Predicts a photo, or several: of one the :class:`Prediction`, of a list, a generator or an array of shape (photos,
        height, width, channels) a list of them, in their order.

        Photos are taken one after the other from what is given and held no longer than needed, so that a generator over many is
        well. The first that cannot be used raises its exception, or with ``on_error="return"`` the exception stands in the
        place of its prediction, and the others are predicted.
        """
        if on_error not in ("raise", "return"):
            raise InvalidError(f"on_error: expected 'raise' or 'return', found {on_error!r}")
        alone, photos = _several(photos)
        found = list(self._predicted(photos, on_error == "raise"))
        return found[0] if alone else found

    def predict_table(self, photos: Any, *, on_error: Literal["raise", "return"] = "raise") -> pyarrow.Table:
        """As :meth:`predict`, as a table of Arrow with a row a photo and the columns that ``hydranet predict`` prints: ``path``,
        ``class``, ``name``, ``prob``, of each head its label and the probability of each of its labels, and what else the model
        says. With ``on_error="return"`` there is a column ``error`` too. Needs pyarrow."""
        from ._table import table

        _needed("pyarrow", "predict_table")
        _, photos = _several(photos)
        paths: list[Optional[str]] = []

        def noted() -> Iterator[Photo]:
            for photo in photos:
                paths.append(os.fspath(photo) if isinstance(photo, (str, os.PathLike)) else None)
                yield photo

        found = self.predict(noted(), on_error=on_error)
        return table(self._native.columns(), self._heads, paths, found, on_error == "return")

    def features(self, photos: Any) -> numpy.typing.NDArray[numpy.float32]:
        """What the backbone makes of photos, given as to :meth:`predict`: an array of ``float32`` of shape (photos, features). Of
        one photo it has one row. The first photo that cannot be used raises its exception. Needs numpy."""
        np = _needed("numpy", "features")
        _, photos = _several(photos)
        rows, width, numbers = self._native.features(map(_photo, photos))
        return np.frombuffer(bytearray(numbers), dtype=np.float32).reshape(rows, width)  # type: ignore[no-any-return]

    def _predicted(self, photos: Iterable[Photo], end: bool) -> Iterator[Union[Prediction, Error]]:
        for found in self._native.predict(map(_photo, photos), end):
            if isinstance(found, Error):
                if end:
                    raise found
                yield found
            else:
                yield prediction(*found, self._heads, self._classes)


def _opened(path: str, flip: bool, five_crops: Optional[float]) -> Predictor:
    return Predictor(path, flip=flip, five_crops=five_crops)


def _several(photos: Any) -> tuple[bool, Iterable[Photo]]:
    """Whether it is one photo, and the photos."""
    if isinstance(photos, _FILES):
        return True, (photos,)
    dimensions = getattr(photos, "ndim", None)
    if dimensions is not None:
        return dimensions != 4, photos if dimensions == 4 else (photos,)
    # A picture of Pillow's and others that are arrays in all but name.
    if hasattr(photos, "__array_interface__") or hasattr(photos, "__array__"):
        return True, (photos,)
    if isinstance(photos, Iterable):
        return False, photos
    raise InvalidError(f"a photo: expected a path, bytes, an array of uint8 or several of these, found {type(photos).__name__}")


def _photo(photo: Photo) -> Any:
    """A photo as the native half takes it."""
    if isinstance(photo, (str, os.PathLike)):
        return os.fspath(photo)
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return bytes(photo)
    if not (hasattr(photo, "__array_interface__") or hasattr(photo, "__array__")):
        raise InvalidError(f"a photo: expected a path, bytes or an array of uint8, found {type(photo).__name__}")
    np = _needed("numpy", "a photo of pixels")
    if getattr(photo, "mode", None) in ("P", "CMYK", "1", "LA", "I", "I;16", "F", "YCbCr", "LAB", "HSV"):
        photo = photo.convert("RGB")
    pixels = np.asarray(photo)
    shape: Sequence[int] = pixels.shape
    if len(shape) == 2:
        shape = (*shape, 1)
    if pixels.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise InvalidError(
            "a photo's pixels: expected an array of uint8 of shape (height, width, channels), channels 1, 3 or 4, "
            f"found {pixels.dtype} of shape {tuple(pixels.shape)}"
        )
    return shape[0], shape[1], np.ascontiguousarray(pixels).tobytes()
