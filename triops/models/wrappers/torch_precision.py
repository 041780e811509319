"""Mixed precision: a forward pass in 16 bits, and gradients that are scaled so that float16 holds them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from triops.errors import ArgumentError
from triops.models.wrappers.torch_passes import backward_pass, dense

__all__ = ["MixedPrecision"]

_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


class MixedPrecision:
    """What a wrapper with `mixed_precision` does differently.

    dtype: what torch.autocast computes in. scaler: a `torch.amp.GradScaler`, which has the scale and says how it
    changes, or None where gradients are not scaled. The scale of a pass is taken out of its gradients again at
    once: whoever looks at them, or updates with them, needs to know nothing of it.
    """

    def __init__(self, dtype: Any, scaler: Any, device_type: str) -> None:
        self.dtype, self.scaler = dtype, scaler
        self._device_type, self._in_a_row = device_type, 0

    @classmethod
    def of(cls, name: str | None, scaler: Any, device_type: str) -> MixedPrecision | None:
        """Raises ArgumentError where `name` is no dtype of autocast, or `scaler` no gradient scaler."""
        if scaler is not None and not isinstance(scaler, torch.amp.GradScaler):
            raise ArgumentError(
                f"PyTorchWrapper: grad_scaler must be a torch.amp.GradScaler, got {type(scaler).__name__}"
            )
        if name is None:
            if scaler is None:
                return None
            raise ArgumentError("PyTorchWrapper: grad_scaler is for mixed_precision='float16': give it, too")
        if name not in _DTYPES:
            raise ArgumentError(f"PyTorchWrapper: mixed_precision must be one of {list(_DTYPES)}, got {name!r}")
        if scaler is None and name == "float16":
            scaler = torch.amp.GradScaler(device_type)
        return cls(_DTYPES[name], scaler, device_type)

    @property
    def scale(self) -> float:
        """What gradients are multiplied by on their way back."""
        return 1.0 if self.scaler is None else float(self.scaler.get_scale())

    def restore(self, scale: float | None) -> None:
        """Go on with a scale that was saved."""
        if self.scaler is not None and scale is not None:
            self.scaler.load_state_dict({**self.scaler.state_dict(), "scale": scale})

    def call(self, module: Any, arguments: Sequence[Any]) -> Any:
        """The module's outputs, in 16 bits where autocast finds that good."""
        with torch.autocast(self._device_type, self.dtype):
            return module(*arguments)

    def backward_pass(
        self, modules: Sequence[Any], inputs: Sequence[Any], pairs: Sequence[tuple[Any, Any]]
    ) -> None:
        """As the plain one; where some gradient is not finite, those of the inputs are zeros, those of the
        parameters stay, and the scale gets smaller."""
        if self.scaler is None:
            backward_pass(modules, inputs, pairs)
            return
        found = (p for module in modules for p in module._parameters.values() if p is not None)
        parameters = list({id(parameter): parameter for parameter in found}.values())
        before = [p.grad for p in parameters]
        for parameter in parameters:
            parameter.grad = None
        scaled = [(tensor, self.scaler.scale(gradient)) for tensor, gradient in pairs]
        scale = self.scale
        backward_pass(modules, inputs, scaled)
        reached = [tensor for tensor in [*parameters, *inputs] if tensor.grad is not None]
        for tensor in reached:
            tensor.grad = dense(tensor.grad) / scale
        finite = all(bool(torch.isfinite(tensor.grad).all()) for tensor in reached)
        for parameter, gradient in zip(parameters, before, strict=True):
            if not finite or parameter.grad is None:
                parameter.grad = gradient
            elif gradient is not None:
                parameter.grad = gradient + parameter.grad
        if not finite:
            for tensor in inputs:
                tensor.grad = None
        self._adapt(scale, finite)

    def _adapt(self, scale: float, finite: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if finite else 0
        if not finite:
            self.scaler.update(scale * self.scaler.get_backoff_factor())
        elif self._in_a_row >= self.scaler.get_growth_interval():
            self._in_a_row = 0
            self.scaler.update(scale * self.scaler.get_growth_factor())
