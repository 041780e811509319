"""The table of op cases: what each public op means, its samples, its errors and its gradient, a family a
file. An op without a row fails `tests.ops.test_table`."""

from tests.ops.cases import (
    activations,
    bags,
    embedding,
    hashing,
    linear,
    maxout,
    normalization,
    random,
    reductions,
    softmax,
    updates,
    windows,
)
from tests.ops.cases.case import BadCall, Gradient, OpCase, Sample

__all__ = ["CASES", "BadCall", "Gradient", "OpCase", "Sample"]

FAMILIES = (
    activations,
    linear,
    softmax,
    normalization,
    maxout,
    embedding,
    bags,
    hashing,
    reductions,
    windows,
    random,
    updates,
)

CASES = {case.op: case for family in FAMILIES for case in family.CASES}
