"""The shape of a loss, and the checks that all share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.ops import Ops, ops_of
from triops.ops.bounds import bounds
from triops.types import Array, FloatsXd

__all__ = ["Loss"]


class Loss(ABC):
    """`grad, loss = f(guesses, truths)`: the gradient to give to `backprop`, and the loss as a scalar of the
    backend, which `float(loss)` waits for. Truths are arrays of the guesses' backend, or host lists where
    a loss says so."""

    normalize: bool

    @abstractmethod
    def __call__(self, guesses: Any, truths: Any) -> tuple[Any, Any]:
        """Gradient and loss."""

    def get_grad(self, guesses: Any, truths: Any) -> Any:
        """The gradient alone."""
        return self(guesses, truths)[0]

    def get_loss(self, guesses: Any, truths: Any) -> Any:
        """The loss alone."""
        return self(guesses, truths)[1]

    def prepared(self, ops: Ops, truths: Any, classes: int | None) -> Any:
        """Truths as arrays of `ops`, which the loss takes as well, checked as far as that can be done without
        guesses. classes: how many columns these will have, where that is known."""
        return truths

    def _divisor(self, guesses: FloatsXd) -> Any:
        # An integer: 1/N is a float32 to JAX, which would cost a float64 loss half its digits.
        if not self.normalize:
            return 1
        known = bounds()
        real = None if known is None else known.total(len(guesses))
        return len(guesses) if real is None else real.astype(guesses.dtype)

    def _counted(self, ops: Ops, guesses: FloatsXd) -> Any:
        """(N, 1), 1 for the rows that are the batch's own and 0 for those that it was filled up with while
        compiling; the number 1 where it was not."""
        known = bounds()
        real = None if known is None else known.real(len(guesses))
        if real is None:
            return 1
        return (ops.xp.arange(len(guesses), dtype="int32") < real)[:, None].astype(guesses.dtype)

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _checked_guesses(self, guesses: FloatsXd) -> Ops:
        ops = ops_of(guesses)
        if guesses.ndim != 2:
            raise ShapeError(f"{self._name}: guesses must have 2 dimensions, got shape {tuple(guesses.shape)}")
        if 0 in guesses.shape:
            raise ShapeError(
                f"{self._name}: guesses are empty, shape {tuple(guesses.shape)}: there is no mean over no "
                f"rows; skip empty batches"
            )
        return ops

    def _check_truths(self, ops: Ops, guesses: FloatsXd, truths: FloatsXd) -> None:
        """Truths that are an array like the guesses, without NaN."""
        ops.check_owner(self._name, "truths", truths)
        if tuple(truths.shape) != tuple(guesses.shape):
            raise ShapeError(
                f"{self._name}: truths must have the shape of the guesses, {tuple(guesses.shape)}, got "
                f"{tuple(truths.shape)}"
            )
        if truths.dtype != guesses.dtype:
            raise DTypeError(
                f"{self._name}: truths are {truths.dtype} and guesses {guesses.dtype}: convert the truths "
                f"with ops.asarray(truths, dtype='{guesses.dtype}')"
            )
        self._refuse_nan(ops, truths)

    def _refuse_nan(self, ops: Ops, truths: Array) -> None:
        # On an accelerator looking would wait for the device; there a NaN shows in the loss.
        if ops.can_look(truths) and bool(ops.xp.isnan(truths).any()):
            row = int(ops.to_numpy(ops.xp.isnan(truths).any(axis=-1)).argmax())
            raise ArgumentError(
                f"{self._name}: truths hold NaN, first in row {row}: leave out the rows that have no truth, "
                f"or mark missing labels with missing_value"
            )
