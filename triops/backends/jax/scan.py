"""The steps of a recurrent network as one loop, over rows as they lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

__all__ = ["scan"]

Arrays = tuple[Any, ...]


def scan(
    step: Callable[[Arrays, Arrays], tuple[Arrays, Arrays]],
    carry: Arrays,
    xs: Arrays,
    sizes: Any,
    backwards: bool = False,
) -> tuple[Arrays, Arrays]:
    """As `Backend.scan`. All steps take as many rows as there are sequences, the first step's rows: those that a
    step does not have are the next steps', and what comes of them is written over, or not written."""
    count, rows, steps = carry[0].shape[0], xs[0].shape[0], sizes.shape[0]
    starts = jnp.cumsum(sizes, dtype=sizes.dtype) - sizes
    xs = tuple(jnp.concatenate((x, jnp.zeros((count, *x.shape[1:]), x.dtype))) for x in xs)

    def at(arrays: Arrays, start: Any) -> Arrays:
        return tuple(jax.lax.dynamic_slice_in_dim(array, start, count) for array in arrays)

    def body(i: Any, state: tuple[Arrays, Arrays]) -> tuple[Arrays, Arrays]:
        carry, written = state
        t = steps - 1 - i if backwards else i
        here = jnp.arange(count, dtype=sizes.dtype) < sizes[t]
        after, ys = step(carry, at(xs, starts[t]))
        if backwards:
            ys = _where(here, ys, at(written, starts[t]))
        written = tuple(
            jax.lax.dynamic_update_slice_in_dim(array, y, starts[t], 0)
            for array, y in zip(written, ys, strict=True)
        )
        return _where(here, after, carry), written

    results = jax.eval_shape(lambda carry, xs: step(carry, at(xs, 0))[1], carry, xs)
    written = tuple(jnp.zeros((rows + count, *y.shape[1:]), y.dtype) for y in results)
    carry, written = jax.lax.fori_loop(0, steps, body, (carry, written))
    return carry, tuple(array[:rows] for array in written)


def _where(here: Any, news: Arrays, olds: Arrays) -> Arrays:
    return tuple(
        jnp.where(here.reshape(-1, *(1,) * (new.ndim - 1)), new, old) for new, old in zip(news, olds, strict=True)
    )
