"""Any `torch.nn.Module` as a model: its forward and backward passes, parameters, training and saving."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Self

from triops.backends.threads import limit_loaded
from triops.errors import ArgumentError, BackendUnavailable, UninitializedError
from triops.models import saving
from triops.models.guard import located
from triops.ops import Ops

try:
    import safetensors.torch  # noqa: F401 - torch_state works with it
    import torch
except ImportError as error:
    raise BackendUnavailable(
        f"PyTorchWrapper needs the packages torch and safetensors ({error}): pip install 'triops[torch]'"
    ) from error

from triops.models.wrappers.bridge import bridge_to
from triops.models.wrappers.pickling import check_pickles
from triops.models.wrappers.torch_bridge import torch_device
from triops.models.wrappers.torch_parameters import Gradients, Weights, find_parameter, named_parameters
from triops.models.wrappers.torch_passes import backward_pass, dense, forward_pass, is_plain, recording
from triops.models.wrappers.torch_precision import MixedPrecision
from triops.models.wrappers.torch_state import state_from_bytes, state_to_bytes
from triops.models.wrappers.wrapper import PullBack, Wrapper, dtype_made_by, leaves_like, map_leaves, tree_leaves

__all__ = ["PyTorchWrapper"]

limit_loaded()


class PyTorchWrapper(Wrapper):
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

    mixed_precision: "float16" or "bfloat16" for what torch.autocast computes in it; arrays and parameters stay
        float32. The gradients of float16 are scaled on their way back: where some are not finite, this pass
        teaches nothing, its gradients are zeros, and the scale gets smaller.
    grad_scaler: the `torch.amp.GradScaler` that has the scale; with float16 a new one where it is left out.

    A module that torch.compile made is a module too; its parameters have the same names, and its weights load
    where they are not compiled, and the other way. Saved are the module's state_dict, parameters and buffers, as
    safetensors. Raises ArgumentError where `module` is none of torch's, ArrayOwnerError where it is on another
    device than the ops.
    """

    library: ClassVar[str] = "torch"

    def __init__(
        self,
        module: Any,
        *,
        optimizer: Any = None,
        share: bool | None = None,
        mixed_precision: str | None = None,
        grad_scaler: Any = None,
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
        self._bridge = bridge_to(self.library, self.ops)
        for label, tensor in [*module.named_parameters(), *module.named_buffers()]:
            self._bridge.check_place("PyTorchWrapper", label, tensor)
        self._precision = MixedPrecision.of(mixed_precision, grad_scaler, self._bridge.device.type)
        if optimizer is not None:
            self._check_optimizer(optimizer)

    # -- computing

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        return recording(on)

    def run(self, X: Any, drop: float | None) -> tuple[Any, PullBack]:
        modules = list(self.module.modules())
        all_plain = all(map(is_plain, modules))
        share = all_plain if self.share is None else self.share
        precision = self._precision
        inputs: list[Any] = []

        def argument(tensor: Any) -> Any:
            if drop is not None and tensor.is_floating_point():
                tensor.requires_grad_()
            inputs.append(tensor)
            return tensor if share else tensor.clone()

        def result(y: Any) -> Any:
            y = self.check_output(y).detach()
            return y if share else y.clone()

        with forward_pass(modules, drop, self.next_seed(drop), self._bridge.device, all_plain):
            arguments = map_leaves(argument, X if isinstance(X, list | tuple) else (X,))
            if precision is None:
                outputs = self.module(*arguments)
            else:
                outputs = map_leaves(self._wide, precision.call(self.module, arguments))

        def pull_back(dY: Any) -> Any:
            pairs = [
                (y, dy if share else dy.clone())
                for y, dy in zip(tree_leaves(outputs), leaves_like(outputs, dY), strict=True)
                if dy is not None and y.requires_grad
            ]
            if precision is None:
                backward_pass(modules, inputs, pairs)
            else:
                precision.backward_pass(modules, inputs, pairs)
                self.set_state("grad_scale", precision.scale)
            given = iter(inputs)
            return map_leaves(lambda x: _gradient_of(next(given)), X)

        return map_leaves(result, outputs), pull_back

    def _wide(self, y: Any) -> Any:
        y = self.check_output(y)
        assert self._precision is not None
        return y.float() if y.dtype == self._precision.dtype else y

    # -- initialization

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(X, Y, seed)
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
                name: (self.get_param(name), self._bridge.from_tensor(dense(parameter.grad)))
                for name, parameter in named_parameters(self.module)
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
        dtype = dtype_made_by(function, self.ops)
        self.module.to(device=device, dtype=None if dtype is None else getattr(torch, dtype))
        if self.optimizer is not None:
            self.optimizer.load_state_dict(self.optimizer.state_dict())  # takes its moments to the parameters
        for name, value in self._state.items():
            if self.ops.backend.is_array(value):
                self._state[name] = function(value)
        self.ops, self._bridge = ops, bridge_to(self.library, ops)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = super().__deepcopy__(memo)
        for parameter, copied in zip(self.module.parameters(), twin.module.parameters(), strict=True):
            copied.grad = None if parameter.grad is None else parameter.grad.clone()
        return twin

    def __getstate__(self) -> dict[str, Any]:
        check_pickles(self, f"the module of {self!r}", self.module)
        # Torch leaves the gradients of parameters behind.
        return {**self.__dict__, "_pickled_grads": [parameter.grad for parameter in self.module.parameters()]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        grads = state.pop("_pickled_grads")
        super().__setstate__(state)
        for parameter, gradient in zip(self.module.parameters(), grads, strict=True):
            parameter.grad = gradient

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
            if self._precision is not None:
                self._precision.restore(self.get_state("grad_scale"))

        return take_over


def _gradient_of(tensor: Any) -> Any:
    if not tensor.requires_grad:
        return None
    return torch.zeros_like(tensor, requires_grad=False) if tensor.grad is None else dense(tensor.grad)
