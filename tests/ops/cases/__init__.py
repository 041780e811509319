"""The table of op cases: what each public op means, its samples, its errors and its gradient, a family a
file. An op without a row fails `tests.ops.test_table`."""

from tests.ops.cases import (
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
    softmax_sequences,
    updates,
    windows,
)
from tests.ops.cases.case import BadCall, Gradient, OpCase, Sample, leaves, mapped

__all__ = ["CASES", "BadCall", "Gradient", "OpCase", "Sample", "leaves", "mapped"]

FAMILIES = (
    activations,
    linear,
    losses,
    softmax,
    softmax_sequences,
    attention,
    normalization,
    maxout,
    embedding,
    fused,
    bags,
    hashing,
    reductions,
    windows,
    recurrent,
    random,
    updates,
)

CASES = {case.op: case for family in FAMILIES for case in family.CASES}
