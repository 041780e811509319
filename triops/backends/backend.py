"""The contract of a backend. A backend says how; `triops.ops` says what."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from operator import attrgetter
from typing import Any, ClassVar

from triops.backends.compiler import Compiler
from triops.errors import BackendUnavailable
from triops.types import Array, DType, Shape

__all__ = ["FLOAT_NAMES", "Backend", "Device", "each"]

Arrays = tuple[Any, ...]

FLOAT_NAMES = frozenset({"float16", "bfloat16", "float32", "float64"})


@dataclass(frozen=True)
class Device:
    """A device as its name and number, `cpu:0` or `cuda:1`."""

    kind: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.kind}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read `cuda:1`, or `cuda` for its first device."""
        kind, _, index = text.strip().lower().partition(":")
        kind = {"gpu": "cuda"}.get(kind, kind)
        if not kind or (index and not index.isdecimal()):
            raise BackendUnavailable(
                f"device {text!r} is not a device's name: give a kind and a number, as in 'cpu:0' or 'cuda:1'"
            )
        return cls(kind, int(index or 0))


class Backend(ABC):
    """Arrays of one framework on one device."""

    name: ClassVar[str]
    immutable: ClassVar[bool] = False  # whether an array never changes
    # Types whose instances, those of subclasses apart, are owned, lie in the host's memory and are never traced,
    # which spares each call the questions.
    owned_types: ClassVar[frozenset[type]] = frozenset()
    # What arrays of one shape and dtype share. No function of Python's, which would cost each call more.
    kind_of: ClassVar[attrgetter[Any]] = attrgetter("shape", "dtype")
    xp: Any
    device: Device

    def __init__(self, device: Device) -> None:
        self.device = device

    # -- what the machine has

    @classmethod
    @abstractmethod
    def devices(cls) -> tuple[Device, ...]:
        """The devices that this backend can use, the default first; raises BackendUnavailable."""

    @classmethod
    @abstractmethod
    def versions(cls) -> dict[str, str]:
        """Versions and settings that decide how fast and how this backend computes."""

    # -- memory

    @abstractmethod
    def is_array(self, data: object) -> bool:
        """Whether `data` is an array of this framework, on any device."""

    def owns(self, data: object) -> bool:
        """Whether `data` is an array of this framework that computes on this device."""
        return self.is_array(data)

    @abstractmethod
    def device_of(self, array: Array) -> Device:
        """The device an array of this framework lies on."""

    @abstractmethod
    def asarray(self, data: Any, dtype: DType | None) -> Any:
        """Any array or nested sequence as this backend's array on this device; `dtype` None keeps it."""

    @abstractmethod
    def to_numpy(self, array: Any) -> Any:
        """An array of this backend as a NumPy array on the host, a view where that is possible."""

    def from_host(self, arrays: list[Any]) -> list[Any]:
        """NumPy arrays that nobody will write to as this backend's, sharing memory where that is possible."""
        return [self.asarray(array, None) for array in arrays]

    @abstractmethod
    def alloc(self, shape: Shape, dtype: DType, *, zeros: bool) -> Any:
        """A new array, filled with zeros or not filled."""

    def synchronize(self, arrays: tuple[Any, ...]) -> None:  # noqa: B027 - the CPU is always in step
        """Wait until the given arrays, or everything where none is given, are computed."""

    def activate(self) -> None:  # noqa: B027 - only CUDA has a device of the moment
        """Make this backend's device the framework's device of the moment."""

    @cached_property
    def reads_host_memory(self) -> bool:
        """Whether a value can be looked at without waiting for a device."""
        return self.device.kind == "cpu"

    def extremes(self, integers: Any) -> tuple[int, int, int]:
        """The lowest, the highest and the sum of integers, of one at least. It waits for the device."""
        # On the host, since JAX reduces no 64-bit integers unless all its defaults are 64-bit.
        values = self.to_numpy(integers)
        return int(values.min()), int(values.max()), int(values.sum())

    def rises(self, integers: Any) -> tuple[int, int]:
        """The least and the most that one of at least two integers is above the one before it. It waits for the
        device."""
        values = self.to_numpy(integers).astype("int64")
        rises = values[1:] - values[:-1]
        return int(rises.min()), int(rises.max())

    def word(self, value: int) -> Any:
        """A number from 0 to 2³²-1 that keeps its width."""
        return self.host.as_scalar(value, "uint32")

    def is_traced(self, array: object) -> bool:
        """Whether `array` stands for a value that a compiler will know only later."""
        return False

    @cached_property
    def host(self) -> Any:
        """The module of what every backend takes from the host; NumPy is loaded by then, and not before."""
        from triops.backends import host

        return host

    # -- kernels

    @cached_property
    def compiler(self) -> Compiler | None:
        """What makes programs of whole passes over a model, where there is such a thing."""
        return None

    def scan(
        self,
        step: Callable[[Arrays, Arrays], tuple[Arrays, Arrays]],
        carry: Arrays,
        xs: Arrays,
        sizes: Any,
        backwards: bool = False,
    ) -> tuple[Arrays, Arrays]:
        """`carry, ys = step(carry, xs)` at each step t from the first to the last, or backwards, with the rows of
        the xs that are the step's, sizes[t] after those of the steps before, and the first sizes[t] rows of the
        carry; its other rows stay. Returns the last carry, and the ys as rows like those of the xs.

        carry: (N, ...). xs: (T, ...), T at least 1. sizes: (L,), falling, from N on, adding up to T.
        """
        ends = self.to_numpy(sizes).cumsum().tolist()
        rows = [slice(start, end) for start, end in pairwise((0, *ends))]
        results: Arrays = ()
        for of_step in reversed(rows) if backwards else rows:
            count = of_step.stop - of_step.start
            after, ys = step(tuple(each[:count] for each in carry), tuple(x[of_step] for x in xs))
            carry = tuple(self.xp.concatenate((new, old[count:])) for new, old in zip(after, carry, strict=True))
            results = results or tuple(self.xp.empty((len(xs[0]), *y.shape[1:]), y.dtype) for y in ys)
            for result, y in zip(results, ys, strict=True):
                result[of_step] = y
        return carry, results

    @cached_property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        """Faster implementations by op name, each with its formula's arguments without `xp`."""
        return {}

    def kernel(self, name: str, formula: Callable[..., Any]) -> Callable[..., Any]:
        """What runs for an op: this backend's kernel of its name, or else its formula."""
        return self.kernels.get(name) or self.bind(formula)

    def make_direct(self, ops: object, kernels: dict[str, Callable[..., Any]]) -> None:  # noqa: B027 - optional
        """Put faster functions before methods of an `Ops`, for calls that need none of their checks. kernels:
        what the methods call, which may change."""

    def over_lists(self, name: str, formula: Callable[..., Any]) -> Callable[..., Any]:
        """The kernel of an op for many sets of arrays in one call: it takes a tuple of lists, then the numbers
        and settings that all share, and returns a list, or a tuple of lists where the op returns a tuple."""
        return each(self.kernel(name, formula))

    def bind(self, formula: Callable[..., Any]) -> Callable[..., Any]:
        """A formula as a kernel of this backend."""
        return partial(formula, self.xp)


def each(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel over the arrays of lists, one after the other."""

    def call(arrays: tuple[list[Any], ...], *numbers: Any, **settings: Any) -> Any:
        results = [kernel(*items, *numbers, **settings) for items in zip(*arrays, strict=True)]
        if not isinstance(results[0], tuple):
            return results
        return tuple(map(list, zip(*results, strict=True)))

    return call
