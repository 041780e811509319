"""How arrays come and go: dtypes, copies, bytes, precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.subject import ops_or_skip
from triops import Ops, get_ops, ops_of
from triops.errors import DTypeError, ShapeError

WIDTHS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32"]


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([1.0, 2.0], "float32"),
        (1.5, "float32"),
        ([[1, 2], [3, 4]], "int64"),
        (((True, False),), "bool"),
        ([], "float32"),
        ([np.float64(1.0), np.float64(2.0)], "float32"),
        ([np.ones(2, dtype="float16"), np.ones(2, dtype="float16")], "float16"),
        (np.ones((2, 2)), "float32"),
        (range(3), "int64"),
        (memoryview(b"\x01\x02"), "uint8"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_dtype_where_none_is_named(data: Any, dtype: str, ops: Ops) -> None:
    array = ops.asarray(data)
    assert ops_of(array) is ops
    assert array.dtype == dtype
    np.testing.assert_array_equal(ops.to_numpy(array), np.asarray(data))


@pytest.mark.parametrize("dtype", WIDTHS)
def test_every_width_is_kept(dtype: str, ops: Ops) -> None:
    source = np.array([[0, 1], [1, 1]], dtype=dtype)
    array = ops.asarray(source)
    assert array.dtype == dtype
    assert ops.to_numpy(array).tobytes() == source.tobytes()


@pytest.mark.parametrize(("order", "dtype"), [(">f4", "float32"), (">f8", "float32"), (">i2", "int16")])
def test_the_order_of_bytes_is_the_machines(order: str, dtype: str, ops: Ops) -> None:
    array = ops.asarray(np.array([1, 2], dtype=order))
    assert array.dtype == dtype
    assert ops.to_numpy(array).tolist() == [1, 2]


def test_bfloat16_is_kept() -> None:
    ops = ops_or_skip("jax")
    array = ops.asarray([1.0, 2.5], dtype="bfloat16")
    assert array.dtype.name == "bfloat16"
    assert ops.asarray(array).dtype.name == "bfloat16"
    assert ops.to_numpy(array).astype("float32").tolist() == [1.0, 2.5]


@pytest.mark.parametrize(
    "dtype", ["float64", "float32", "float16", "int64", "int32", np.float32, np.dtype("int8")]
)
def test_dtype_that_is_named(dtype: Any, ops: Ops) -> None:
    for data in ([1.0, 2.0], [1, 2], np.array([1, 2], dtype="uint16"), ops.asarray([1.0, 2.0])):
        array = ops.asarray(data, dtype=dtype)
        assert array.dtype == np.dtype(dtype)
        assert ops.to_numpy(array).tolist() == [1.0, 2.0]


def test_large_integers_keep_every_bit(ops: Ops) -> None:
    for dtype, number in (("int64", -(2**62) - 1), ("uint64", 2**63 + 1), ("uint32", 2**32 - 1)):
        assert ops.to_numpy(ops.asarray(np.array([number], dtype=dtype)))[0] == number
    assert ops.to_numpy(ops.asarray([2**40 + 1]))[0] == 2**40 + 1


def test_float64_keeps_every_bit(ops: Ops) -> None:
    source = np.random.default_rng(1).normal(0, 1, 100) * 10.0 ** np.arange(-50, 50)
    assert ops.to_numpy(ops.asarray(source, dtype="float64")).tobytes() == source.tobytes()


def test_float64_is_computed_in_float64(ops: Ops) -> None:
    """A factor of a formula that became float32 on the way would cost half the digits."""
    X = np.linspace(-3, 3, 21)
    Y = ops.to_numpy(ops.gelu_approx(ops.asarray(X, dtype="float64")))
    assert Y.dtype == "float64"
    np.testing.assert_allclose(
        Y, 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3))), rtol=1e-14, atol=1e-15
    )
    total = ops.to_numpy(ops.gemm(ops.asarray([[1.0, 1e-12]], "float64"), ops.asarray([[1.0], [1.0]], "float64")))
    assert total[0, 0] == 1.0 + 1e-12


def test_jax_defaults_stay_at_32_bits() -> None:
    ops = ops_or_skip("jax")
    import jax
    import jax.numpy as jnp

    ops.softmax(ops.asarray(np.ones((2, 3)), dtype="float64"))
    ops.gather(ops.alloc((3, 2), "float64"), ops.asarray([0, 2]))
    assert jnp.ones(3).dtype == "float32"
    assert jnp.arange(3).dtype == "int32"
    assert jnp.asarray([1.5]).dtype == "float32"
    assert jax.random.normal(jax.random.key(0)).dtype == "float32"
    assert not jax.config.jax_enable_x64


def test_an_own_array_is_returned_as_it_is(ops: Ops) -> None:
    array = ops.asarray([1.0, 2.0])
    assert ops.asarray(array) is array
    assert ops.asarray(array, dtype="float32") is array


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_changes_of_the_source_do_not_show(dtype: str) -> None:
    """XLA borrows host memory that is aligned to 64 bytes; an array must not change under its owner."""
    ops = ops_or_skip("jax")
    for offset in (0, 4, 8, 64):
        source = _aligned(1024, dtype, offset)
        source[:] = 1
        array = ops.asarray(source, dtype=dtype)
        result = ops.asarray(source.reshape(32, 32).T, dtype=dtype)
        source[:] = 2
        assert set(ops.to_numpy(array).tolist()) == {1}
        assert set(ops.to_numpy(result).ravel().tolist()) == {1}


def test_arrays_of_bytes_do_not_change_with_them() -> None:
    ops = ops_or_skip("jax")
    data = bytearray(np.ones(256, dtype="float32").tobytes())
    array = ops.from_bytes(data, "float32", (256,))
    data[:] = bytes(1024)
    assert set(ops.to_numpy(array).tolist()) == {1.0}


def test_arrays_of_another_backend_are_copied() -> None:
    jax, numpy = ops_or_skip("jax"), get_ops("numpy")
    source = numpy.asarray(np.random.default_rng(2).normal(0, 1, (3, 5)).T, dtype="float32")
    there = jax.asarray(source)
    assert ops_of(there) is jax
    back = numpy.asarray(there)
    assert ops_of(back) is numpy
    assert back.tobytes() == source.tobytes()
    for dtype in ("int64", "float64", "float16"):
        array = numpy.asarray(jax.asarray([1, 2], dtype=dtype), dtype=dtype)
        assert array.dtype == dtype
        assert array.tolist() == [1, 2]


@pytest.mark.parametrize("layout", ["C", "F"])
def test_views_keep_their_values(layout: str, ops: Ops) -> None:
    source = np.asarray(np.arange(60, dtype="float32").reshape(4, 3, 5), order=layout)
    for view in (source, source.T, source[::-1, :, ::2], source[1], np.broadcast_to(source[0], (2, 3, 5))):
        np.testing.assert_array_equal(ops.to_numpy(ops.asarray(view)), view)


NO_NUMBERS = [
    "text",
    b"bytes",
    ["a", "b"],
    ["1.5"],
    None,
    [None, 1.0],
    {},
    {"a": 1},
    object(),
    [object()],
    1j,
    [2**70],
]


@pytest.mark.parametrize("dtype", [None, "float32", "int64"])
@pytest.mark.parametrize("data", NO_NUMBERS, ids=lambda data: f"{type(data).__name__} {str(data)[:12]}")
def test_no_numbers(data: Any, dtype: str | None, ops: Ops) -> None:
    """NumPy would read '1.5' as a number and None as NaN, where it is given a dtype."""
    with pytest.raises(DTypeError, match=r"^asarray: data cannot be an array of numbers \("):
        ops.asarray(data, dtype=dtype)


def test_masked_entries_are_no_numbers(ops: Ops) -> None:
    masked = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    with pytest.raises(DTypeError, match=r"^asarray: .*entries are masked: fill them first"):
        ops.asarray(masked)
    assert ops.to_numpy(ops.asarray(masked.filled(0))).tolist() == [1.0, 0.0]
    assert ops.to_numpy(ops.asarray(masked[:1])).tolist() == [1.0]


def test_dates_are_no_numbers(ops: Ops) -> None:
    with pytest.raises(DTypeError, match="datetime64"):
        ops.asarray(np.array(["2020-01-01"], dtype="datetime64[D]"), dtype="float32")


@pytest.mark.parametrize("dtype", ["float31", "str", "complex64", "object"])
def test_dtype_of_no_number(dtype: str, ops: Ops) -> None:
    with pytest.raises(DTypeError, match=r"^asarray: "):
        ops.asarray([1.0], dtype=dtype)


@pytest.mark.parametrize("data", [[[1.0], [1.0, 2.0]], [1.0, [2.0]], [np.ones(2), np.ones(3)]], ids=str)
@pytest.mark.parametrize("dtype", [None, "float32"])
def test_unequal_rows(data: Any, dtype: str | None, ops: Ops) -> None:
    with pytest.raises(ShapeError, match=r"^asarray: the rows have unequal lengths .*: pad them, or keep a list"):
        ops.asarray(data, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int32", "int64", "uint8", "bool"])
def test_alloc(dtype: str, ops: Ops) -> None:
    zeros = ops.alloc((2, 3), dtype)
    assert ops_of(zeros) is ops
    assert (zeros.shape, zeros.dtype) == ((2, 3), dtype)
    assert not ops.to_numpy(zeros).any()
    anything = ops.alloc((2, 3), dtype, zeros=False)
    assert (anything.shape, anything.dtype) == ((2, 3), dtype)


@pytest.mark.parametrize(
    ("shape", "expected"), [(3, (3,)), ((), ()), ([2, 0], (2, 0)), ((np.int64(2),), (2,)), (0, (0,))]
)
def test_alloc_shapes(shape: Any, expected: tuple[int, ...], ops: Ops) -> None:
    array = ops.alloc(shape)
    assert array.shape == expected
    assert array.dtype == "float32"
    assert ops_of(array) is ops


@pytest.mark.parametrize("shape", [-1, (2, -1)])
def test_alloc_of_a_negative_extent(shape: Any, ops: Ops) -> None:
    with pytest.raises(ShapeError, match=r"^alloc: shape must not have a negative extent, got \("):
        ops.alloc(shape)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint64", "int8", "bool"])
def test_bytes_and_back(dtype: str, ops: Ops) -> None:
    source = np.arange(6).reshape(2, 3).astype(dtype)
    array = ops.from_bytes(source.astype(source.dtype.newbyteorder("<")).tobytes(), dtype, [2, 3])
    assert ops_of(array) is ops
    assert (array.shape, array.dtype) == ((2, 3), dtype)
    assert ops.to_numpy(array).tobytes() == source.tobytes()


def test_bytes_are_little_endian(ops: Ops) -> None:
    assert ops.to_numpy(ops.from_bytes(b"\x01\x00\x00\x00", "int32", (1,))).tolist() == [1]


def test_to_numpy_is_numpy(ops: Ops) -> None:
    for array in (ops.asarray([[1.0, 2.0]]), ops.asarray(3.0), ops.alloc((0, 2))):
        copied = ops.to_numpy(array)
        assert isinstance(copied, np.ndarray)
        assert (copied.shape, copied.dtype) == (array.shape, array.dtype)


def test_synchronize(ops: Ops) -> None:
    array = ops.gemm(ops.alloc((64, 64)), ops.alloc((64, 64)))
    ops.synchronize(array)
    ops.synchronize(array, array)
    ops.synchronize()


def _aligned(size: int, dtype: str, offset: int) -> Any:
    """An array that begins `offset` bytes after a multiple of 64."""
    itemsize = np.dtype(dtype).itemsize
    memory = np.zeros(size * itemsize + 192, dtype="uint8")
    start = -memory.ctypes.data % 64 + offset
    array = memory[start : start + size * itemsize].view(dtype)
    assert (array.ctypes.data - offset) % 64 == 0
    return array
