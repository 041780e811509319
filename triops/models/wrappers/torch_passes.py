"""One forward or backward pass of a torch module, and what of torch is put back afterwards: the mode of the
module, the rates of its dropout layers, the random generators."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import RLock
from typing import Any

import torch
from torch.nn.modules.dropout import _DropoutNd

from triops.errors import ArgumentError
from triops.models.wrappers.wrapper import check_rate

__all__ = ["backward_pass", "dense", "draws_from", "forward_pass", "is_plain", "recording"]

_DRAW_IN_EVAL_MODE = (torch.nn.FractionalMaxPool2d, torch.nn.FractionalMaxPool3d)

_alone = RLock()


def _after_fork() -> None:
    # What other threads held, and the threads of torch's pool, stay behind in the parent: a child that waited for
    # them would wait forever.
    global _alone
    _alone = RLock()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def dense(gradient: Any) -> Any:
    """A gradient with an entry for every weight; embeddings can have sparse ones."""
    return gradient if gradient.layout is torch.strided else gradient.to_dense()


def recording(on: bool) -> AbstractContextManager[Any]:
    """Autograd on or off, whatever the caller has it set to."""
    if not on:
        # Not inference_mode: what a module keeps from it, as a table it makes once, cannot be trained through.
        return torch.no_grad()  # type: ignore[no-any-return]
    return nullcontext() if torch.is_grad_enabled() else torch.inference_mode(False)


def is_plain(module: Any) -> bool:
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
def forward_pass(
    modules: Sequence[Any], drop: float | None, seed: int, device: Any, all_plain: bool
) -> Iterator[None]:
    """A block in which a module is in train mode, or in eval mode where `drop` is None, and torch draws from
    `seed`.

    modules: the module, and all inside it. drop: above 0, the rate of all dropout layers. Raises ArgumentError
    where it is no rate. Modes and generators are everybody's, so one thread at a time runs such a block, unless
    it needs neither.
    """
    check_rate(drop)
    if drop is None and all_plain and not any(isinstance(inner, _DRAW_IN_EVAL_MODE) for inner in modules):
        with _alone:
            changes_nothing = not any(inner.training for inner in modules)
        if changes_nothing:
            yield
            return
    with _alone, _mode(modules, drop), draws_from(device, seed):
        yield


@contextmanager
def _mode(modules: Sequence[Any], drop: float | None) -> Iterator[None]:
    wrong = any(inner.training for inner in modules) if drop is None else not modules[0].training
    modes = [inner.training for inner in modules] if wrong else []
    dropouts = [inner for inner in modules if isinstance(inner, _DropoutNd)] if drop else []
    rates = [dropout.p for dropout in dropouts]
    try:
        if wrong:
            _set_mode(modules, drop is not None)
        for dropout in dropouts:
            dropout.p = drop
        yield
    finally:
        for dropout, rate in zip(dropouts, rates, strict=True):
            dropout.p = rate
        if wrong:
            _set_mode(modules, modes[0])
            for inner, mode in zip(modules, modes, strict=True):
                if inner.training is not mode:
                    inner.training = mode


@contextmanager
def draws_from(device: Any, seed: int) -> Iterator[None]:
    """A block in which torch draws from `seed`, and after which its generators are where they were."""
    generators = _generators(device)
    # As torch.random.fork_rng and torch.manual_seed do it, without the other devices and a hundred microseconds.
    states = [generator.get_state() for generator in generators]
    try:
        for generator in generators:
            generator.manual_seed(seed)
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


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
