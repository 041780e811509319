"""The saved form of `TriopsClassifier` and `TriopsRegressor`: msgpack of settings, what was learnt beside the
model, and the model's own bytes, with a checksum. Numbers, strings, lists and maps: nothing that can run."""

from __future__ import annotations

import zlib
from os import PathLike
from typing import Any

import msgpack
import numpy as np
from sklearn.base import clone

from triops.errors import LoadError, TriopsError
from triops.models import saving

__all__ = ["load_estimator", "save_estimator"]

_MAGIC = "triops-estimator"
_FORMAT = 1
_NOT_SAVED = ("model", "backend")  # code, and what the loading machine has
_LABEL_KINDS = "biufUO"


def save_estimator(estimator: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator to a file. Raises SaveError where the model holds what cannot be saved."""
    settings = {name: value for name, value in estimator.get_params(deep=False).items() if name not in _NOT_SAVED}
    packed = _pack(
        {
            "magic": _MAGIC,
            "format": _FORMAT,
            "type": type(estimator).__name__,
            "settings": {name: value for name, value in map(_plain, settings.items()) if _packs(value)},
            "fitted": {name: _encoded(getattr(estimator, name)) for name in _fitted_names(estimator)},
            "model": estimator.model_.to_bytes(),
        }
    )
    saving.write_whole(path, packed + zlib.crc32(packed).to_bytes(4, "little"))


def load_estimator(estimator: Any, path: str | PathLike[str]) -> None:
    """Let an estimator be what is in the file. Raises LoadError, and changes nothing, where that cannot be."""
    data = saving.read_file(path)
    if zlib.crc32(data[:-4]).to_bytes(4, "little") != data[-4:]:
        raise LoadError("the file is no saved estimator, or it is damaged: save it again, or get a whole copy")
    try:
        saved = msgpack.unpackb(data[:-4], strict_map_key=False, use_list=False)
        if saved["magic"] != _MAGIC or saved["format"] != _FORMAT:
            raise LoadError(f"the file must be a saved estimator of format {_FORMAT}: make it with to_disk")
        if saved["type"] != type(estimator).__name__:
            raise LoadError(f"the saved estimator is a {saved['type']}: load it into one")
        if unknown := set(saved["fitted"]) - set(estimator.saved_attributes):
            raise LoadError(f"the saved estimator holds {sorted(unknown)}, which no {saved['type']} has")
        loaded = clone(estimator).set_params(**saved["settings"])
        for name, value in saved["fitted"].items():
            setattr(loaded, name, _decoded(value))
        loaded.take_model(saved["model"])
    except TriopsError:
        raise
    except Exception as error:  # what msgpack raises has no base but this
        raise LoadError(f"the saved estimator does not fit, or it is damaged ({error})") from error
    vars(estimator).update(vars(loaded))


def _fitted_names(estimator: Any) -> list[str]:
    return [name for name in estimator.saved_attributes if hasattr(estimator, name)]


def _plain(item: tuple[str, Any]) -> tuple[str, Any]:
    name, value = item
    return name, value.item() if isinstance(value, np.generic) else value


def _packs(value: Any) -> bool:
    try:
        _pack(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def _encoded(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    return {"dtype": value.dtype.str, "values": value.tolist()}


def _decoded(value: Any) -> Any:
    if not isinstance(value, dict):
        return list(value) if isinstance(value, tuple) else value
    dtype = np.dtype(value["dtype"])
    if dtype.kind not in _LABEL_KINDS:
        raise LoadError(f"labels must be numbers or strings, the saved ones are {dtype}")
    return np.array(value["values"], dtype)
