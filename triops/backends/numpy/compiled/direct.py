"""Ops that small arrays go to the kernel of without Python, and when: as soon as the kernel has run once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from weakref import ref

from triops.backends.numpy.compiled import maxout, rows, tables, updates
from triops.backends.numpy.compiled.cache import is_cached
from triops.backends.numpy.compiled.elementwise import FORMS, LOOPS
from triops.backends.numpy.compiled.entry import ENTRY, enter
from triops.backends.numpy.compiled.plan import Way, before, is_possible

__all__ = ["WAYS", "compile_entry", "make_direct"]

_ENOUGH = 8  # kernels, from which to compile what calls them directly pays where it is not on disk


def _elementwise() -> Iterator[Way]:
    for op, form in FORMS.items():
        if not form.settings:
            given, inner = (" ".join(f"{array}{text}" for array in form.arrays) for text in (":*", "(*)"))
            yield Way(op, LOOPS[op], f"{given} -> out:* | {inner} out(*)")
    yield Way("elu", LOOPS["elu"], "X:* alpha -> Y:* | X(*) Y(*) alpha")
    yield Way("backprop_elu", LOOPS["backprop_elu"], "dY:* Y:* alpha -> dX:* | dY(*) Y(*) dX(*) alpha")
    for op, given, line in (
        ("clipped_linear", "", "1.0 0.0 0.0 1.0"),
        ("relu_k", "n", "1.0 0.0 0.0 n"),
        ("hard_sigmoid", "", "0.2 0.5 0.0 1.0"),
        ("hard_tanh", "", "1.0 0.0 -1.0 1.0"),
    ):
        yield Way(op, LOOPS["clipped_linear"], f"X:* {given} -> Y:* | X(*) Y(*) {line}")
        gradient = f"dY:* X:* {given} -> dX:* | dY(*) X(*) dX(*) {line}"
        yield Way(f"backprop_{op}", LOOPS["backprop_clipped_linear"], gradient)


def _maxout() -> Iterator[Way]:
    for P in (2, 3, 4):
        yield Way("maxout", maxout.forward(P), f"X:*{P} -> best:* which:*:int32 | X(*{P}) best(*) which(*)")
        gradient = f"dY:* which:*:int32 P={P} -> dX:*{P} | dY(*) which(*) dX(*{P})"
        yield Way("backprop_maxout", maxout.backward(P), gradient)


_ROWS = {
    "softmax": "X:*n * temperature -> Y:*n | X(*,n) Y(*,n) 1/temperature",
    "backprop_softmax": "Y:*n dY:*n * temperature -> dX:*n | dY(*,n) Y(*,n) dX(*,n) 1/temperature",
    "log_softmax": "X:*n -> Y:*n | X(*,n) Y(*,n)",
    "backprop_log_softmax": "dY:*n Y:*n -> dX:*n | dY(*,n) Y(*,n) dX(*,n)",
    "cross_entropy": "X:Nn T:Nn -> losses:N dX:Nn | X(N,n) T(N,n) losses(N) dX(N,n)",
    "cosine_distance": "X:Nn T:Nn -> losses:N dX:Nn | X(N,n) T(N,n) losses(N) dX(N,n)",
    "layer_norm": "X:*n G:n b:n eps -> Y:*n mu:*1 rstd:*1 | X(*,n) G(n) b(n) Y(*,n) mu(*) rstd(*) eps",
    "rms_norm": "X:*n G:n eps -> Y:*n rstd:*1 | X(*,n) G(n) Y(*,n) rstd(*) eps",
}
_SUMMED_ROWS = {
    "backprop_layer_norm": "dY:*n X:*n mu:*1 rstd:*1 G:n -> dX:*n dG:n=0 db:n=0"
    " | dY(*,n) X(*,n) mu(*) rstd(*) G(n) dX(*,n) dG(1,n) db(1,n)",
    "backprop_rms_norm": "dY:*n X:*n rstd:*1 G:n -> dX:*n dG:n=0 | dY(*,n) X(*,n) rstd(*) G(n) dX(*,n) dG(1,n)",
}

WAYS = (
    *_elementwise(),
    *_maxout(),
    *(Way(op, rows.LOOPS[op], form) for op, form in _ROWS.items()),
    *(Way(op, rows.LOOPS[op], form, rows=rows.ROWS_OF_A_SLICE) for op, form in _SUMMED_ROWS.items()),
    Way("gather", tables.GATHER_FEW, "table:Vn indices:*:int64 -> Y:*n | table(V,n) indices(*) Y(*,n)", size="*"),
    Way("sgd", updates.SGD, "W:* dW:* learn_rate -> out:* | W(*) dW(*) out(*) learn_rate 1.0"),
)  # fmt: skip


def compile_entry() -> None:
    """Compile what the builtin functions share, or read it from the disk."""
    enter.compile(ENTRY)


_lock = threading.RLock()
_waiting: list[tuple[Any, Way]] = []


def make_direct(ops: Any) -> None:
    """Put builtin functions before the methods of an `Ops`, each when its kernel has run."""
    if is_possible():
        for way in WAYS:
            way.kernel.when_begun(partial(_begun, ref(ops), way))


def _begun(found: Callable[[], Any], way: Way) -> None:
    with _lock:
        _waiting.append((found, way))
        if len(_waiting) < _ENOUGH and not (enter.overloads or is_cached(enter)):
            return
        while _waiting:
            found, way = _waiting.pop()
            if (ops := found()) is not None and _is_triops(getattr(type(ops), way.op)):
                # One that is there already, for another form, takes what is not of this one.
                vars(ops)[way.op] = before(way, getattr(ops, way.op))


def _is_triops(method: Callable[..., Any]) -> bool:
    """Whether it is not that of a class made of `Ops`."""
    return method.__module__.startswith("triops.ops.")
