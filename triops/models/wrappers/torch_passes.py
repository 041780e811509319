"""One forward or backward pass of a torch module, and what of torch is put back afterwards: the mode of the
module, the rates of its dropout layers, the random generators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch.nn.modules.dropout import _DropoutNd

from triops.errors import ArgumentError

__all__ = ["backward_pass", "dense", "forward_pass", "leaves_caller_memory_alone", "map_tensors", "recording"]


def map_tensors(function: Callable[[Any], Any], tree: Any) -> Any:
    """`function` of each leaf; lists stay lists, and tuples of any kind become plain ones."""
    if isinstance(tree, list):
        return [map_tensors(function, item) for item in tree]
    if isinstance(tree, tuple):
        return tuple(map_tensors(function, item) for item in tree)
    return function(tree)


def dense(gradient: Any) -> Any:
    """A gradient with an entry for every weight; embeddings can have sparse ones."""
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def recording(on: bool) -> AbstractContextManager[Any]:
    """Autograd on or off, whatever the caller has it set to."""
    if not on:
        # Not inference_mode: what a module keeps from it, as a table it makes once, cannot be trained through.
        return torch.no_grad()  # type: ignore[no-any-return]
    return nullcontext() if torch.is_grad_enabled() else torch.inference_mode(False)


def leaves_caller_memory_alone(module: Any) -> bool:
    """Whether this layer is torch's own, works out of place, and has no hooks: then it neither writes to its
    input nor keeps its output. The losses are left out, since they can be given functions."""
    code = type(module).__module__
    return (
        code.startswith("torch.nn.modules.")
        and code != "torch.nn.modules.loss"
        and not module.__dict__.get("inplace")
        and "forward" not in module.__dict__
        and not (module._forward_pre_hooks or module._forward_hooks)
        and not (module._backward_pre_hooks or module._backward_hooks)
    )


@contextmanager
def forward_pass(modules: Sequence[Any], drop: float | None, seed: int, device: Any) -> Iterator[None]:
    """A block in which a module is in train mode, or in eval mode where `drop` is None, and torch draws from
    `seed`.

    modules: the module, and all inside it. drop: above 0, the rate of all dropout layers. Raises ArgumentError
    where it is no rate.
    """
    if drop is not None and not 0 <= drop < 1:
        raise ArgumentError(f"drop must be from 0 up to, not including, 1, or None to predict, got {drop}")
    module = modules[0]
    wrong_mode = any(inner.training for inner in modules) if drop is None else not module.training
    modes = [inner.training for inner in modules] if wrong_mode else []
    dropouts = [inner for inner in modules if isinstance(inner, _DropoutNd)] if drop else []
    rates = [dropout.p for dropout in dropouts]
    generators = _generators(device)
    drawn = [generator.get_state() for generator in generators]
    try:
        if wrong_mode:
            _set_mode(modules, drop is not None)
        for dropout in dropouts:
            dropout.p = drop
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, drawn, strict=True):
            generator.set_state(state)
        for dropout, rate in zip(dropouts, rates, strict=True):
            dropout.p = rate
        if wrong_mode:
            _set_mode(modules, modes[0])
            for inner, mode in zip(modules, modes, strict=True):
                if inner.training is not mode:
                    inner.training = mode


def backward_pass(modules: Sequence[Any], inputs: Sequence[Any], pairs: Sequence[tuple[Any, Any]]) -> None:
    """Add to `.grad` of the parameters, and set that of the inputs, from pairs of a recorded tensor and its
    gradient.

    Torch may hand one piece of memory to several gradients, the given ones among them, and adds to it in place
    the next time. Each parameter's gradient is given its own here.
    """
    fresh = {
        id(parameter): parameter
        for module in modules
        for parameter in module._parameters.values()
        if parameter is not None and parameter.grad is None
    }
    if pairs:
        try:
            torch.autograd.backward([tensor for tensor, _ in pairs], [gradient for _, gradient in pairs])
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
            raise ArgumentError(
                "the parameters changed between begin_update and backprop, and torch keeps no copy of the old "
                "ones: call every backprop before finish_update, set_param or use_params"
            ) from error
    used = {_memory(gradient) for _, gradient in pairs}
    used.update(_memory(tensor.grad) for tensor in inputs if tensor.grad is not None)
    for parameter in fresh.values():
        gradient = parameter.grad
        if gradient is None or gradient.layout is not torch.strided:
            continue
        if _memory(gradient) in used:
            parameter.grad = gradient.clone()
        else:
            used.add(_memory(gradient))


def _set_mode(modules: Sequence[Any], training: bool) -> None:
    plain = torch.nn.Module
    if any(type(m).train is not plain.train or type(m).__setattr__ is not plain.__setattr__ for m in modules):
        modules[0].train(training)
        return
    for inner in modules:
        inner.__dict__["training"] = training  # the same in a tenth of the time


def _memory(tensor: Any) -> int:
    return 0 if tensor.layout is not torch.strided else tensor.untyped_storage().data_ptr()


def _generators(device: Any) -> list[Any]:
    cuda = [torch.cuda.default_generators[device.index]] if device.type == "cuda" else []
    return [torch.default_generator, *cuda]
