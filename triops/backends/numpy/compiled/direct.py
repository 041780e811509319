"""Ops that small arrays go to the kernel of without Python, and when: as soon as the kernel has run once."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, groupby, product
from operator import attrgetter
from typing import Any
from weakref import ref

from triops.backends.numpy.compiled import maxout, rows, updates
from triops.backends.numpy.compiled.cache import is_cached
from triops.backends.numpy.compiled.elementwise import FORMS, LOOPS
from triops.backends.numpy.compiled.entry import ENTRY, enter
from triops.backends.numpy.compiled.few import FEW
from triops.backends.numpy.compiled.fused import (
    backward_few,
    forward_few,
    maxout_backward_few,
    maxout_forward_few,
)
from triops.backends.numpy.compiled.plan import Way, before, compile_way, is_possible
from triops.backends.numpy.compiled.products import AFFINE_FEW, BACKPROP_AFFINE_FEW, PRODUCT_FEW

__all__ = ["WAYS", "WAYS_OF_FEW", "compile_direct", "make_direct"]

# Where what calls kernels directly is not on disk, so many kernels, or calls of an op, are enough to compile it.
_ENOUGH, _OFTEN = 8, 20_000


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

# With lengths of sequences, or with numbers of rows.
_LENGTHS = {
    "reduce_sum": "X:TW lengths:N:ints -> Y:NW | X(T,W) lengths(N) Y(N,W) 0",
    "reduce_mean": "X:TW lengths:N:ints -> Y:NW | X(T,W) lengths(N) Y(N,W) 1",
    "reduce_max": "X:TW lengths:N:ints -> Y:NW which:NW:int32 | X(T,W) lengths(N) Y(N,W) which(N,W)",
    "reduce_last": "X:TW lengths:N:ints -> Y:NW lasts:N:int32 | X(T,W) lengths(N) Y(N,W) lasts(N)",
    "backprop_reduce_sum": "dY:NW lengths:N:ints rows=T -> dX:TW | dY(N,W) lengths(N) dX(T,W) 0",
    "backprop_reduce_mean": "dY:NW lengths:N:ints rows=T -> dX:TW | dY(N,W) lengths(N) dX(T,W) 1",
    "backprop_reduce_max": "dY:NW which:NW:int32 lengths:N:ints rows=T -> dX:TW"
    " | dY(N,W) which(N,W) lengths(N) dX(T,W)",
    "softmax_sequences": "X:TW lengths:N:ints -> Y:TW | X(T,W) lengths(N) Y(T,W)",
    "backprop_softmax_sequences": "dY:TW Y:TW lengths:N:ints -> dX:TW | dY(T,W) Y(T,W) lengths(N) dX(T,W)",
    "backprop_seq2col": "dY:TD nW=1 lengths:N:ints -> dX:T,D/3 | dY(T,3,D/3) lengths(N) dX(T,D/3) D",
    "seq2col": "X:TW nW=1 lengths:N:ints -> Y:T,3W | X(T,W) lengths(N) Y(T,3,W) 1",
}
_PLACES = {
    "gather": "table:VW rows:*:ints -> Y:*W | table(V,W) rows(*) Y(*,W)",
    "scatter_add": "table:VW rows:N:ints values:NW -> Y:VW | table(V,W) rows(N) values(N,W) Y(V,W)",
    "gather_add": "table:VW rows:NK:ints -> Y:NW | table(V,W) rows(NK) Y(N,W)",
    "backprop_gather_add": "dY:NW rows:NK:ints nV=V -> dE:VW=0 | dY(N,W) rows(NK) dE(V,W)",
    "label_cross_entropy": "Y:NC rows:N:ints scale -> losses:N dX:NC | Y(N,C) rows(N) losses(N) dX(N,C) scale",
}
_SIZES = {
    "backprop_seq2col": "TD",
    "gather": "*W",
    "scatter_add": "VW",
    "gather_add": "NKW",
    "backprop_gather_add": "NKW",
}
_KERNELS = {"reduce_mean": "reduce_sum", "backprop_reduce_mean": "backprop_reduce_sum"}


_BAGS = {
    "embedding_bag": "table:VW rows:TK:places lengths:N:ints * mean=False -> Y:NW"
    " | table(V,W) rows(TK) rows(T,K) lengths(N) Y(N,W)",
    "backprop_embedding_bag": "dY:NW rows:TK:places lengths:N:ints nV=V * mean=False -> dE:VW=0"
    " | dY(N,W) rows(TK) rows(T,K) lengths(N) dE(V,W)",
}


def _with_integers() -> Iterator[Way]:
    for forms, dtypes in ((_LENGTHS, ("int32", "int64")), (_PLACES, ("int32", "uint32", "int64"))):
        for (op, form), dtype in product(forms.items(), dtypes):
            size = _SIZES.get(op, "TW" if forms is _LENGTHS else "")
            yield Way(op, FEW[_KERNELS.get(op, op)], form.replace(":ints", f":{dtype}"), size)
    for (op, form), (places, ints) in product(_BAGS.items(), (("uint32", "int32"), ("int64", "int64"))):
        yield Way(op, FEW[op], form.replace(":places", f":{places}").replace(":ints", f":{ints}"), "TKW")


_UPDATES = {
    **dict.fromkeys(
        ("adam", "radam"),
        "W:* dW:* mom1:* mom2:* beta1 beta2 eps learn_rate step=S -> out:* mom1 mom2"
        " | W(*) dW(*) mom1(*) mom2(*) out(*) beta1 beta2 eps learn_rate S",
    ),
    "sgd_momentum": "W:* dW:* velocity:* learn_rate momentum -> out:* velocity"
    " | W(*) dW(*) velocity(*) out(*) learn_rate momentum",
    "update_averages": "ema:* W:* t=S max_decay -> out:* | ema(*) W(*) out(*) S max_decay",
    "clip_gradient": "X:* threshold -> out:* | X(*) out(*) threshold",
}

# Those of the layers that most models are made of; others go by their method.
_READ_RESULT, _READ_INPUT = ("relu",), ("gelu", "mish")


def _layers() -> Iterator[Way]:
    """Products with what follows them: small ones, which are one block."""
    yield Way("gemm", PRODUCT_FEW, "X:MI Y:OI * trans2=True -> Z:MO | X(M,I) Y(O,I) Z(M,O)", "MIO")
    for wants_dX, (dX, target) in _DX.items():
        form = (
            f"dY:NO X:NI W:OI * wants_dX={wants_dX} -> {dX} dW:OI db:O=0"
            f" | dY(N,O) X(N,I) W(O,I) {target} dW(O,I) db(O)"
        )
        yield Way("backprop_affine", BACKPROP_AFFINE_FEW[wants_dX], form, "NIO")
    yield Way("affine", AFFINE_FEW, "X:MI W:OI b:O -> Y:MO | X(M,I) W(O,I) b(O) Y(M,O)", "MIO")
    for name in (*_READ_RESULT, *_READ_INPUT):
        saved, inner = ("Y", "Y") if name in _READ_RESULT else ("Z:NO", "Z")
        form = f"X:NI W:OI b:O f='{name}' -> Y:NO {saved} | X(N,I) W(O,I) b(O) {inner}(N,O) Y(N,O)"
        yield Way("affine_activation", forward_few(name, name in _READ_INPUT), form, "NIO")
        for wants_dX, (dX, target) in _DX.items():
            form = (
                f"dY:NO X:NI W:OI Z:NO f='{name}' * wants_dX={wants_dX} -> {dX} dW:OI db:O=0"
                f" | dY(N,O) X(N,I) W(O,I) Z(N,O) {target} dW(O,I) db(O)"
            )
            yield Way("backprop_affine_activation", backward_few(name, wants_dX), form, "NIO")
    for P in (2, 3):
        form = f"X:NI W:O{P}I b:O{P} -> Y:NO which:NO:int32 | X(N,I) W(O{P},I) b(O{P}) Y(N,O) which(N,O)"
        yield Way("affine_maxout", maxout_forward_few(P), form, f"NIO{P}")
        for wants_dX, (dX, target) in _DX.items():
            form = (
                f"dY:NO X:NI W:O{P}I which:NO:int32 * wants_dX={wants_dX} -> {dX} dW:O{P}I db:O{P}=0"
                f" | dY(N,O) X(N,I) W(O{P},I) which(N,O) {target} dW(O{P},I) db(O{P})"
            )
            yield Way("backprop_affine_maxout", maxout_backward_few(P, wants_dX), form, f"NIO{P}")


_DX = {True: ("dX:NI", "dX(N,I)"), False: ("None", "")}

WAYS_OF_FEW = (
    *_with_integers(),
    *(Way(op, updates.FEW[op], form) for op, form in _UPDATES.items()),
    *sorted(_layers(), key=attrgetter("op")),
)
WAYS = (
    *_elementwise(),
    *_maxout(),
    *(Way(op, rows.LOOPS[op], form) for op, form in _ROWS.items()),
    *(Way(op, rows.LOOPS[op], form, rows=rows.ROWS_OF_A_SLICE) for op, form in _SUMMED_ROWS.items()),
    Way("sgd", updates.SGD, "W:* dW:* learn_rate -> out:* | W(*) dW(*) out(*) learn_rate 1.0"),
)  # fmt: skip


def compile_direct(op: str | None = None) -> None:
    """Compile what is only for direct calls, of one op or of all, or read it from the disk."""
    if not is_possible():
        return
    enter.compile(ENTRY)
    for way in WAYS_OF_FEW:
        if op in (None, way.op):
            compile_way(way)
    with _lock:
        _build_waiting()


_lock = threading.RLock()
_waiting: list[tuple[Any, Way]] = []


def _after_fork() -> None:
    """A thread that held the lock is not in the child."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def make_direct(ops: Any, kernels: dict[str, Callable[..., Any]]) -> None:
    """Put builtin functions before the methods of an `Ops`, as soon as a kernel has run, or one of `kernels` for
    which there is another for few rows."""
    if not is_possible():
        return
    for way in WAYS:
        way.kernel.when_begun(partial(_put_before, [way], ref(ops)))
    for op, ways in groupby(WAYS_OF_FEW, attrgetter("op")):
        kernels[op] = _counted(kernels, op, [*ways], ref(ops))


