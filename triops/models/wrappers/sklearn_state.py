"""A scikit-learn estimator as bytes of skops: arrays, numbers, and names of types, each of which skops knows to
be harmless or the user trusts."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import skops.io

from triops.errors import LoadError, SaveError

__all__ = ["estimator_from_bytes", "estimator_to_bytes"]

# skops imports the module of a type before it says whether the type is known, and importing runs code.
_MODULES = ("builtins", "collections", "numpy", "scipy", "sklearn")
# Parts of perceptrons that skops does not list: settings and arrays, and no methods that run on load.
_HARMLESS = (
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
)


def estimator_to_bytes(estimator: Any) -> bytes:
    """Raises SaveError where skops cannot save the estimator."""
    try:
        data: bytes = skops.io.dumps(estimator)
    except Exception as error:  # what it raises has no base but this
        raise SaveError(f"skops cannot save this {type(estimator).__name__} ({error})") from error
    return data


def estimator_from_bytes(data: Any, kind: type, trusted: Sequence[str]) -> Any:
    """An estimator of that type. Raises LoadError, and has run nothing, where the bytes are damaged, hold a type
    that is not trusted, or another estimator."""
    if not isinstance(data, bytes):
        raise LoadError(f"the saved estimator must be bytes of skops, got {type(data).__name__}")
    try:
        _check_modules(data, trusted)
        unknown = set(skops.io.get_untrusted_types(data=data)) - {*trusted, *_HARMLESS}
        if unknown:
            raise _untrusted(unknown)
        estimator = skops.io.loads(data, trusted=[*trusted, *_HARMLESS])
    except LoadError:
        raise
    except Exception as error:  # damaged bytes end in as many ways
        raise LoadError(f"the saved estimator does not read as skops ({error}): get a whole copy") from error
    if type(estimator) is not kind:
        raise LoadError(
            f"expected a {kind.__name__}, the saved estimator is a {type(estimator).__name__}: wrap the same one "
            f"before loading"
        )
    return estimator


def _check_modules(data: bytes, trusted: Sequence[str]) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise LoadError(
                "the saved estimator is compressed, which triops does not do: it may grow to any size"
            )
        modules = set(_modules_in(json.loads(archive.read("schema.json"))))
    allowed = (*_MODULES, *(name.rpartition(".")[0] for name in trusted))
    unknown = [name for name in modules if not any(name == one or name.startswith(f"{one}.") for one in allowed)]
    if unknown:
        raise _untrusted(set(unknown))


def _modules_in(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        yield from (tree[key] for key in ("__module__", "module_path") if isinstance(tree.get(key), str))
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _modules_in(inner)


def _untrusted(names: set[str]) -> LoadError:
    return LoadError(
        f"the saved estimator holds what is not trusted, {sorted(names)}: where you know that they are harmless, "
        f"wrap it with trusted=[...] of these names"
    )
