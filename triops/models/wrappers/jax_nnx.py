"""A module of Flax NNX as a pure function of its parameters and statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from triops.errors import ArgumentError
from triops.models.wrappers.jax_functions import Functional, apply
from triops.models.wrappers.jax_passes import Pass, Program

__all__ = ["functional"]


def functional(module: Any, vmap: bool) -> Functional:
    """The module trains in the mode that it is in, and predicts in eval mode. Raises ArgumentError where it is to
    be mapped over rows, since its statistics are of the batch."""
    if vmap:
        raise ArgumentError("JaxWrapper: modules of Flax NNX take whole batches: leave vmap out")
    trained, streams, kept = nnx.state(module, nnx.Param, nnx.RngState, ...)
    trains = nnx.graphdef(module)
    evaluator = nnx.clone(module)
    evaluator.eval()
    predicts = nnx.graphdef(evaluator)
    params, structure = _named(trained)
    state, kept_structure = _named(kept)

    params_names, state_names = tuple(params), tuple(state)

    def merged(graph: Any, arrays: Mapping[str, Any], others: Mapping[str, Any], streams: Any) -> Any:
        return nnx.merge(
            graph,
            structure.unflatten([arrays[name] for name in params_names]),
            streams,
            kept_structure.unflatten([others[name] for name in state_names]),
        )

    def call(arrays: Any, others: Any, X: Any, settings: Pass) -> tuple[Any, Any]:
        current = merged(
            predicts if settings.drop is None else trains, arrays, others, _seeded(streams, settings.seed)
        )
        if settings.drop is not None and settings.drop.value > 0:
            for inner in _inside(current, nnx.Dropout):
                inner.rate = settings.drop.value
        Y = apply(current, type(module).__call__, X, settings, vmap=False)
        return Y, _named(nnx.state(current, nnx.Param, nnx.RngState, ...)[2])[0]

    def rebuild(arrays: Any, others: Any) -> Any:
        return merged(trains, arrays, others, jax.tree.map(lambda leaf: leaf, streams))

    return Functional(Program(call), params, state, rebuild, fixed=True, label=type(module).__name__)


def _named(state: Any) -> tuple[dict[str, Any], Any]:
    """The arrays of a state by the paths of their variables, and its structure."""
    found, structure = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path, simple=True, separator=".").removesuffix(".value"): leaf
        for path, leaf in found
    }, structure


def _seeded(streams: Any, seed: Any) -> Any:
    """The random streams, each at the start of what the seed and its own place make of it."""
    leaves, structure = jax.tree.flatten(streams)
    first = jax.random.key(seed)
    return structure.unflatten(
        jax.random.fold_in(first, i) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else jnp.zeros_like(leaf)
        for i, leaf in enumerate(leaves)
    )


def _inside(module: Any, kind: type) -> list[Any]:
    return [node for _, node in nnx.iter_graph(module) if isinstance(node, kind)]
