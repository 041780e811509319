"""A forward and a backward pass under a gradient tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from triops.models.wrappers.wrapper import leaves_like, map_leaves, tree_leaves

__all__ = ["run"]


def run(
    call: Callable[[Any], Any],
    X: Any,
    variables: Sequence[Any],
    record: bool,
    check_used: Callable[[Sequence[Any]], None] | None = None,
) -> tuple[Any, Callable[[Any], tuple[Any, list[Any]]]]:
    """Y = call(X), and the function that takes gradients like Y, with None for no gradient, to those like X, None
    in place of integers, and those of the variables, None for those without. check_used: called with all
    trainable variables that the call looked at, those made in it among them."""
    floating = map_leaves(lambda x: x.dtype.is_floating, X)
    inputs = [x for x in tree_leaves(X) if x.dtype.is_floating]
    tape = tf.GradientTape(watch_accessed_variables=check_used is not None)
    if record:
        with tape:
            tape.watch([*inputs, *variables])
            Y = call(X)
        if check_used is not None:
            check_used(tape.watched_variables())
    else:
        Y = call(X)

    def pull_back(dY: Any) -> tuple[Any, list[Any]]:
        pairs = [
            (y, dy)
            for y, dy in zip(tree_leaves(Y), leaves_like(Y, dY), strict=True)
            if dy is not None and y.dtype.is_floating
        ]
        found: list[Any] = [None] * (len(inputs) + len(variables))
        if pairs:
            ys, dys = zip(*pairs, strict=True)
            found = tape.gradient(list(ys), [*inputs, *variables], output_gradients=list(dys))
        each = iter(
            tf.zeros_like(x) if dx is None else tf.convert_to_tensor(dx)
            for x, dx in zip(inputs, found, strict=False)
        )
        dX = map_leaves(lambda kind: next(each) if kind else None, floating)
        # Embeddings have sparse ones.
        return dX, [None if g is None else tf.convert_to_tensor(g) for g in found[len(inputs) :]]

    return Y, pull_back
