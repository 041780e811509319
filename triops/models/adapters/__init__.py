"""Layers between lists of arrays, Ragged, Padded and plain arrays, and around layers that take only one of
them."""

from triops.models.adapters.between import list2array, list2padded, list2ragged, padded2list, ragged2list
from triops.models.adapters.within import (
    with_array,
    with_flatten,
    with_list,
    with_padded,
    with_ragged,
    with_reshape,
)

__all__ = [
    "list2array",
    "list2padded",
    "list2ragged",
    "padded2list",
    "ragged2list",
    "with_array",
    "with_flatten",
    "with_list",
    "with_padded",
    "with_ragged",
    "with_reshape",
]
