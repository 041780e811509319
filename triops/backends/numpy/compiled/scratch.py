"""Memory that a kernel has while it runs: `np.empty` and `np.zeros` are several functions to compile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.containers import UniTuple
from numba.np import arrayobj

from triops.backends.numpy.compiled.jit import intrinsic

__all__ = ["empty", "zeros"]

_LINE = 64


def _array(*, zeroed: bool) -> Callable[..., Any]:
    """A function of a shape, for a contiguous array of float32."""

    @intrinsic
    def array(context: Any, shape: Any) -> Any:
        made = types.Array(types.float32, len(shape), "C")

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            number = ir.IntType(64)
            shape = cgutils.unpack_tuple(builder, args[0])
            steps = [number(4)]
            for size in reversed(shape):
                steps.insert(0, builder.mul(steps[0], size))
            held = context.nrt.meminfo_alloc_aligned(builder, steps[0], _LINE)
            place = context.nrt.meminfo_data(builder, held)
            if zeroed:
                cgutils.memset(builder, place, steps[0], 0)
            array = context.make_array(made)(context, builder)
            arrayobj.populate_array(
                array,
                data=builder.bitcast(place, ir.FloatType().as_pointer()),
                shape=shape,
                strides=steps[1:],
                itemsize=steps[-1],
                meminfo=held,
            )
            return array._getvalue()

        return made(UniTuple(types.int64, len(shape))), generate

    return array


empty = _array(zeroed=False)
zeros = _array(zeroed=True)
