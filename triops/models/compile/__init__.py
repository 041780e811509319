"""Whole passes over a model as programs of its backend's compiler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from triops.errors import ArgumentError
from triops.models.compile.eager import refuse_untraceable
from triops.models.compile.model import CompiledModel
from triops.models.compile.step import CompiledStep
from triops.models.model import Model
from triops.models.trees import described

__all__ = ["CompiledModel", "CompiledStep", "compile", "compile_step"]


def compile(
    model: Model,
    *,
    fill: bool = True,
    precision: str | None = None,
    eager: bool = False,
    dX: bool = True,
) -> CompiledModel:
    """The same model with a forward pass that is one program, and a backward pass that is one more.

    model: any Model; parameters, gradients, state and settings stay its own, so that training, saving and loading
    the one or the other is the same. A program is made for each shape of batch, when it first comes; `predict`
    has its own. What changes in between, as attrs, layers or the dtype, is compiled anew. On backends without a
    compiler the passes run as they do otherwise.

    precision: "bfloat16" or "float16" for what is computed in it; parameters, gradients, and the arrays that go
    in and out stay float32, and so does what half precision is too coarse for: embeddings, layer normalisation,
    softmax, and sums over sequences. The gradients of float16 are scaled on their way back, by
    `compiled.loss_scale`: where some are not finite, the pass teaches nothing, its dX is zeros, and the scale is
    halved; after 2000 good passes it is doubled. None and "float32" compute in the parameters' own dtype. On
    backends without a compiler half precision is an ArgumentError. Micikevicius et al. 2018, Mixed Precision
    Training.

    eager: layers that no compiler can take, as those of PyTorch, TensorFlow, Thinc and scikit-learn, are a
    CompileError here, unless this is True: then they run as they are, and each part between them is compiled. A
    layer of one's own is such a one where it says why in the property `untraceable`.

    fill: batches of sequences (a list of arrays, Ragged, Padded) are filled up to few numbers of rows and
    sequences after their own, which keeps the number of programs small: `compiled.compilations` counts them.
    What is filled up belongs to sequences of its own, which layers that keep to a sequence leave apart, and
    losses do not count. A layer of one's own that mixes all rows of an array, as a mean over them, needs False:
    then there is a program for each combination of lengths. A model with a layer that has to know the lengths
    runs so by itself.

    dX: whether callbacks return the gradient of the batch. A model that is trained by itself does not need it:
    with False they return None, and what only it is for is left out, as half of the products of the first layer's
    backward pass, on every backend; parts between layers that run as they are compute it still.

    Raises ArgumentError for what is no Model. A layer that turns out not to be one that can be compiled raises
    CompileError when it is first run: it names the layer, and what it does.
    """
    _check_model("compile", model, eager)
    inner = model._model if isinstance(model, CompiledModel) else model
    return CompiledModel(inner, fill=fill, precision=precision, eager=eager, dX=dX)


def compile_step(
    model: Model,
    loss: Callable[..., tuple[Any, Any]],
    optimizer: Any,
    *,
    fill: bool = True,
    precision: str | None = None,
    eager: bool = False,
    devices: int | str | Sequence[Any] | None = None,
) -> CompiledStep:
    """A train step `loss = step(X, truths, drop=0.0)` as one program: forward, loss, backward, clipping and
    update.

    model: any Model, or a compiled one. loss: a Loss, or any function `gradient, loss = f(Y, truths)` of arrays;
    of Ragged, Padded or lists it gets the rows one after another. optimizer: as for `finish_update`; the update
    is part of the program where it is one of triops' own. Its schedules are evaluated in every call, and its
    averages are kept. Parameters and moments that nobody else holds are consumed by the step that replaces them:
    while one thread makes steps on JAX, another that uses the model fails with "Array has been deleted": let it
    have a `model.copy()` that was made between two steps. Threads that call one step take turns.
    `step.accumulate(X, truths)` adds gradients up without an update. fill: as of `compile`; with a loss that is
    not one of triops' own, batches stay as they are.

    precision: as of `compile`; the loss, clipping and the update are computed in float32. With float16 a step
    whose gradients are not finite leaves the model, the optimizer and gradients that were added up as they are,
    and halves `step.loss_scale`; to know that, each step waits until it is done. eager: as of `compile`; with a
    layer that runs as it is a step is no longer one program, and has the same results.

    devices: where to compute, among those of the model's kind: how many, or "all", or their names in a list, as
    ["cuda:0", "cuda:1"], the model's own among them. Each has a part of the batch, of any number of rows, and all
    the parameters; the step is the one that a single device would make, but for rounding. Sequences that are
    filled up go whole to one device each, and cost no more exchange than that of the gradients; other batches are
    divided as the compiler sees fit. Dropout drops the same entries on any number of devices.

    Raises ArgumentError for arguments of another kind; else as `compile`.
    """
    _check_model("compile_step", model, eager)
    for name, argument in (("loss", loss), ("optimizer", optimizer)):
        if not callable(argument) or isinstance(argument, type):
            raise ArgumentError(
                f"compile_step: {name} must be callable, got {described(argument)}: give an object such as "
                f"{'CategoricalCrossentropy()' if name == 'loss' else 'Adam()'}"
            )
    return CompiledStep(model, loss, optimizer, fill=fill, precision=precision, eager=eager, devices=devices)


def _check_model(name: str, model: Any, eager: bool) -> None:
    if not isinstance(model, Model):
        raise ArgumentError(f"{name}: model must be a Model, got {type(model).__name__}: give a layer or a chain")
    if not eager and model.ops.backend.compiler is not None:
        refuse_untraceable(model)
