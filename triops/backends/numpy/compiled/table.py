"""Compiled kernels by op name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from triops.backends.numpy.compiled.attention import ATTENTION
from triops.backends.numpy.compiled.donated import DONATED
from triops.backends.numpy.compiled.elementwise import ELEMENTWISE
from triops.backends.numpy.compiled.fused import FUSED
from triops.backends.numpy.compiled.hashing import HASHING
from triops.backends.numpy.compiled.losses import LOSSES
from triops.backends.numpy.compiled.maxout import MAXOUT
from triops.backends.numpy.compiled.products import PRODUCTS
from triops.backends.numpy.compiled.random import RANDOM
from triops.backends.numpy.compiled.recurrent import RECURRENT
from triops.backends.numpy.compiled.reductions import REDUCTIONS
from triops.backends.numpy.compiled.rows import ROWS
from triops.backends.numpy.compiled.sequences import SEQUENCES
from triops.backends.numpy.compiled.tables import TABLES
from triops.backends.numpy.compiled.updates import UPDATES

__all__ = ["COMPILED"]

COMPILED: Mapping[str, Callable[..., Any]] = {
    **PRODUCTS,
    **ELEMENTWISE,
    **ROWS,
    **LOSSES,
    **MAXOUT,
    **FUSED,
    **TABLES,
    **HASHING,
    **REDUCTIONS,
    **RECURRENT,
    **SEQUENCES,
    **ATTENTION,
    **RANDOM,
    **UPDATES,
    **DONATED,
}