def _counted(
    kernels: dict[str, Callable[..., Any]], op: str, ways: list[Way], found: Callable[[], Any]
) -> Callable[..., Any]:
    """A kernel that stands in for another until that one's ways are on disk, or worth it to be compiled."""
    kernel, calls = kernels[op], count(1)

    def call(*args: Any, **settings: Any) -> Any:
        result = kernel(*args, **settings)
        number = next(calls)
        if number in (1, _OFTEN):
            ready = ways if number == _OFTEN else [way for way in ways if is_cached(way.kernel.whole)]
            if ready:
                kernels[op] = kernel
                _put_before(ready, found, at_once=number == _OFTEN)
        return result

    return call


def _put_before(ways: list[Way], found: Callable[[], Any], *, at_once: bool = False) -> None:
    with _lock:
        _waiting.extend((found, way) for way in ways)
        if at_once or len(_waiting) >= _ENOUGH or enter.overloads or is_cached(enter):
            _build_waiting()


def _build_waiting() -> None:
    while _waiting:
        found, way = _waiting.pop()
        if (ops := found()) is not None and _is_triops(getattr(type(ops), way.op)):
            # One that is there already, for another form, takes what is not of this one.
            vars(ops)[way.op] = before(way, getattr(ops, way.op))


def _is_triops(method: Callable[..., Any]) -> bool:
    """Whether it is not that of a class made of `Ops`."""
    return method.__module__.startswith("triops.ops.")
