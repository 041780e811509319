"""Models out of models."""

from collections.abc import Callable, Mapping

from triops.models.combinators.add import add
from triops.models.combinators.bidirectional import bidirectional
from triops.models.combinators.chain import chain
from triops.models.combinators.clone import clone
from triops.models.combinators.concatenate import concatenate
from triops.models.combinators.map_list import map_list
from triops.models.combinators.residual import residual
from triops.models.combinators.siamese import siamese
from triops.models.combinators.tuplify import tuplify
from triops.models.model import Model

__all__ = [
    "OPERATORS",
    "add",
    "bidirectional",
    "chain",
    "clone",
    "concatenate",
    "map_list",
    "residual",
    "siamese",
    "tuplify",
]

OPERATORS: Mapping[str, Callable[..., Model]] = {
    ">>": chain,
    "|": concatenate,
    "+": add,
    "**": clone,
}
