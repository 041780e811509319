"""The contract of a backend's compiler: pure functions of arrays become programs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from triops.backends.backend import Device

__all__ = ["AcrossDevices", "Compiler", "Function", "Program", "TwoWay"]

Function: TypeAlias = Callable[[list[Any]], list[Any]]
# The outputs and what is to be known besides them; and what becomes of the gradients of the outputs.
TwoWay: TypeAlias = Callable[[list[Any]], tuple[list[Any], list[Any], Function]]


class Program(ABC):
    """A compiled function. constants: the arrays that were compiled in."""

    constants: Sequence[Any]

    @abstractmethod
    def __call__(self, arrays: list[Any]) -> Sequence[Any]:
        """The results for arrays of the shapes and dtypes that it was compiled for."""


class Compiler(ABC):
    """What makes programs. A function gets a list of arrays and returns one; it is called once, with arrays whose
    values are not known yet."""

    @abstractmethod
    def program(self, function: Function, arrays: Sequence[Any], donated: range = range(0)) -> Program:
        """The function for arrays like these. It may consume those at the places `donated`, whose shapes and
        dtypes the results there have, but for those that are held elsewhere."""

    @abstractmethod
    def two_programs(self, function: TwoWay, arrays: Sequence[Any]) -> tuple[Program, Program, int]:
        """A program for the outputs, and one for the way back.

        The first one's results: the outputs, then what else is to be known, then what the second needs of
        its inside, whose number is returned too. The second takes the same arrays, the outputs, that inside, and
        the gradients of the outputs.
        """

    @abstractmethod
    def across(self, devices: Sequence[Device]) -> AcrossDevices:
        """What makes programs that run on several devices of one kind at once."""

    @abstractmethod
    def why_not(self, error: BaseException) -> str | None:
        """What a layer did that cannot be compiled, where that is what the error is about."""


class AcrossDevices(ABC):
    """What makes programs for several devices. They take and give arrays of the first one; the last arguments, a
    dimension for each in `axes`, are divided along it among the devices, or go whole to each where it is None.
    count: of the devices."""

    count: int

    @abstractmethod
    def whole(
        self, function: Function, arrays: Sequence[Any], donated: range, axes: Sequence[int | None]
    ) -> Program:
        """The function as `Compiler.program` has it, of the whole arrays: what it means does not change."""

    @abstractmethod
    def apart(
        self, function: Function, arrays: Sequence[Any], donated: range, axes: Sequence[int | None]
    ) -> Program:
        """The function of each device's own part. Its results must be the same on all."""

    @abstractmethod
    def total(self, arrays: list[Any]) -> list[Any]:
        """In a function of parts, the sums over the devices."""

    @abstractmethod
    def once(self, arrays: list[Any]) -> list[Any]:
        """In a function of parts, arrays that are to be counted once in a total."""
