"""The base of all wrappers: what a pass through another library has in common, whatever the library."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar

from triops.errors import ArgumentError, DTypeError
from triops.models.model import Model
from triops.models.seeds import default_seed, derive_seed
from triops.models.wrappers.bridge import Bridge
from triops.ops import Ops
from triops.types import Backprop

__all__ = ["PullBack", "Wrapper", "check_rate", "dtype_made_by", "leaves_like", "map_leaves", "tree_leaves"]

PullBack = Callable[[Any], Any]  # gradients of the outputs, as the library's tensors, to those of the inputs

_NOTHING: AbstractContextManager[Any] = nullcontext()


class Wrapper(Model):
    """A model that another library computes. A wrapper implements `run`; arrays become tensors and tensors
    arrays here."""

    full_precision = True  # the library decides itself what it computes in
    library: ClassVar[str]  # what Bridge knows it by
    _bridge: Bridge

    @property
    def untraceable(self) -> str | None:
        return None if self.library == "jax" else f"{self.library} computes it, and needs the values of its input"

    @abstractmethod
    def run(self, X: Any, drop: float | None) -> tuple[Any, PullBack]:
        """The outputs, detached tensors in lists and tuples, and the function that takes their gradients, like
        them with None for no gradient; adds to those of the parameters; and returns those of the inputs."""

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        with self.recording(drop is not None):
            outputs, pull_back = self.run(map_leaves(self._input, X), drop)
        pending = [pull_back]

        def backprop(dY: Any, sgd: Any = None) -> Any:
            if drop is None:
                raise ArgumentError(
                    "begin_update with drop=None predicts and records nothing: give it a rate, as 0.0"
                )
            if not pending:
                raise ArgumentError(
                    f"backprop was called for this forward pass before, and {self.library} has let go of what it "
                    f"recorded: call begin_update again"
                )
            with self.recording(True):
                dY = map_leaves(self._gradient, dY)
                dX = pending.pop()(dY)
            return map_leaves(self._input_gradient, dX)

        return map_leaves(self._bridge.from_tensor, outputs), backprop

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        """What the library needs around a pass, to record it or not to."""
        return _NOTHING

    def _input(self, array: Any) -> Any:
        if not self.ops.backend.owns(array):
            self.ops.check_owner("begin_update", "X", array)
        return self._bridge.to_tensor(array)

    def _gradient(self, array: Any) -> Any:
        if array is None:
            return None
        if not self.ops.backend.owns(array):
            self.ops.check_owner("backprop", "dY", array)
        return self._bridge.to_tensor(array)

    def _input_gradient(self, tensor: Any) -> Any:
        return None if tensor is None else self._bridge.from_tensor(tensor)

    def check_output(self, value: Any) -> Any:
        """What the wrapped function returned; DTypeError where it is no tensor."""
        if not self._bridge.is_tensor(value):
            raise DTypeError(
                f"the module must return a tensor, or lists and tuples of tensors, got {type(value).__name__}: "
                f"wrap a module that returns the tensors alone"
            )
        return value

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        self.set_state("seed", derive_seed(seed, self.library))
        self.set_state("drawn", 0)

    def own_seed(self) -> int:
        """What `initialize` was given, or else what `fix_random_seed` was."""
        seed: int | None = self.get_state("seed")
        return derive_seed(default_seed(), self.library, self.id) if seed is None else seed

    def next_seed(self, drop: float | None) -> int:
        """The seed of a pass: of each for training its own, of predictions always the same."""
        seed = self.own_seed()
        if drop is None:
            return derive_seed(seed, "predict")
        drawn = self.get_state("drawn", 0)
        self.set_state("drawn", drawn + 1)
        return derive_seed(seed, drawn)


def check_rate(drop: float | None) -> None:
    """Raise ArgumentError where `drop` is no rate of dropout."""
    if drop is not None and not 0 <= drop < 1:
        raise ArgumentError(f"drop must be from 0 up to, not including, 1, or None to predict, got {drop}")


def map_leaves(function: Callable[..., Any], tree: Any) -> Any:
    """`function` of each leaf; lists stay lists, and tuples of any kind become plain ones."""
    if isinstance(tree, list):
        return [map_leaves(function, item) for item in tree]
    if isinstance(tree, tuple):
        return tuple(map_leaves(function, item) for item in tree)
    return function(tree)


def tree_leaves(tree: Any) -> list[Any]:
    """The leaves of lists and tuples, in order."""
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in tree_leaves(item)]
    return [tree]


def leaves_like(outputs: Any, dY: Any) -> list[Any]:
    """The leaves of dY, one for each output: None where it, or a whole list of them, has no gradient."""
    if isinstance(outputs, list | tuple):
        parts = [None] * len(outputs) if dY is None else dY
        return [leaf for y, dy in zip(outputs, parts, strict=True) for leaf in leaves_like(y, dy)]
    return [dY]


def dtype_made_by(function: Callable[[Any], Any], ops: Ops) -> str | None:
    """The dtype that a conversion gives to every float; None of what moves arrays and leaves them as they are."""
    made = {function(ops.alloc((1,), name)).dtype.name for name in ("float32", "float64")}
    return made.pop() if len(made) == 1 else None
