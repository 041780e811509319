"""The table of what is measured. Nothing is computed, and no backend is loaded, before a case is started."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from triops.bench.cases.activations import ACTIVATIONS
from triops.bench.cases.case import SIZES, SUITES, Case
from triops.bench.cases.digits import DIGITS
from triops.bench.cases.layers import LAYERS, PREDICT, TRAIN
from triops.bench.cases.op import OpCase
from triops.bench.cases.others import LINEAR, OTHERS, ROWS
from triops.bench.cases.overhead import OVERHEAD
from triops.bench.cases.recurrent import RECURRENT
from triops.bench.cases.sequences import SEQUENCES
from triops.errors import ArgumentError

__all__ = ["CASES", "OP_CASES", "check_sizes", "choose_cases", "find_case"]

OP_CASES: tuple[OpCase, ...] = (*LINEAR, *ACTIVATIONS, *ROWS, *SEQUENCES, *OTHERS, *RECURRENT)
CASES: tuple[Case, ...] = (DIGITS, *TRAIN, *PREDICT, *LAYERS, *OP_CASES, *OVERHEAD)

# One of each kind, for runs that are to be short.
_FEW = frozenset(
    {
        "digits", "mlp", "tagger", "Linear", "Maxout", "LSTM", "MultiHeadAttention", "gemm", "affine", "relu",
        "backprop_relu", "gelu", "backprop_gelu", "mish", "softmax", "cross_entropy", "layer_norm",
        "backprop_layer_norm", "maxout", "gather", "scatter_add", "attention", "adam", "relu_call", "gemm_call",
        "there_and_back", "predict_6_layers",
    }
)  # fmt: skip


def choose_cases(suites: Sequence[str] = (), patterns: Sequence[str] = (), *, few: bool = False) -> list[Case]:
    """The cases of those suites, all where none is named, whose name has one of the patterns in it: a text, or a
    pattern as in `back*soft*`. few: where no pattern is given, one of each kind alone. Raises ArgumentError for
    an unknown suite, and where nothing is left."""
    _check("suite", suites, SUITES)
    chosen = [
        case
        for case in CASES
        if (not suites or case.suite in suites)
        and (patterns or not few or case.name in _FEW)
        and (not patterns or any(fnmatchcase(case.name, f"*{pattern}*") for pattern in patterns))
    ]
    if not chosen:
        raise ArgumentError(
            f"no case{_of(suites)} has {' or '.join(map(repr, patterns))} in its name: "
            f"{', '.join(case.name for case in CASES if not suites or case.suite in suites)}"
        )
    return chosen


def check_sizes(sizes: Iterable[str]) -> None:
    """Raise ArgumentError for an unknown size."""
    _check("size", sizes, SIZES)


def find_case(suite: str, name: str) -> Case:
    """The case of that name in that suite."""
    return next(case for case in CASES if (case.suite, case.name) == (suite, name))


def _check(kind: str, given: Iterable[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise ArgumentError(f"unknown {kind} {name!r}: choose from {', '.join(known)}")


def _of(suites: Sequence[str]) -> str:
    return f" of {', '.join(suites)}" if suites else ""
