"""Forward passes of Thinc's own layers, where a layer costs more than its ops: each reads its arrays fewer times.
Results are Thinc's to the accuracy of float32."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from thinc.layers import gelu, hard_swish, hashembed, layernorm, maxout, mish, relu, swish

from triops.errors import DTypeError, TriopsError
from triops.models.wrappers.thinc_ops import OPS, TriopsOps, are_floats

__all__ = ["FORWARDS"]

Forward = Callable[..., tuple[Any, Callable[[Any], Any]]]


def _layer_norm(model: Any, X: Any, is_train: bool) -> Any:
    _check_floats(X)
    G = model.get_param("G")
    Y, mu, rstd = OPS.layer_norm(X, G, model.get_param("b"))

    def backprop(dY: Any) -> Any:
        dX, dG, db = OPS.backprop_layer_norm(dY, X, mu, rstd, G)
        model.inc_grad("b", db)
        model.inc_grad("G", dG)
        return dX

    return Y, backprop


def _maxout(model: Any, X: Any, is_train: bool) -> Any:
    _check_floats(X)
    W = model.get_param("W")
    best, which = OPS.affine_maxout(X, W, model.get_param("b"))

    def backprop(d_best: Any) -> Any:
        dX, dW, db = OPS.backprop_affine_maxout(d_best, X, W, which)
        model.inc_grad("b", db)
        model.inc_grad("W", dW)
        return dX

    return best, backprop


def _hash_embed(model: Any, ids: Any, is_train: bool) -> Any:
    E = model.get_param("E")
    if not are_floats(E) or not len(ids):
        raise DTypeError("left to Thinc")
    nV, count = len(E), len(ids)
    rows = OPS.hash(model.ops.as_contig(ids, dtype="uint64"), model.attrs["seed"], nV)

    def backprop(d_vectors: Any) -> Any:
        _check_floats(d_vectors)
        model.inc_grad("E", OPS.backprop_gather_add(d_vectors, rows, nV))
        return model.ops.alloc1i(count)

    return OPS.gather_add(E, rows), backprop


def _activated(activation: str) -> Forward:
    def forward(model: Any, X: Any, is_train: bool) -> Any:
        _check_floats(X)
        W = model.get_param("W")
        Y, saved = OPS.affine_activation(X, W, model.get_param("b"), activation)

        def backprop(dY: Any) -> Any:
            dX, dW, db = OPS.backprop_affine_activation(dY, X, W, saved, activation)
            model.inc_grad("b", db)
            model.inc_grad("W", dW)
            return dX

        return Y, backprop

    return forward


def _check_floats(array: Any) -> None:
    if not are_floats(array):
        raise DTypeError("triops' kernels are for float32 alone")


def _with_dropout(model: Any, ids: Any, is_train: bool) -> Any:
    """A hash embedding whose columns are dropped for a whole batch."""
    Y, backprop_embed = _HASH_EMBED(model, ids, is_train=False)
    rate = model.attrs.get("dropout_rate")
    if not (is_train and rate and len(ids)):
        return Y, backprop_embed
    mask = model.ops.get_dropout_mask(Y.shape[1:], rate)
    Y *= mask

    def backprop(dY: Any) -> Any:
        dY *= mask  # where it is, as Thinc does
        return backprop_embed(dY)

    return Y, backprop


def _or_thincs(ours: Forward, theirs: Forward) -> Forward:
    """`ours` where triops takes the model and its arrays, else `theirs`, and backwards likewise."""

    @wraps(theirs)
    def forward(model: Any, X: Any, is_train: bool) -> tuple[Any, Callable[[Any], Any]]:
        if type(model.ops) is not TriopsOps:
            return theirs(model, X, is_train)
        try:
            Y, backprop_ours = ours(model, X, is_train)
        except TriopsError:
            return theirs(model, X, is_train)

        def backprop(dY: Any) -> Any:
            try:
                return backprop_ours(dY)
            except TriopsError:
                return theirs(model, X, is_train)[1](dY)

        return Y, backprop

    return forward


_HASH_EMBED = _or_thincs(_hash_embed, hashembed.forward)

# By what Thinc's layer calls forward.
FORWARDS: Mapping[Forward, Forward] = {
    hashembed.forward: _with_dropout,
    **{
        theirs: _or_thincs(ours, theirs)
        for ours, theirs in (
            (_layer_norm, layernorm.forward),
            (_maxout, maxout.forward),
            *(
                (_activated(module.__name__.rpartition(".")[2]), module.forward)
                for module in (relu, mish, swish, gelu, hard_swish)
            ),
        )
    },
}
