"""A model whose forward pass is one program, and whose backward pass is one more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from typing import Any, NamedTuple, Self

from triops.backends.compiler import Program
from triops.errors import ArgumentError
from triops.models.compile.batches import Batch
from triops.models.compile.eager import Parts, has_untraceable
from triops.models.compile.finish import FusedUpdates
from triops.models.compile.forms import signature
from triops.models.compile.inventory import Changes, Settings, Trace
from triops.models.compile.precision import LossScaled, Precision, Scale
from triops.models.compile.programs import Programs, dropping, parts, rate_of
from triops.models.guard import check_owner, located
from triops.models.model import Model
from triops.models.one_step import without_dX
from triops.models.precision import in_full
from triops.models.view import is_traced_now
from triops.ops import Ops
from triops.types import Backprop, ParamKey

__all__ = ["CompiledModel"]

_SHARED = ("id", "name", "layers", "attrs", "_dims", "_specs", "_params", "_grads", "_state")
_INSTEAD = ("infer_dims", "initialize_layers", "gradients_for", "convert", "save_node", "load_node", "to_bytes",
            "full_precision")  # fmt: skip


class _Forward(NamedTuple):
    """A program, the form of its Y, and what it does to state."""

    program: Program
    Y: Any
    changes: Changes


class _Backward(NamedTuple):
    """A program, how many arrays it needs of the forward one's inside, the form of its dX, whose gradients it has
    besides, and what it does to state."""

    program: Program
    inside: int
    dX: Any
    keys: list[ParamKey]
    changes: Changes


class CompiledModel(LossScaled, Model):
    """See `triops.compile`. It is the same node as the model that was given, with its parameters, layers and
    settings, and has another `begin_update` and `predict`."""

    _model: Model
    _programs: Programs
    _settings: dict[str, Any]
    _precision: Precision
    _parts: Parts | None
    _updates: FusedUpdates

    def __init__(
        self,
        model: Model,
        *,
        fill: bool = True,
        precision: str | None = None,
        eager: bool = False,
        dX: bool = True,
        root: Model | None = None,
    ) -> None:
        self.__dict__.update({name: model.__dict__[name] for name in _SHARED})
        self.__dict__.update({name: getattr(model, name) for name in _INSTEAD})
        settings = {"fill": fill, "precision": precision, "eager": eager, "dX": dX}
        self.__dict__.update(
            _model=model,
            _programs=Programs(model, fill=fill, root=root),
            _settings=settings,
            _precision=Precision("compile", precision, model.ops),
            _parts=None,
            _updates=FusedUpdates(model),
        )
        if eager:
            compiled = partial(CompiledModel, fill=fill, precision=precision, root=model)
            self.__dict__["_parts"] = Parts(model, compiled)

    def __getattr__(self, name: str) -> Any:
        # `_model` itself is missing while a copy is being made.
        if name in ("_model", "_programs", "_settings", "_precision", "_parts", "_updates"):
            raise AttributeError(name)
        return getattr(self._model, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self)(self._model.__deepcopy__(memo), **self._settings)
        twin.__dict__["_precision"] = deepcopy(self._precision)
        return twin

    def __reduce__(self) -> tuple[Any, ...]:
        # Programs are compiled again elsewhere.
        return partial(type(self), **self._settings), (self._model,), {"_precision": self._precision}

    @property
    def ops(self) -> Ops:
        """What the model computes with."""
        return self._model.ops

    @ops.setter
    def ops(self, ops: Ops) -> None:
        if "_model" in self.__dict__:
            self._model.ops = ops

    @property
    def compilations(self) -> int:
        """How many programs were compiled so far; a forward and a backward one are counted as one."""
        return self._programs.compilations + (0 if self._parts is None else self._parts.compilations)

    @property
    def untraceable(self) -> str | None:
        return self._model.untraceable

    @property
    def expects_logit_gradient(self) -> bool:
        return self._model.expects_logit_gradient

    def initialize(self, X: Any = None, Y: Any = None, seed: int | None = None) -> Self:
        self._model.initialize(X, Y, seed)
        return self

    def from_bytes(self, data: bytes, **exclude: Any) -> Self:
        self._model.from_bytes(data, **exclude)
        return self

    def __repr__(self) -> str:
        return f"compile({self._model!r})"

    def predict(self, X: Any) -> Any:
        if self._runs_eagerly():
            return self._model.predict(X)
        with located(self):
            check_owner(self, "X", X)
            if (apart := self.parts()) is not None:
                return apart.predict(X)
            return self._programs.run(X, None, self._predict)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        eagerly = self._model if self._runs_eagerly() else self.parts()
        if eagerly is not None:
            if self._settings["dX"]:
                return eagerly.begin_update(X, drop)
            return _update_without_dX(eagerly, X, drop)
        return self._programs.run(X, None, lambda settings, batch: self._begin(settings, batch, drop))

    def finish_update(self, optimizer: Callable[..., tuple[Any, Any]]) -> None:
        if not self._updates.takes(optimizer):
            self._model.finish_update(optimizer)
            return
        with located(self):
            self._updates(optimizer)

    def _runs_eagerly(self) -> bool:
        if is_traced_now():
            return True
        self._precision.check(self.ops)
        return self.ops.backend.compiler is None

    def parts(self) -> Parts | None:
        """What the model is run as where it has layers that cannot be compiled, and may have them."""
        if self._parts is None or not has_untraceable(self._model):
            return None
        if self._precision.name == "float16":
            raise ArgumentError(
                "compile: precision='float16' scales the gradients of the whole model, and some layers are not "
                "compiled with it: take precision='bfloat16'"
            )
        return self._parts

    def _predict(self, settings: Settings, batch: Batch) -> Any:
        arrays = self._arguments(settings, batch, None)
        made = self._programs.get(
            settings,
            batch,
            lambda longest: ("predict", batch.key(longest), signature(arrays)),
            lambda: self._prediction(settings, batch, arrays),
        )
        results = made.program(arrays)
        made.changes.apply(results[len(results) - len(made.changes.arrays) :])
        return batch.result(made.Y, results)

    def _begin(self, settings: Settings, batch: Batch, drop: float | None) -> tuple[Any, Backprop]:
        arrays = self._arguments(settings, batch, drop)
        forward, back = self._programs.get(
            settings,
            batch,
            lambda longest: ("begin", batch.key(longest), signature(arrays), dropping(drop)),
            lambda: self._both(settings, batch, arrays, drop),
        )
        results = forward.program(arrays)
        known = len(results) - back.inside - len(forward.changes.arrays)
        forward.changes.apply(results[known : len(results) - back.inside])
        outputs, inside = results[:known], results[len(results) - back.inside :]

        def backprop(dY: Any, sgd: Any = None) -> Any:
            gradients = batch.gradients(forward.Y, outputs, dY)
            given = [*arrays, *outputs, *inside, *gradients]
            scale = self._precision.arrays(self.ops)
            at = len(arrays) - len(batch.arrays) - len(scale)
            given[at : at + len(scale)] = scale  # another pass may have changed it since
            results = back.program(given)
            if not self._precision.take(self.ops, results):
                return batch.result(back.dX, results)
            after = len(results) - len(scale) - len(back.changes.arrays)
            back.changes.apply(results[after : len(results) - len(scale)])
            nodes = {node.id: node for node in settings.nodes}
            for (number, name), gradient in zip(back.keys, results[after - len(back.keys) : after], strict=True):
                nodes[number].inc_grad(name, gradient)
            return batch.result(back.dX, results)

        return batch.result(forward.Y, outputs), backprop

    def _arguments(self, settings: Settings, batch: Batch, drop: float | None) -> list[Any]:
        rate, counts = rate_of(self.ops, drop), settings.counts()
        scale = self._precision.arrays(self.ops)
        return [*settings.params(), *settings.states(), rate, counts, *scale, *batch.arrays]

    def _prediction(self, settings: Settings, batch: Batch, arrays: list[Any]) -> _Forward:
        found: list[Any] = []

        def function(given: list[Any]) -> list[Any]:
            trace, _, _, taken = self._traced(settings, given)
            with trace.seen(), batch.entered(taken) as (X, _):
                outputs, Y = batch.outputs(in_full(self._model.predict(X)))
            changes = trace.changes()
            found[:] = Y, changes
            return [*outputs, *changes.arrays]

        return _Forward(self._programs.compiler.program(function, arrays), *found)

    def _both(
        self, settings: Settings, batch: Batch, arrays: list[Any], drop: float | None
    ) -> tuple[_Forward, _Backward]:
        there: list[Any] = []
        back: list[Any] = []
        wants_dX = self._settings["dX"]

        def function(given: list[Any]) -> Any:
            trace, rate, scale, taken = self._traced(settings, given)
            with trace.seen(), batch.entered(taken) as (X, _):
                begin = self._model.begin_update if wants_dX else partial(_update_without_dX, self._model)
                Y, callback = begin(X, rate if drop else drop)
                Y = in_full(Y)
                outputs, form_of_Y = batch.outputs(Y)
            changes = trace.changes()
            there[:] = form_of_Y, changes

            def backward(gradients: list[Any]) -> list[Any]:
                with trace.seen(), batch.entered_again():
                    dX = callback(batch.gradient(Y, map(scale.up, gradients)))
                    found, form_of_dX = batch.outputs(in_full(dX))
                by_key, changes = trace.gradients(), trace.changes()
                back[:] = form_of_dX, list(by_key), changes
                unscaled = scale.where_finite(scale.down([*found, *by_key.values()]))
                return [*unscaled, *changes.arrays, *scale.after()]

            return outputs, changes.arrays, backward

        forward, backward, inside = self._programs.compiler.two_programs(function, arrays)
        return _Forward(forward, *there), _Backward(backward, inside, *back)

    def _traced(self, settings: Settings, given: list[Any]) -> tuple[Trace, Any, Scale, list[Any]]:
        scales = len(self._precision.arrays(self.ops))
        params, states, (rate, counts), scale, taken = parts(
            given, len(settings.places), len(settings.state), 2, scales
        )
        trace = Trace(settings, self._precision, params, states, counts)
        return trace, rate[0], Scale(self.ops, scale), taken


def _update_without_dX(model: Model | Parts, X: Any, drop: Any) -> tuple[Any, Backprop]:
    # The program of a part is the same wherever the part stands, and so it has the gradient always.
    with without_dX(model) if isinstance(model, Model) else nullcontext():
        Y, backprop = model.begin_update(X, drop)

    def back(dY: Any, sgd: Any = None) -> None:
        backprop(dY)

    return Y, back
