"""What a model is computed in, and the scale that keeps float16's gradients in its range."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

from triops.errors import ArgumentError
from triops.models.guard import path_of
from triops.models.model import Model
from triops.models.precision import FULL
from triops.ops import Ops
from triops.ops.base import is_float

__all__ = ["LossScaled", "Precision", "Scale", "WideSums"]

NAMES = ("bfloat16", "float16", "float32")
GOOD_STEPS = 2000  # after which the scale is doubled, as PyTorch does it
_FIRST, _LOWEST, _HIGHEST = 2.0**15, 2.0**-14, 2.0**24


class Precision:
    """The setting of a compiled model or step, with the scale that it has now. dtype: what is computed in, None
    for the parameters' own."""

    def __init__(self, caller: str, name: str | None, ops: Ops) -> None:
        if name not in (None, *NAMES):
            raise ArgumentError(f"{caller}: precision must be one of {list(NAMES)}, got {name!r}")
        self._caller, self.name = caller, name
        self.dtype = None if name in (None, FULL) else name
        # The scale, and how many good passes there were since it changed; None where nothing is scaled.
        self._numbers = [_FIRST, 0.0] if name == "float16" else None
        self.check(ops)

    def check(self, ops: Ops) -> None:
        """Raise ArgumentError where the backend cannot compute so."""
        if self.dtype is not None and ops.backend.compiler is None:
            raise ArgumentError(
                f"{self._caller}: precision={self.name!r} needs a backend that compiles, and {ops.name} does "
                f"not: leave precision out, or move the model with model.to('jax')"
            )

    def lower(self, root: Model, node: Model, name: str, value: Any) -> Any:
        """A parameter as its layer computes with it."""
        if self.dtype is None or not is_float(value.dtype):
            return value
        if value.dtype != FULL:
            raise ArgumentError(
                f"{self._caller}: precision is for parameters of {FULL}, and {name} of {path_of(root, node)} is "
                f"{value.dtype}: convert them with model.astype({FULL!r}), or leave precision out"
            )
        return value if node.full_precision else value.astype(self.dtype)

    @property
    def scale(self) -> float:
        """What gradients are multiplied with on their way back."""
        return 1.0 if self._numbers is None else self._numbers[0]

    @scale.setter
    def scale(self, value: Any) -> None:
        if self._numbers is None:
            raise ArgumentError(f"loss_scale is for precision='float16', and this is {self.name!r}")
        if not isinstance(value, Real) or not _LOWEST <= float(value) <= _HIGHEST:
            raise ArgumentError(f"loss_scale must be from {_LOWEST} to {_HIGHEST}, got {value!r}")
        self._numbers = [float(value), 0.0]

    def arrays(self, ops: Ops) -> list[Any]:
        """What a program takes of this, on the host."""
        return [] if self._numbers is None else [ops.backend.host.namespace.array(self._numbers, FULL)]

    def take(self, ops: Ops, results: Sequence[Any]) -> bool:
        """Keep what a program returns of this, last of all; whether its gradients were finite."""
        if self._numbers is None:
            return True
        *numbers, finite = ops.to_numpy(results[-1]).tolist()  # this waits for the program
        self._numbers = numbers
        return bool(finite)


class LossScaled:
    """What computes in a precision, and shows its scale."""

    _precision: Precision

    @property
    def loss_scale(self) -> float:
        """What gradients are multiplied with on their way back, 1 unless in float16. It can be set, to go on
        where an earlier training stopped."""
        return self._precision.scale

    @loss_scale.setter
    def loss_scale(self, value: float) -> None:
        self._precision.scale = value


class Scale:
    """The scale within a program, out of the arrays that `Precision.arrays` gives. It changes nothing where there
    are none."""

    def __init__(self, ops: Ops, given: Sequence[Any]) -> None:
        self._xp, self._given = ops.xp, given
        self._finite: Any = None

    def up(self, dY: Any) -> Any:
        """A gradient on its way back."""
        return dY * self._given[0][0] if self._given else dY

    def down(self, gradients: Iterable[Any]) -> list[Any]:
        """All gradients of a pass as they would be without."""
        if not self._given:
            return list(gradients)
        unscaled = [gradient / self._given[0][0] for gradient in gradients]
        self._finite = self._xp.asarray(True)
        for gradient in unscaled:
            self._finite &= self._xp.isfinite(gradient).all()
        return unscaled

    def where_finite(self, new: Sequence[Any], old: Sequence[Any] | None = None) -> list[Any]:
        """The first where all gradients were finite, else the others, or zeros."""
        if not self._given:
            return list(new)
        old = [0] * len(new) if old is None else old
        return [self._xp.where(self._finite, one, other) for one, other in zip(new, old, strict=True)]

    def after(self) -> list[Any]:
        """What the program is to return last: the scale from now on, the good passes, and whether this is one."""
        if not self._given:
            return []
        xp, (scale, good) = self._xp, self._given[0]
        grown = good + 1 >= GOOD_STEPS
        doubled = xp.where(grown, xp.minimum(scale * 2, _HIGHEST), scale)
        return [
            xp.stack([
                xp.where(self._finite, doubled, xp.maximum(scale / 2, _LOWEST)),
                xp.where(self._finite & ~grown, good + 1, 0),
                self._finite.astype(FULL),
            ])
        ]  # fmt: skip


class WideSums(dict[str, Any]):
    """Gradients that add up in float32."""

    def __setitem__(self, name: str, gradient: Any) -> None:
        super().__setitem__(name, gradient.astype(FULL))
