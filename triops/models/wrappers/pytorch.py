"""Any `torch.nn.Module` as a model: its forward and backward passes, parameters, training and saving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

from triops.errors import (
    ArgumentError,
    ArrayOwnerError,
    BackendUnavailable,
    DTypeError,
    UninitializedError,
)
from triops.models import saving
from triops.models.guard import located
from triops.models.model import Model
from triops.models.seeds import default_seed, derive_seed
from triops.ops import Ops
from triops.types import Backprop

try:
    import safetensors.torch  # noqa: F401 - torch_state works with it
    import torch
except ImportError as error:
    raise BackendUnavailable(
        f"PyTorchWrapper needs the packages torch and safetensors ({error}): pip install 'triops[torch]'"
    ) from error

from triops.models.wrappers.bridge import bridge_to, torch_device
from triops.models.wrappers.torch_parameters import Gradients, Weights, find_parameter
from triops.models.wrappers.torch_passes import (
    backward_pass,
    dense,
    forward_pass,
    is_plain,
    map_tensors,
    recording,
)
from triops.models.wrappers.torch_state import state_from_bytes, state_to_bytes

__all__ = ["PyTorchWrapper"]


class PyTorchWrapper(Model):
    """Y = module(X), with the gradients that torch finds.

    X: an array of this model's ops, or a list or tuple of them, which the module gets as its arguments. Y: what
    the module returns: a tensor, or lists and tuples of tensors. `backprop` takes dY like Y, where None stands
    for no gradient, adds to the gradients of the module's parameters, and returns dX like X, None in place of
    integers. It can be called once for each `begin_update`, in any order, before the parameters change.

    A forward pass for training runs in train mode; what you put in eval mode inside a module in train mode
    stays so. `drop` above 0 replaces the rate of the module's dropout layers. With `drop` None it runs in eval
    mode and records nothing. Torch's random numbers follow from the seed that `initialize` gets and from how
    many training passes there were; torch's own generator, the module's mode and its rates are afterwards what
    they were before. Forward passes of several threads take turns, except predictions of torch's own layers in
    eval mode.

    The weights are the module's. `param_names` are those that require a gradient; `get_param` gives a copy, and
    `set_param` copies into the module's tensor. `initialize` changes none; it only makes those of lazy modules.

    optimizer: a `torch.optim.Optimizer` over the module's parameters, which then updates them whatever
    optimizer the whole model is given. Without one, `finish_update` takes triops' optimizers, and, on this
    model itself, torch's.
    share: whether torch computes in the memory of the arrays, and arrays lie in the memory of torch's results.
    None shares with torch's own layers as long as none works in place, and copies where other code runs, which
    might write to its input or keep its output. True promises that it does not; False copies always.

    Saved are the module's state_dict, parameters and buffers, as safetensors. Raises ArgumentError where
    `module` is none of torch's, ArrayOwnerError where it is on another device than the ops.
    """

    def __init__(
        self,
        module: Any,
        *,
        optimizer: Any = None,
        share: bool | None = None,
        name: str | None = None,
        ops: Ops | None = None,
    ) -> None:
        if not isinstance(module, torch.nn.Module):
            raise ArgumentError(
                f"PyTorchWrapper: module must be a torch.nn.Module, got {type(module).__name__}: make one first, "
                f"as in PyTorchWrapper(torch.nn.Linear(2, 3))"
            )
        super().__init__(name, ops=ops)
        self.module, self.optimizer, self.share = module, optimizer, share
        self._params, self._grads = Weights(self), Gradients(self)  # type: ignore[assignment]
        self._bridge, self._device = bridge_to(self.ops), torch_device(self.ops)
        self._check_device()
        if optimizer is not None:
            self._check_optimizer(optimizer)

    # -- computing

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        modules = list(self.module.modules())
        all_plain = all(map(is_plain, modules))
        share = all_plain if self.share is None else self.share
        inputs: list[Any] = []

        def argument(x: Any) -> Any:
            tensor = self._tensor("X", x)
            if drop is not None and tensor.is_floating_point():
                tensor.requires_grad_()
            inputs.append(tensor)
            return tensor if share else tensor.clone()

        def result(y: Any) -> Any:
            if not isinstance(y, torch.Tensor):
                raise DTypeError(
                    f"the module must return a tensor, or lists and tuples of tensors, got {type(y).__name__}: "
                    f"wrap a module that returns the tensors alone"
                )
            y = y.detach()
            return self._bridge.from_torch(y if share else y.clone())

        forward = forward_pass(modules, drop, self._next_seed(drop), self._device, all_plain)
        with recording(drop is not None), forward:
            outputs = self.module(*map_tensors(argument, X if isinstance(X, list | tuple) else (X,)))
        pending = [outputs]

        def backprop(dY: Any, sgd: Any = None) -> Any:
            if drop is None:
                raise ArgumentError(
                    "begin_update with drop=None predicts and records nothing: give it a rate, as 0.0"
                )
            if not pending:
                raise ArgumentError(
                    "backprop was called for this forward pass before, and torch has let go of what it recorded: "
                    "call begin_update again"
                )
            with recording(True):
                pairs = list(self._with_gradients(pending[0], dY, share))
                pending.clear()
                backward_pass(modules, inputs, pairs)
            given = iter(inputs)
            return map_tensors(lambda x: self._input_gradient(next(given)), X)

        return map_tensors(result, outputs), backprop

    def _tensor(self, argument: str, array: Any) -> Any:
        if not self.ops.backend.owns(array):
            self.ops.check_owner(self.name, argument, array)
        return self._bridge.to_torch(array)

    def _with_gradients(self, Y: Any, dY: Any, share: bool) -> Iterator[tuple[Any, Any]]:
        """The tensors that torch recorded, each with its gradient; that dY is like Y has been checked."""
        if isinstance(Y, list | tuple):
            for y, dy in zip(Y, dY, strict=True):
                if dy is not None:
                    yield from self._with_gradients(y, dy, share)
        elif Y.requires_grad:
            tensor = self._tensor("dY", dY)
            yield Y, tensor if share else tensor.clone()

    def _input_gradient(self, tensor: Any) -> Any:
        if not tensor.requires_grad:
            return None
        gradient = torch.zeros_like(tensor, requires_grad=False) if tensor.grad is None else dense(tensor.grad)
        return self._bridge.from_torch(gradient)

    def _next_seed(self, drop: float | None) -> int:
        seed = self.get_state("seed")
        if seed is None:
            seed = derive_seed(default_seed(), "torch", self.id)
        if drop is None:
            return derive_seed(seed, "predict")
        drawn = self.get_state("drawn", 0)
        self.set_state("drawn", drawn + 1)
        return derive_seed(seed, drawn)

    # -- initialization

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        self.set_state("seed", derive_seed(seed, "torch"))
        self.set_state("drawn", 0)
        if any(map(torch.nn.parameter.is_lazy, self.module.parameters())):
            if X is None:
                raise UninitializedError(
                    "the module is lazy, its shapes come from its input: call model.initialize(X) with a sample"
                )
            self.predict(X)

    # -- parameters

    def has_param(self, name: str) -> bool | None:
        parameter = find_parameter(self.module, name)
        if parameter is None:
            return False
        return None if torch.nn.parameter.is_lazy(parameter) else True

    def finish_update(self, optimizer: Any) -> None:
        """Update the parameters with this model's own optimizer, or, where it has none, with `optimizer`: one of
        triops', a callable like them, or a `torch.optim.Optimizer` over the module's parameters. A larger model
        refuses torch's, which could not update the other layers."""
        if isinstance(optimizer, torch.optim.Optimizer):
            with located(self):
                self.gradients_for(optimizer)
        else:
            super().finish_update(optimizer)

    def gradients_for(self, optimizer: Any) -> dict[str, tuple[Any, Any]]:
        torchs = optimizer if self.optimizer is None else self.optimizer
        if not isinstance(torchs, torch.optim.Optimizer):
            return {
                name: (self.get_param(name), self._bridge.from_torch(dense(parameter.grad)))
                for name, parameter in self.module.named_parameters()
                if parameter.grad is not None
            }
        if any(parameter.grad is not None for parameter in self.module.parameters()):
            self._check_optimizer(torchs)
            torchs.step()
            torchs.zero_grad()
        return {}

    def _check_optimizer(self, optimizer: Any) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise ArgumentError(
                f"PyTorchWrapper: optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}: "
                f"leave it out, and give that optimizer to finish_update"
            )
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        if known.isdisjoint(map(id, self.module.parameters())):
            raise ArgumentError(
                f"optimizer: {type(optimizer).__name__} has none of this module's parameters: make it from "
                f"model.module.parameters()"
            )

    # -- moving and copying

    def convert(self, function: Callable[[Any], Any], ops: Ops) -> None:
        device = torch_device(ops)
        made = {function(self.ops.alloc((1,), name)).dtype.name for name in ("float32", "float64")}
        # One dtype from two is a conversion of every float; each its own is a move.
        self.module.to(device=device, dtype=getattr(torch, made.pop()) if len(made) == 1 else None)
        if self.optimizer is not None:
            self.optimizer.load_state_dict(self.optimizer.state_dict())  # takes its moments to the parameters
        for name, value in self._state.items():
            if self.ops.backend.is_array(value):
                self._state[name] = function(value)
        self.ops, self._bridge, self._device = ops, bridge_to(ops), device

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = super().__deepcopy__(memo)
        for parameter, copied in zip(self.module.parameters(), twin.module.parameters(), strict=True):
            copied.grad = None if parameter.grad is None else parameter.grad.clone()
        return twin

    def _check_device(self) -> None:
        for name, tensor in [*self.module.named_parameters(), *self.module.named_buffers()]:
            if tensor.device != self._device:
                raise ArrayOwnerError(
                    f"PyTorchWrapper: {name} of the module is on {tensor.device}, the ops are {self.ops!r}: call "
                    f"module.to('{self._device}') first, or choose the ops of its device"
                )

    def __repr__(self) -> str:
        return f"PyTorchWrapper({type(self.module).__name__})"

    # -- saving

    def save_node(self) -> dict[str, Any]:
        return {"params": state_to_bytes(self.module), "state": dict(self._state)}

    def load_node(self, saved: dict[str, Any]) -> Callable[[], None]:
        take_over_state = saving.prepare_node_arrays(self, {key: saved[key] for key in saved if key != "params"})
        if "params" not in saved:
            return take_over_state
        state_dict = state_from_bytes(self.module, saved["params"])

        def take_over() -> None:
            self.module.load_state_dict(state_dict)
            take_over_state()

        return take_over
