"""Arguments for every compiled op, by their names, so that its kernels can be compiled before they are needed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from triops.backends.numpy.compiled.build import CALLS_WITHOUT_THREADS
from triops.backends.numpy.compiled.elementwise import FORMS

__all__ = ["calls_of", "small_and_large"]

_WIDTH, _PIECES = 96, 3
_SMALL, _LARGE = 4, 2048  # rows: below and above what pays for threads


def _floats(*shape: int) -> Any:
    return np.full(shape, 0.5, np.float32)


def _ids(dtype: str, *shape: int) -> Callable[[int], Any]:
    """So many ids a row."""
    return lambda n: np.zeros((n, *shape), dtype)


_MATRICES = (
    "X", "Y", "T", "dX", "dY", "saved", "values", "W", "dW", "mom1", "mom2", "velocity", "ema", "weights",
    "gradient", "table", "Xs", "y_true", "y_pred",
)  # fmt: skip
_NUMBERS = (
    "temperature", "eps", "drop", "learn_rate", "keep", "momentum", "beta1", "rest1", "beta2", "rest2", "rate",
    "root_fix2", "rectifier", "rest", "threshold", "slope", "offset", "min_val", "max_val", "alpha", "scale",
)  # fmt: skip
# What an argument of a name is, given the number of rows.
_BY_NAME: Mapping[str, Callable[[int], Any]] = {
    **dict.fromkeys(_MATRICES, lambda n: _floats(n, _WIDTH)),
    **dict.fromkeys(_NUMBERS, lambda n: 0.5),
    **dict.fromkeys(("G", "b"), lambda n: _floats(_WIDTH)),
    **dict.fromkeys(("mu", "rstd"), lambda n: _floats(n, 1)),
    **dict.fromkeys(("d_maxes", "d_sums", "d_means", "d_firsts", "d_lasts"), lambda n: _floats(n // 4, _WIDTH)),
    "starts_ends": lambda n: np.arange(0, n + 1, 4, dtype=np.int32),
    "lasts": lambda n: np.arange(3, n, 4, dtype=np.int32),
    **dict.fromkeys(("rows", "nV"), lambda n: n),
    **dict.fromkeys(("seed", "step", "first"), lambda n: 1),
    **dict.fromkeys(("ids", "keys"), lambda n: np.zeros(n * _WIDTH, np.uint64)),
    "lengths": lambda n: np.full(n // 4, 4, np.int64),
    "labels": _ids("int64"),
    "shape": lambda n: (n, _WIDTH),
    "dtype": lambda n: "float32",
    "axis": lambda n: 1,
    **dict.fromkeys(("mean", "wants_dX"), lambda n: True),
    "nesterov": lambda n: False,
    "nW": lambda n: 1,
    "n": lambda n: 2,
    "P": lambda n: _PIECES,
}
_HEADS, _STATE = 4, 32


def _packed(n: int) -> Any:
    """Sequences of four rows, packed by step."""
    return np.full(4, n // 4, np.int64)


def _recurrent(gates: int, saved: int) -> Mapping[str, Callable[[int], Any]]:
    """One layer, one direction. saved: of the arrays that a step saves for each row, all but the gates."""
    size = gates * _STATE * (_WIDTH + _STATE + 2)
    starts = saved  # what a network starts from, it also saves

    def state(n: int) -> Any:
        rows = [_floats(1, n, 1, _STATE) for _ in range(saved)]
        return (
            rows[0],
            _floats(1, n, 1, 4, _STATE),
            *rows[1:],
            _floats(n, _WIDTH),
            *[_floats(1, 1, _STATE)] * starts,
        )

    return {
        "params": lambda n: _floats(size),
        "dY": lambda n: _floats(n, _STATE),
        "fwd_state": state,
        **dict.fromkeys(("H0", "C0"), lambda n: _floats(1, 1, _STATE)),
        "size_at_t": _packed,
        "sequences": lambda n: n // 4,
        "scan": lambda n: None,
    }


_ATTENTION: Mapping[str, Callable[[int], Any]] = {
    **dict.fromkeys(("dY", "Q", "K", "V", "Y"), lambda n: _floats(n, _HEADS, _WIDTH // _HEADS)),
    "logsumexp": lambda n: _floats(n, _HEADS),
    **dict.fromkeys(("kv_lengths", "mask"), lambda n: None),
    "causal": lambda n: False,
    **dict.fromkeys(("longest", "longest_keys"), lambda n: 4),
}
_SQUARE: Mapping[str, Callable[[int], Any]] = {"W": lambda n: _floats(_WIDTH, _WIDTH)}


def _activations() -> tuple[Mapping[str, Callable[[int], Any]], ...]:
    return tuple(
        {
            **_SQUARE,
            "activation": lambda n, name=name: name,  # type: ignore[misc]
            "settings": lambda n, form=form: tuple((setting, 0.5) for setting in form.settings),  # type: ignore[misc]
            "keeps_input": lambda n, name=name: name not in ("relu", "sigmoid", "tanh", "elu"),  # type: ignore[misc]
        }
        for name, form in FORMS.items()
        if f"backprop_{name}" in FORMS
    )


_PIECES_OF: Mapping[str, Callable[[int], Any]] = {
    "W": lambda n: _floats(_WIDTH, _PIECES, _WIDTH),
    "b": lambda n: _floats(_WIDTH, _PIECES),
    "which": _ids("int32", _WIDTH),
}
# Where an op means something else by a name, or is compiled once for each of its forms.
_BY_OP: Mapping[str, tuple[Mapping[str, Callable[[int], Any]], ...]] = {
    "gemm": tuple(
        {
            "X": lambda n, turn=turn: _floats(_WIDTH, n) if turn[0] else _floats(n, _WIDTH),  # type: ignore[misc]
            **dict.fromkeys(("Y", "W"), lambda n: _floats(_WIDTH, _WIDTH)),
            "trans1": lambda n, turn=turn: turn[0],  # type: ignore[misc]
            "trans2": lambda n, turn=turn: turn[1],  # type: ignore[misc]
        }
        for turn in ((False, False), (True, False))
    ),
    **dict.fromkeys(("affine", "backprop_affine"), (_SQUARE,)),
    "maxout": ({"X": lambda n: _floats(n, _WIDTH, 2)}, {"X": lambda n: _floats(n, _WIDTH, _PIECES)}),
    "backprop_maxout": ({"which": _ids("int32", _WIDTH), "P": lambda n: 2}, {"which": _ids("int32", _WIDTH)}),
    **dict.fromkeys(("affine_activation", "backprop_affine_activation"), _activations()),
    **dict.fromkeys(("affine_maxout", "backprop_affine_maxout"), (_PIECES_OF,)),
    "adam_in_place": (
        {
            "parameters": lambda n: [(*(_floats(n, _WIDTH) for _ in range(4)), None)],
            **dict.fromkeys(("rates", "shares"), lambda n: [0.5]),
        },
    ),
    "legacy_dropout_mask": ({"state": lambda n: np.zeros(625, np.uint32)},),
    "clip_global_norm": ({"gradients": lambda n: [_floats(n, _WIDTH)]},),
    **dict.fromkeys(("attention", "backprop_attention"), (_ATTENTION,)),
    **dict.fromkeys(("lstm_forward_training", "lstm_forward_inference", "backprop_lstm"), (_recurrent(4, 2),)),
    **dict.fromkeys(("gru_forward_training", "gru_forward_inference", "backprop_gru"), (_recurrent(3, 1),)),
    **dict.fromkeys(
        ("embedding_bag", "backprop_embedding_bag"),
        ({"indices": _ids("int64", 4), "dY": lambda n: _floats(n // 4, _WIDTH)},),
    ),
    "backprop_reduce_max": ({"which": lambda n: _ids("int32", _WIDTH)(n // 4)},),
    **dict.fromkeys(("gather", "scatter_add"), ({"indices": _ids("int64")},)),
    "gather_add": ({"indices": _ids("int64", 4)},),
    "backprop_gather_add": ({"indices": _ids("int64", 4)}, {"indices": _ids("int64", 1)}),
}


def calls_of(name: str, op: Callable[..., Any], rows: int) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments and settings of an op, once for each form that is compiled apart. Raises KeyError where an
    argument has an unknown name."""
    for special in _BY_OP.get(name, ({},)):
        known = {**_BY_NAME, **special}
        given = inspect.signature(op).parameters.values()
        places = tuple(known[p.name](rows) for p in given if p.kind is not p.KEYWORD_ONLY)
        yield places, {p.name: known[p.name](rows) for p in given if p.kind is p.KEYWORD_ONLY}


def small_and_large(name: str, op: Callable[..., Any]) -> Iterator[Callable[[], Any]]:
    """Calls that compile, or load, all that an op needs: its loop, and the threads around it."""
    for rows in (_SMALL, *[_LARGE] * (CALLS_WITHOUT_THREADS + 1)):
        for args, settings in calls_of(name, op, rows):
            yield lambda args=args, settings=settings: op(*args, **settings)  # type: ignore[misc]
