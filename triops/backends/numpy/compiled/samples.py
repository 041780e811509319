"""Arguments for every compiled op, by their names, so that its kernels can be compiled before they are needed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.elementwise import FORMS
from triops.backends.numpy.compiled.recurrent import RECURRENT
from triops.backends.numpy.compiled.scalar import F

__all__ = ["calls_of", "small_and_large"]

_WIDTH, _PIECES = 96, 3
_HEADS, _COLUMNS, _HIDDEN = 3, 32, 8
_SMALL, _LARGE = 4, 2048  # rows: below and above what pays for threads


def _floats(*shape: int) -> Any:
    return np.full(shape, 0.5, np.float32)


def _ids(dtype: str, *shape: int) -> Callable[[int], Any]:
    """So many ids a row."""
    return lambda n: np.zeros((n, *shape), dtype)


_MATRICES = (
    "X", "Y", "T", "dX", "dY", "saved", "values", "W", "dW", "mom1", "mom2", "velocity", "ema", "weights",
    "gradient", "table", "Xs",
)  # fmt: skip
_NUMBERS = (
    "temperature", "eps", "drop", "learn_rate", "keep", "momentum", "beta1", "rest1", "beta2", "rest2", "rate",
    "root_fix2", "rectifier", "rest", "threshold", "slope", "offset", "min_val", "max_val", "alpha",
)  # fmt: skip
# What an argument of a name is, given the number of rows.
_BY_NAME: Mapping[str, Callable[[int], Any]] = {
    **dict.fromkeys(_MATRICES, lambda n: _floats(n, _WIDTH)),
    **dict.fromkeys(_NUMBERS, lambda n: 0.5),
    **dict.fromkeys(("G", "b"), lambda n: _floats(_WIDTH)),
    **dict.fromkeys(("mu", "rstd"), lambda n: _floats(n, 1)),
    **dict.fromkeys(("d_maxes", "d_sums", "d_means"), lambda n: _floats(n // 4, _WIDTH)),
    **dict.fromkeys(("rows", "nV"), lambda n: n),
    **dict.fromkeys(("seed", "step"), lambda n: np.uint32(1)),
    **dict.fromkeys(("ids", "keys"), lambda n: np.zeros(n * _WIDTH, np.uint64)),
    "lengths": lambda n: np.full(n // 4, 4, np.int64),
    "shape": lambda n: (n, _WIDTH),
    "dtype": lambda n: "float32",
    "axis": lambda n: 1,
    "nesterov": lambda n: False,
    "nW": lambda n: 1,
    "n": lambda n: 2,
    "P": lambda n: _PIECES,
}


def _recurrent(kind: str, op: str) -> Mapping[str, Callable[[int], Any]]:
    """Arguments of one layer in one direction, over sequences of 4 steps."""
    gates = {"lstm": 4, "gru": 3}[kind]
    size = gates * _HIDDEN * (_WIDTH + _HIDDEN + 2)
    forward: Mapping[str, Callable[[int], Any]] = {
        "params": lambda n: _floats(size),
        **dict.fromkeys(("H0", "C0"), lambda n: _floats(1, 1, _HIDDEN)),
        "size_at_t": lambda n: np.full(4, n // 4, np.int64),
        "sequences": lambda n: n // 4,
        "scan": lambda n: None,
    }
    if op != "backprop":
        return forward

    def state(n: int) -> Any:
        compiled: Any = RECURRENT[f"{kind}_forward_training"]
        names = inspect.signature(compiled).parameters
        return compiled(**{name: {**_BY_NAME, **forward}[name](n) for name in names})[1]

    return {**forward, "dY": lambda n: _floats(n, _HIDDEN), "fwd_state": state}


_HEADED: Mapping[str, Callable[[int], Any]] = {
    **dict.fromkeys(("Q", "K", "V", "Y", "dY"), lambda n: _floats(n, _HEADS, _COLUMNS)),
    **dict.fromkeys(("kv_lengths", "mask"), lambda n: None),
    **dict.fromkeys(("longest", "longest_keys"), lambda n: 4),
    "logsumexp": lambda n: _floats(n, _HEADS),
    "scale": lambda n: 0.5,
    "causal": lambda n: False,
}
_BAG: Mapping[str, Callable[[int], Any]] = {
    "indices": _ids("int64", 4),
    "dY": lambda n: _floats(n // 4, _WIDTH),
    "mean": lambda n: False,
}
# Where an op means something else by a name, or is compiled once for each of its forms.
_BY_OP: Mapping[str, tuple[Mapping[str, Callable[[int], Any]], ...]] = {
    "maxout": ({"X": lambda n: _floats(n, _WIDTH, 2)}, {"X": lambda n: _floats(n, _WIDTH, _PIECES)}),
    "backprop_maxout": ({"which": _ids("int32", _WIDTH), "P": lambda n: 2}, {"which": _ids("int32", _WIDTH)}),
    "affine": ({"W": lambda n: _floats(_WIDTH, _WIDTH)},),
    "backprop_reduce_max": ({"which": lambda n: _ids("int32", _WIDTH)(n // 4)},),
    **dict.fromkeys(("gather", "scatter_add"), ({"indices": _ids("int64")},)),
    **dict.fromkeys(("gather_add", "backprop_gather_add"), ({"indices": _ids("int64", 4)},)),
    **dict.fromkeys(("embedding_bag", "backprop_embedding_bag"), (_BAG,)),
    **dict.fromkeys(("attention", "backprop_attention"), (_HEADED,)),
    **{name: (_recurrent("lstm" if "lstm" in name else "gru", name.split("_")[0]),) for name in RECURRENT},
    "clip_global_norm": ({"gradients": lambda n: [_floats(n, _WIDTH)], "threshold": lambda n: 0.5},),
}


def calls_of(name: str, op: Callable[..., Any], rows: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments and settings of an op, once for each form that is compiled apart. Raises KeyError where an
    argument has an unknown name."""
    for special in _BY_OP.get(name, ({},)):
        known = {**_BY_NAME, **special}
        if name in FORMS:
            form = FORMS[name]
            yield tuple(known[array](rows) for array in form.arrays), {key: F(0.5) for key in form.settings}
            continue
        given = inspect.signature(op).parameters.values()
        places = tuple(known[p.name](rows) for p in given if p.kind is not p.KEYWORD_ONLY)
        yield places, {p.name: known[p.name](rows) for p in given if p.kind is p.KEYWORD_ONLY}


def small_and_large(name: str, op: Callable[..., Any]) -> Iterator[Callable[[], Any]]:
    """Calls that compile, or load, all that an op needs: its loop, and the threads around it."""
    for rows in (_SMALL, _LARGE, _LARGE):  # the first large call may go without threads
        for args, settings in calls_of(name, op, rows):
            yield lambda args=args, settings=settings: op(*args, **settings)  # type: ignore[misc]
