"""Thinc's operations on the CPU, computed by triops. A method takes the calls that triops' kernels are for,
float32 arrays above all, and leaves all others, and every error, to Thinc's own."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache, wraps
from typing import Any

import numpy as np

from triops.errors import BackendUnavailable, TriopsError
from triops.ops import get_ops
from triops.ops.formulas import FORMULAS

try:
    from triops.backends.numpy.compiled.donated import DONATED
except ImportError:  # as where Numba is not installed
    DONATED = {}
try:
    from thinc.api import NumpyOps, to_numpy
except ImportError as error:
    raise BackendUnavailable(
        f"Thinc's operations need the package thinc ({error}): pip install 'triops[thinc]'"
    ) from error

__all__ = ["DONATED", "OPS", "TriopsOps", "are_floats"]

OPS = get_ops("numpy")
_FLOAT32 = np.dtype("float32")
# The kernel itself, since the op takes Adam's step with a division by the 1 - βᵗ, which Thinc has made already.
_ADAM = OPS.backend.kernel("adam", FORMULAS["adam"])
_DROPOUT_MASK: Callable[..., Any] | None = DONATED.get("legacy_dropout_mask")


def are_floats(*arrays: Any) -> bool:
    """Whether all are NumPy arrays of float32."""
    return all(type(array) is np.ndarray and array.dtype == _FLOAT32 for array in arrays)


@cache
def _memory_of(generator: Any) -> Any:
    """The words of an MT19937, and how many of them are used up; None where they are not where NumPy has them
    today."""
    if type(generator) is not np.random.MT19937:
        return None
    words = np.ctypeslib.as_array((ctypes.c_uint32 * 625).from_address(generator.ctypes.state_address))
    with generator.lock:
        known = generator.state["state"]
        alike = bool((words[:-1] == known["key"]).all() and words[-1] == known["pos"])
    return words if alike else None


class TriopsOps(NumpyOps):  # type: ignore[misc]
    """Thinc's NumpyOps with triops' kernels: the same results, to the accuracy of float32. What differs by more
    than that is not here: `softmax_sequences`, where Thinc clips to ±20, `position_encode` and the LSTM."""

    def gemm(self, x: Any, y: Any, *, out: Any = None, trans1: bool = False, trans2: bool = False) -> Any:
        if are_floats(x, y) and (out is None or are_floats(out)):
            try:
                Z: Any = OPS.gemm(x, y, trans1, trans2)
            except TriopsError:
                return super().gemm(x, y, out=out, trans1=trans1, trans2=trans2)
            if out is None:
                return Z
            if out.shape == Z.shape:
                np.copyto(out, Z)
                return out
        return super().gemm(x, y, out=out, trans1=trans1, trans2=trans2)

    def backprop_maxout(self, dY: Any, which: Any, P: int) -> Any:
        # Thinc raises for a piece that is not there, where triops trusts what its own maxout gave.
        if are_floats(dY) and type(which) is np.ndarray and which.size:
            lowest, highest, _ = OPS.backend.extremes(which)
            if lowest >= 0 and highest < P and which.shape == dY.shape:
                return OPS.backprop_maxout(dY, which, P)
        return super().backprop_maxout(dY, which, P)

    def backprop_reduce_max(self, d_maxes: Any, which: Any, lengths: Any) -> Any:
        arrays = type(which) is np.ndarray and type(lengths) is np.ndarray and which.ndim == 2
        fit = are_floats(d_maxes) and arrays and len(which) == len(lengths)
        if fit and ((which >= 0) & (which < lengths[:, None])).all():
            try:
                return OPS.backprop_reduce_max(d_maxes, which, lengths)
            except TriopsError:
                pass
        return super().backprop_reduce_max(d_maxes, which, lengths)

    def unflatten(self, X: Any, lengths: Any, pad: int = 0) -> Any:
        counts = to_numpy(lengths)
        if pad > 0:
            counts = np.where(counts > 0, counts + pad, 0)
        ends = np.cumsum(counts).tolist()
        return [X[start + pad : end] for start, end in zip([0, *ends], ends, strict=False)]

    def softmax(self, x: Any, *, inplace: bool = False, axis: int = -1, temperature: float = 1.0) -> Any:
        # Thinc's, too, leaves x alone whatever `inplace` says.
        if are_floats(x):
            try:
                return OPS.softmax(x, axis=axis, temperature=temperature)
            except TriopsError:
                pass
        return super().softmax(x, inplace=inplace, axis=axis, temperature=temperature)

    def get_dropout_mask(self, shape: Any, drop: float | None) -> Any:
        if drop is None or not 0.0 < drop < 1.0:
            return super().get_dropout_mask(shape, drop)
        # The numbers that Thinc draws, from the generator that it draws them from.
        generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
        state = _memory_of(generator)
        if state is not None and _DROPOUT_MASK is not None:
            with generator.lock:
                return _DROPOUT_MASK(state, drop, shape)
        kept = np.random.random_sample(shape) >= drop  # noqa: NPY002
        return np.multiply(kept, np.float32(1.0 / (1.0 - drop)), dtype=np.float32)

    def adam(
        self,
        weights: Any,
        gradient: Any,
        mom1: Any,
        mom2: Any,
        beta1: float,
        beta2: float,
        eps: float,
        learn_rate: float,
        mod_rate: float = 1.0,
    ) -> Any:
        arrays = (weights, gradient, mom1, mom2)
        if not are_floats(*arrays) or any(array.shape != weights.shape for array in arrays):
            return super().adam(*arrays, beta1, beta2, eps, learn_rate, mod_rate)
        new = _ADAM(*arrays, beta1, 1.0 - beta1, beta2, 1.0 - beta2, eps, learn_rate, 1.0, 1.0)
        # Thinc's callers hold on to the arrays that they gave.
        for array, value in zip((weights, mom1, mom2), new, strict=True):
            if array is not value:
                np.copyto(array, value)
        gradient.fill(0.0)
        return arrays

    def update_averages(self, ema: Any, weights: Any, t: int, max_decay: float = 0.9999) -> None:
        if are_floats(ema, weights) and ema.shape == weights.shape:
            np.copyto(ema, OPS.update_averages(ema, weights, t, max_decay))
        else:
            super().update_averages(ema, weights, t, max_decay)


# Methods that triops' ops have, too: how many of the first arguments must be float32 arrays.
_ALIKE: Mapping[str, int] = {
    "affine": 3,
    "maxout": 1,
    "seq2col": 1,
    "backprop_seq2col": 1,
    "hash": 0,
    "ngrams": 0,
    "gather_add": 1,
    "reduce_sum": 1,
    "backprop_reduce_sum": 1,
    "reduce_mean": 1,
    "backprop_reduce_mean": 1,
    "reduce_max": 1,
    "backprop_softmax": 2,
}

# Elementwise methods, with the argument that `inplace=True` writes to, None where Thinc heeds no such wish.
_ELEMENTWISE: Mapping[str, int | None] = {
    "relu": 0,
    "sigmoid": 0,
    "clipped_linear": 0,
    "swish": 0,
    "hard_swish": 0,
    "hard_swish_mobilenet": 0,
    "dish": 0,
    "gelu": 0,
    "gelu_approx": 0,
    "mish": 0,
    "erf": None,
    "backprop_relu": 0,
    "backprop_sigmoid": 1,
    "backprop_clipped_linear": 0,
    "backprop_swish": 0,
    "backprop_hard_swish": 0,
    "backprop_hard_swish_mobilenet": 0,
    "backprop_dish": 0,
    "backprop_gelu": 0,
    "backprop_gelu_approx": 0,
    "backprop_mish": 0,
}


def _alike(name: str, floats: int) -> Callable[..., Any]:
    ours, theirs = getattr(OPS, name), getattr(NumpyOps, name)

    @wraps(theirs)
    def method(self: TriopsOps, *args: Any, **settings: Any) -> Any:
        if len(args) >= floats and are_floats(*args[:floats]):
            try:
                return ours(*args, **settings)
            except TriopsError:
                pass
        return theirs(self, *args, **settings)

    return method


def _elementwise(name: str, written: int | None) -> Callable[..., Any]:
    ours, theirs = getattr(OPS, name), getattr(NumpyOps, name)
    used = 2 if name.startswith("backprop") else 1
    given = 3 if name == "backprop_swish" else used  # Thinc gives it Y, which is not needed
    has_settings = name.endswith("clipped_linear")

    @wraps(theirs)
    def method(self: TriopsOps, *args: Any, inplace: bool = False, **settings: Any) -> Any:
        alike = len(args) == given and are_floats(*args) and all(array.shape == args[0].shape for array in args)
        if alike and (has_settings or not settings):
            try:
                result = ours(*args[:used], **settings)
            except TriopsError:
                pass
            else:
                if inplace and written is not None:
                    np.copyto(args[written], result)
                    return args[written]
                return result
        if inplace:  # erf has no such argument
            settings["inplace"] = True
        return theirs(self, *args, **settings)

    return method


for _name, _floats in _ALIKE.items():
    setattr(TriopsOps, _name, _alike(_name, _floats))
for _name, _written in _ELEMENTWISE.items():
    setattr(TriopsOps, _name, _elementwise(_name, _written))
