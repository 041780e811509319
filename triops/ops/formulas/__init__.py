"""What each operation means, written once over any array namespace.

A formula takes the namespace first, then arrays and numbers by position, then settings by keyword. What
is positional may change from call to call; what is keyword-only is compiled in where a backend compiles.
A formula changes no argument. It runs where a backend has no kernel of its name, and it is what every
kernel is tested against.
"""

from triops.ops.formulas import (
    activations,
    attention,
    bags,
    embedding,
    fused,
    hashing,
    linear,
    losses,
    maxout,
    normalization,
    random,
    recurrent,
    reductions,
    softmax,
    special,
    updates,
    windows,
)
from triops.ops.formulas.registry import FORMULAS

__all__ = [
    "FORMULAS",
    "activations",
    "attention",
    "bags",
    "embedding",
    "fused",
    "hashing",
    "linear",
    "losses",
    "maxout",
    "normalization",
    "random",
    "recurrent",
    "reductions",
    "softmax",
    "special",
    "updates",
    "windows",
]
