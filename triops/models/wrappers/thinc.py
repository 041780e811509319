"""Any Thinc model as a triops model: its forward and backward passes, parameters, training and saving."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from triops.errors import ArgumentError, BackendUnavailable, LoadError
from triops.models import saving
from triops.models.guard import located
from triops.models.model import Model
from triops.models.seeds import default_seed, derive_seed
from triops.ops import Ops
from triops.types import Backprop

try:
    import thinc.api
    from thinc.optimizers import Optimizer
except ImportError as error:
    raise BackendUnavailable(
        f"ThincWrapper needs the package thinc ({error}): pip install 'triops[thinc]'"
    ) from error

from triops.models.wrappers.pickling import check_pickles
from triops.models.wrappers.thinc_data import from_thinc, has_floats, to_thinc_data
from triops.models.wrappers.thinc_parameters import Gradients, Weights

__all__ = ["ThincWrapper"]

_numbers = threading.Lock()  # NumPy's one generator, from which Thinc draws


class ThincWrapper(Model):
    """Y = model(X), with the gradients that Thinc's layers find.

    X: an array, a list of arrays, Ragged or Padded, or whatever else the Thinc model takes, such as spaCy's Docs,
    which have no gradient. Y: what the Thinc model returns, with the arrays of this model's ops. Thinc computes
    on the CPU: arrays that lie elsewhere are copied there and back.

    `drop` above 0 replaces the rate of the model's dropout layers, and with `drop` None it predicts. Thinc's
    random numbers follow from the seed that `initialize` gets and from how many training passes there were;
    NumPy's own generator is afterwards where it was.

    The weights are Thinc's. Parameters are named by the layer's number in the order of Thinc's `walk()`, its
    name, and the parameter's, as in `2:maxout.W`; `get_param` gives a copy, and `set_param` copies into the Thinc
    model. `initialize` has Thinc make them where one has no value yet, and else leaves them. `finish_update`
    takes triops' optimizers and Thinc's. Saved is what Thinc saves of it, msgpack. Raises ArgumentError where
    `model` is none of Thinc's.
    """

    def __init__(self, model: Any, *, name: str | None = None, ops: Ops | None = None) -> None:
        if not isinstance(model, thinc.api.Model):
            raise ArgumentError(
                f"ThincWrapper: model must be a thinc.api.Model, got {type(model).__name__}: make one first, "
                f"as in ThincWrapper(thinc.api.Relu(16))"
            )
        super().__init__(name, dims={"nO": None, "nI": None}, ops=ops)
        self.thinc = model
        self._params, self._grads = Weights(self), Gradients(self)  # type: ignore[assignment]
        self._take_dims()

    @property
    def expects_logit_gradient(self) -> bool:
        return _ends_with_softmax(self.thinc)

    @property
    def untraceable(self) -> str | None:
        return "Thinc computes it, and needs the values of its input"

    # -- computing

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        inputs = to_thinc_data(self.ops, X)
        if drop is None:
            return from_thinc(self.ops, self.thinc.predict(inputs)), _refuse
        with _drawing(self._next_seed()), _rates(self.thinc, drop):
            Y, backprop_thinc = self.thinc.begin_update(inputs)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            dX = backprop_thinc(to_thinc_data(self.ops, dY, like=Y))
            return self._input_gradient(X, dX) if has_floats(X) else None

        return from_thinc(self.ops, Y), backprop

    def _input_gradient(self, X: Any, dX: Any) -> Any:
        if isinstance(X, list | tuple):
            return type(X)(self._input_gradient(x, dx) for x, dx in zip(X, dX, strict=True))
        return from_thinc(self.ops, dX) if has_floats(X) else None

    def _next_seed(self) -> int:
        seed = self.get_state("seed")
        if seed is None:
            seed = derive_seed(default_seed(), "thinc", self.id)
        drawn = self.get_state("drawn", 0)
        self.set_state("drawn", drawn + 1)
        return derive_seed(seed, drawn)

    # -- initialization

    def infer_dims(self, X: Any, Y: Any) -> None:
        """Thinc's layers infer theirs."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        self.set_state("seed", derive_seed(seed, "thinc"))
        self.set_state("drawn", 0)
        nodes = list(self.thinc.walk())
        if any(node.has_param(name) is None for node in nodes for name in node.param_names):
            with _drawing(derive_seed(seed, "weights")):
                self.thinc.initialize(to_thinc_data(self.ops, X), to_thinc_data(self.ops, Y))
        self._take_dims()

    def _take_dims(self) -> None:
        for name in ("nO", "nI"):
            size = self.thinc.maybe_get_dim(name)
            if size:
                self.set_dim(name, size)

    # -- parameters

    def has_param(self, name: str) -> bool | None:
        found = self._params.get(name, False)
        return None if found is None else found is not False

    def finish_update(self, optimizer: Any) -> None:
        """Update the parameters with one of triops' optimizers, a callable like them, or one of Thinc's."""
        if isinstance(optimizer, Optimizer):
            with located(self):
                self.gradients_for(optimizer)
        else:
            super().finish_update(optimizer)

    def gradients_for(self, optimizer: Any) -> dict[str, tuple[Any, Any]]:
        if isinstance(optimizer, Optimizer):
            self.thinc.finish_update(optimizer)
            self._grads.clear()
            return {}
        return super().gradients_for(optimizer)

    # -- moving and copying

    def convert(self, function: Callable[[Any], Any], ops: Ops) -> None:
        made = {function(self.ops.alloc((1,), name)).dtype.name for name in ("float32", "float64")}
        if len(made) == 1:  # one dtype from two is a conversion of every float; each its own is a move
            self._convert_floats(made.pop())
        for name, value in self._state.items():
            if self.ops.backend.is_array(value):
                self._state[name] = function(value)
        self.ops = ops

    def _convert_floats(self, dtype: str) -> None:
        for node in self.thinc.walk():
            # Thinc's products in BLIS are for float32 alone.
            if isinstance(node.ops, thinc.api.NumpyOps):
                node.ops = type(node.ops)(use_blis=dtype == "float32")
            for name in node.param_names:
                if node.has_param(name):
                    node.set_param(name, node.get_param(name).astype(dtype))
                if node.has_grad(name):
                    node.set_grad(name, node.get_grad(name).astype(dtype))

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = super().__deepcopy__(memo)
        twin._params, twin._grads = Weights(twin), Gradients(twin)  # type: ignore[assignment]
        return twin

    def __getstate__(self) -> dict[str, Any]:
        check_pickles(self, f"the Thinc model of {self!r}", self.thinc)
        return self.__dict__

    def __repr__(self) -> str:
        return f"ThincWrapper({self.thinc.name})"

    # -- saving

    def save_node(self) -> dict[str, Any]:
        return {"params": self.thinc.to_bytes(), "state": dict(self._state)}

    def load_node(self, saved: dict[str, Any]) -> Callable[[], None]:
        take_over_state = saving.prepare_node_arrays(self, {key: saved[key] for key in saved if key != "params"})
        if "params" not in saved:
            return take_over_state
        data = saved["params"]
        if not isinstance(data, bytes) or not self.thinc.can_from_bytes(data, strict=False):
            raise LoadError(
                f"the saved model is not one that Thinc can load into {self.thinc.name}: make the same "
                f"layers, with the same dimensions, before loading"
            )

        def take_over() -> None:
            self.thinc.from_bytes(data)
            self._grads.clear()
            self._take_dims()
            take_over_state()

        return take_over


def _refuse(dY: Any, sgd: Any = None) -> Any:
    raise ArgumentError("begin_update with drop=None predicts and records nothing: give it a rate, as 0.0")


@contextmanager
def _drawing(seed: int) -> Iterator[None]:
    """NumPy's global generator, seeded for the block."""
    with _numbers:
        before = np.random.get_state()  # noqa: NPY002 - it is the one that Thinc draws from
        np.random.seed(seed % 2**32)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(before)  # noqa: NPY002


@contextmanager
def _rates(model: Any, drop: float) -> Iterator[None]:
    """`drop` as the rate of all dropout layers for the block, unless it is 0."""
    nodes = [node for node in model.walk() if "dropout_rate" in node.attrs] if drop else []
    before = [node.attrs["dropout_rate"] for node in nodes]
    for node in nodes:
        node.attrs["dropout_rate"] = drop
    try:
        yield
    finally:
        for node, rate in zip(nodes, before, strict=True):
            node.attrs["dropout_rate"] = rate


def _ends_with_softmax(model: Any) -> bool:
    """Whether the last layer is an output layer, whose gradient is that of the scores, as in triops' own."""
    while model.layers:
        model = model.layers[-1]
    return bool(model.name == "softmax" and "softmax_temperature" in model.attrs)
