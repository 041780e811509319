"""A case of one op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from triops.bench.cases.arrays import ITEM, compare_arrays, formula_ops, widened
from triops.bench.cases.case import ITEM_SIZES, Shape, Work
from triops.ops import Ops
from triops.ops.base import is_float

__all__ = ["OpCase", "listed"]


@dataclass(frozen=True)
class OpCase:
    """One op at its shapes.

    inputs: of the shape's extents, NumPy arrays. call: takes ops and the inputs, and returns an array or several.
    flops: of the shape's extents. reads: the inputs that are read in full, None for all. moved: bytes, of the
    shape's extents, where inputs and outputs are not it. consumes: a backend may change the inputs. carries: the
    inputs whose places a call's outputs take for the next one, as an optimizer's do from step to step. compare:
    how far results are from the references; up to `tolerance` is right.
    """

    name: str
    shapes: Mapping[str, Sequence[Shape]]
    inputs: Callable[..., Sequence[Any]]
    call: Callable[..., Any]
    flops: Callable[..., float] = lambda *shape: 0.0
    reads: tuple[int, ...] | None = None
    moved: Callable[..., int] | None = None
    consumes: bool = False
    carries: tuple[int, ...] = ()
    tolerance: float = 1e-5
    compare: Callable[[Sequence[Any], Sequence[Any]], float] = compare_arrays
    version: int = 1
    suite: str = "ops"

    def bytes_moved(self, shape: Shape, inputs: Sequence[Any], outputs: Sequence[Any], item: int = ITEM) -> int:
        """What has to be read and written at least, where a float takes `item` bytes."""
        if self.moved is not None:
            return self.moved(*shape) * item // ITEM
        read = inputs if self.reads is None else [inputs[i] for i in self.reads]
        return sum(
            array.size * (item if is_float(array.dtype) else array.itemsize) for array in (*read, *outputs)
        )

    def start(self, ops: Ops, dtype: str, shape: Shape) -> Work:
        """The inputs on the device."""
        inputs = self.inputs(*shape)
        arrays: list[Any] = []

        def renew() -> None:
            arrays[:] = [_placed(ops, array, dtype) for array in inputs]
            ops.synchronize(*arrays)

        def references() -> list[Any]:
            # As the backend has them: what a narrow dtype rounds off the inputs is no error of the op.
            exact = [widened(ops.to_numpy(_placed(ops, array, dtype))) for array in inputs]
            return [widened(array) for array in listed(self.call(formula_ops(), *exact))]

        def outputs() -> list[Any]:
            renew()
            return [widened(ops.to_numpy(array)) for array in listed(self.call(ops, *arrays))]

        def step() -> list[Any]:
            results = listed(self.call(ops, *arrays))
            for place, result in zip(self.carries, results, strict=False):
                arrays[place] = result
            return results

        renew()
        return Work(
            call=step if self.consumes else partial(self.call, ops, *arrays),
            inputs=inputs,
            outputs=outputs,
            references=references,
            compare=self.compare,
            bytes_moved=lambda outputs: self.bytes_moved(shape, inputs, outputs, ITEM_SIZES[dtype]),
            flops=float(self.flops(*shape)),
            samples=shape[0],
            renew=renew if self.consumes and not self.carries else None,
        )


def listed(outputs: Any) -> list[Any]:
    """An op's result as a list of arrays."""
    return list(outputs) if isinstance(outputs, tuple | list) else [outputs]


def _placed(ops: Ops, array: Any, dtype: str) -> Any:
    return ops.asarray(array.copy(), dtype if is_float(array.dtype) else array.dtype)
