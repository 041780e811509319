"""The base of every layer and model. A layer implements `begin_update`; the rest is here."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from os import PathLike
from typing import Any, ClassVar, Literal, Self

from triops.errors import ArgumentError, ShapeError
from triops.models import saving
from triops.models.guard import guarded, located
from triops.models.inputs import InputChecks
from triops.models.operators import Operators
from triops.models.seeds import default_seed, derive_seed
from triops.models.trees import described, sample_array
from triops.ops import Ops, get_current_ops, get_ops
from triops.ops.base import is_float, is_int
from triops.types import Backprop, ParamKey

__all__ = ["Model"]

_ids = itertools.count(1)


class Model(InputChecks, Operators):
    """A function with a backward pass, parameters, and perhaps layers.

    To write a layer, subclass and implement `begin_update`. Declare dimensions and parameters in `__init__`:

        class Scale(Model):
            '''Y = X W, elementwise along rows.'''

            def __init__(self, nI: int | None = None):
                super().__init__(dims={"nI": nI})
                self.add_param("W", ("nI",), one_init)

            def begin_update(self, X, drop=0.0):
                W = self.get_param("W")

                def backprop(dY, sgd=None):
                    self.inc_grad("W", (dY * X).sum(axis=0))
                    return dY * W

                return X * W, backprop

    Every `begin_update` is wrapped when its class is made: arrays of other backends are refused, dY must have
    Y's shape, an error names the layer's path in the model, and `backprop(dY, sgd)` applies `sgd` once the
    whole backward pass is done.

    dims: sizes by name, None where a sample is to tell. layers: the models inside; a model that is set as an
    attribute joins them. attrs: settings that are saved with the model: numbers, strings, lists and dicts of
    these. ops: what the model computes with; where it is left out, what its layers compute with, or else the
    current ops. A model keeps its ops.

    full_precision: a class that sets it to True computes in float32 where a model is compiled in mixed precision.
    """

    id: int
    layers: list[Model]
    attrs: dict[str, Any]
    full_precision: ClassVar[bool] = False

    def __init__(
        self,
        name: str | None = None,
        *,
        dims: Mapping[str, int | None] | None = None,
        layers: Sequence[Model] = (),
        attrs: Mapping[str, Any] | None = None,
        ops: Ops | None = None,
    ) -> None:
        if name is not None:
            self.name = name
        self.layers[:] = [*layers, *(layer for layer in self.layers if layer not in layers)]
        if ops is not None or self.layers:
            self.ops = ops or self.layers[0].ops
        self.attrs.update(attrs or {})
        for dim, size in (dims or {}).items():
            self._dims[dim] = None
            if size is not None:
                self.set_dim(dim, size)

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        # Here and not in __init__, so that a subclass that forgets `super().__init__()` works all the same.
        model = super().__new__(cls)
        model.id = next(_ids)
        model.name = cls.__name__.lower()
        model.ops = get_current_ops()
        model.layers = []
        model.attrs = {}
        model._dims = {}
        model._specs = {}
        model._params = {}
        model._grads = {}
        model._state = {}
        return model

    def __setattr__(self, name: str, value: Any) -> None:
        # A layer kept as an attribute is one of the layers: it is trained, saved and moved with the model.
        replaced = self.__dict__.get(name)
        super().__setattr__(name, value)
        if not isinstance(value, Model) or any(value is layer for layer in self.layers):
            return
        if isinstance(replaced, Model) and replaced in self.layers:
            self.layers[self.layers.index(replaced)] = value
        else:
            self.layers.append(value)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        owner = next(base for base in cls.__mro__ if "begin_update" in base.__dict__)
        if owner is cls or not issubclass(owner, Model):  # a mixin is no Model, and so not wrapped yet
            cls.begin_update = guarded(owner.__dict__["begin_update"])  # type: ignore[method-assign]

    # -- computing

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        """Y = f(X), and a callback `backprop(dY, sgd=None) -> dX` that adds to the gradients of the
        parameters and, where `sgd` is given, updates them.

        drop: the rate at which hidden activations are zeroed, where a layer has no rate of its own; None
            predicts, with nothing random.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must implement begin_update(self, X, drop=0.0), which returns (Y, backprop)"
        )

    @property
    def expects_logit_gradient(self) -> bool:
        """Whether `backprop` takes the gradient of a loss with respect to the logits rather than to Y, as the
        losses return it. Only output layers do."""
        return False

    @property
    def untraceable(self) -> str | None:
        """What keeps a compiler from this layer, as in "it looks up words in a dict"; None where nothing does."""
        return None

    def predict(self, X: Any) -> Any:
        """Y = f(X), with nothing random and nothing remembered."""
        return self.begin_update(X, drop=None)[0]

    def finish_update(self, optimizer: Callable[..., tuple[Any, Any]]) -> None:
        """Give every parameter that has a gradient to `optimizer(key, weights, gradient)`, or all of them at once
        to its `update_all` where it has one; keep the weights that it returns, and forget the gradients. Where
        it raises, all weights and gradients stay."""
        if not callable(optimizer) or isinstance(optimizer, type):
            raise ArgumentError(
                f"finish_update: optimizer must be callable as (key, weights, gradient), got "
                f"{described(optimizer)}: take one such as Adam(), and give an optimizer of another library "
                f"to the wrapper of its layers"
            )
        found = {}
        with located(self):
            for node in self.walk():
                with located(node):
                    for name, (weights, gradient) in node.gradients_for(optimizer).items():
                        found[node.id, name] = node, weights, gradient
        if hasattr(optimizer, "update_all"):
            updated = optimizer.update_all({key: (W, dW) for key, (_, W, dW) in found.items()})
        else:
            updated = {}
            for key, (node, weights, gradient) in found.items():
                with located(self), located(node):
                    updated[key], _ = optimizer(key, weights, gradient)
        for key, (node, _, _) in found.items():
            node.set_param(key[1], updated[key])
            del node._grads[key[1]]

    def gradients_for(self, optimizer: Callable[..., tuple[Any, Any]]) -> dict[str, tuple[Any, Any]]:
        """The parameters of this node alone that have a gradient, each with it, for `optimizer` to update. A
        layer with an optimizer of its own makes its step here, and leaves nothing."""
        return {name: (self.check_grad(name, gradient), gradient) for name, gradient in self._grads.items()}

    # -- initialization

    def initialize(self, X: Any = None, Y: Any = None, seed: int | None = None) -> Self:
        """Infer the dimensions from samples of the input and the output, and draw the parameters.

        The draws depend on `seed` (the one of `fix_random_seed` where it is left out) and on the place of a
        parameter in the model, on nothing else: they are the same bits on every backend.
        """
        seed = default_seed() if seed is None else seed
        with located(self), self._unchanged_by_errors():
            self.infer_dims(X, Y)
            for name, spec in self._specs.items():
                shape = tuple(self.get_dim(dim) if isinstance(dim, str) else dim for dim in spec.dims)
                value = spec.init(self.ops, shape, derive_seed(seed, name))
                self.ops.check_owner(f"initializer of {name}", "its result", value)
                if tuple(value.shape) != shape:
                    raise ShapeError(
                        f"parameter {name}: expected shape {shape}, its initializer returned {tuple(value.shape)}"
                    )
                self.set_param(name, value)
            self.initialize_layers(X, Y, seed)
        return self

    def infer_dims(self, X: Any, Y: Any) -> None:
        """Set nI and nO, where this model has them, to the widths of the samples, or of their first arrays."""
        x, y = sample_array(X), sample_array(Y)
        if "nI" in self._dims and _has_width(x):
            self.set_dim("nI", x.shape[-1], because=f"the sample X has shape {tuple(x.shape)}")
        if Y is not None and self.has_dim("nO") is None:
            if _has_width(y):
                self.set_dim("nO", y.shape[-1], because=f"the sample Y has shape {tuple(y.shape)}")
            elif (highest := _highest_label(self.ops, Y)) is not None:
                self.set_dim("nO", highest + 1, because="the labels in Y are classes from 0")

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        """Initialize the layers inside; a combinator says here what each one's samples are. Without one a layer
        that does not know its input's width takes it from X."""
        for i, layer in enumerate(self.layers):
            layer.initialize(None if layer.has_dim("nI") else X, Y, derive_seed(seed, i))

    @contextmanager
    def _unchanged_by_errors(self) -> Iterator[None]:
        before = [
            (node, dict(node._dims), {name: node._params[name] for name in node._specs}) for node in self.walk()
        ]
        try:
            yield
        except BaseException:
            for node, dims, params in before:
                node._dims.update(dims)
                node._params.update(params)
            raise

    # -- parameters and gradients of all layers

    def clear_grads(self) -> None:
        """Forget the gradients of this model and all its layers."""
        for node in self.walk():
            node._grads.clear()

    @contextmanager
    def use_params(self, params: Mapping[ParamKey, Any]) -> Iterator[None]:
        """Other parameters for a block, such as `optimizer.averages`; keys without a parameter here are
        left out. The old ones come back whatever happens."""
        backup = []
        try:
            for node in self.walk():
                for name in node.param_names:
                    if (node.id, name) in params:
                        backup.append((node, name, node.get_param(name)))
                        node.set_param(name, params[node.id, name])
            yield
        finally:
            for node, name, value in backup:
                node.set_param(name, value)

    # -- the tree

    def walk(self, *, order: Literal["bfs", "dfs_pre"] = "bfs") -> Iterator[Model]:
        """This model and all its layers, each once, breadth first or depth first."""
        if order not in ("bfs", "dfs_pre"):
            raise ArgumentError(f"walk: order must be 'bfs' or 'dfs_pre', got {order!r}")
        seen = set()
        waiting = deque([self])
        while waiting:
            node = waiting.popleft()
            if node.id in seen:
                continue
            seen.add(node.id)
            yield node
            if order == "bfs":
                waiting.extend(node.layers)
            else:
                waiting.extendleft(reversed(node.layers))

    def count_params(self) -> int:
        """How many numbers are trained."""
        return sum(
            int(node.get_param(name).size)
            for node in self.walk()
            for name in node.param_names
            if node.has_param(name)
        )

    def copy(self) -> Self:
        """A model of its own with the same parameters; layers that were tied are tied in the copy."""
        return deepcopy(self)

    def to(self, ops: Ops | str, device: str | None = None) -> Self:
        """Move this model, with its layers, to other ops; returns it."""
        target = get_ops(ops, device)
        for node in self.walk():
            node.convert(lambda array: target.asarray(array, array.dtype), target)
        return self

    def astype(self, dtype: str) -> Self:
        """Convert the floating parameters of this model and its layers; returns it."""
        for node in self.walk():
            node.convert(partial(_with_float_dtype, node.ops, dtype), node.ops)
        return self

    def convert(self, function: Callable[[Any], Any], ops: Ops) -> None:
        """Replace each array of this node by `function(array)`, an array of `ops`."""
        for arrays in (self._params, self._grads, self._state):
            for name, value in arrays.items():
                if self.ops.backend.is_array(value):
                    arrays[name] = function(value)
        self.ops = ops

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        kept = {"id": twin.id}
        twin.__dict__.update(deepcopy({**self.__dict__, **kept}, memo))
        return twin

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Another process counts its own models, and optimizers go by the number.
        self.__dict__.update({**state, "id": self.id})

    def __repr__(self) -> str:
        dims = ", ".join(f"{name}={size}" for name, size in self._dims.items())
        inside = ", ".join(map(repr, self.layers))
        return f"{type(self).__name__}({', '.join(part for part in (dims, inside) if part)})"

    # -- saving

    def to_bytes(self, **exclude: Any) -> bytes:
        """The model's dimensions, settings, state and parameters as msgpack, with no code in it.

        exclude: sections to leave out, of "params", "state" and "attrs": `to_bytes(state=False)`, or
            `to_bytes(exclude=["state"])`.
        """
        return saving.to_bytes(self, saving.excluded(exclude))

    def from_bytes(self, data: bytes, **exclude: Any) -> Self:
        """Load what `to_bytes` made into a model of the same structure, on any backend; returns it. Raises
        LoadError, and leaves the model as it was, where the data is damaged or does not fit."""
        saving.from_bytes(self, data, saving.excluded(exclude))
        return self

    def to_disk(self, path: str | PathLike[str], **exclude: Any) -> None:
        """Write `to_bytes` to a file, which is replaced whole or not at all."""
        saving.write_whole(path, self.to_bytes(**exclude))

    def from_disk(self, path: str | PathLike[str], **exclude: Any) -> Self:
        """Load a file that `to_disk` wrote; returns this model."""
        return self.from_bytes(saving.read_file(path), **exclude)

    def save_node(self) -> dict[str, Any]:
        """What is saved of this node beside its attrs and layers: {"params": ..., "state": ...}."""
        return saving.node_arrays(self)

    def load_node(self, saved: dict[str, Any]) -> Callable[[], None]:
        """Check what `save_node` made against this node, and return the function that takes it over."""
        return saving.prepare_node_arrays(self, saved)


def _with_float_dtype(ops: Ops, dtype: str, array: Any) -> Any:
    return ops.asarray(array, dtype) if is_float(array.dtype) else array


def _has_width(data: Any) -> bool:
    return data is not None and len(data.shape) > 1


def _highest_label(ops: Ops, data: Any) -> int | None:
    """The largest of labels in a list or a one-dimensional array of integers; None of anything else."""
    if ops.backend.is_array(data):
        data = ops.to_numpy(data).tolist() if data.ndim == 1 and is_int(data.dtype) else None
    if not isinstance(data, list | tuple) or not all(type(label) is int for label in data):
        return None
    return max(data, default=None)
