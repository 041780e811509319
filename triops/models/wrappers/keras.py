"""Any Keras 3 layer or model as a model, with Keras on TensorFlow, JAX or PyTorch."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib import import_module
from threading import RLock
from typing import Any, ClassVar

from triops.backends.threads import limit_loaded
from triops.errors import ArgumentError, BackendUnavailable, UninitializedError
from triops.models.view import is_traced_now
from triops.models.wrappers.wrapper import PullBack, check_rate
from triops.ops import Ops

try:
    import keras
except ImportError as error:
    raise BackendUnavailable(
        f"KerasWrapper needs the package keras, and what it computes with ({error}): pip install "
        f"'triops[keras]', and tensorflow, jax or torch as KERAS_BACKEND says"
    ) from error

from triops.models.wrappers.bridge import bridge_to
from triops.models.wrappers.keras_layers import (
    described,
    float64,
    from_description,
    has_float64,
    named_variables,
    rates,
    rebuilt,
)
from triops.models.wrappers.parameters import Variables
from triops.models.wrappers.variables import VariableWrapper

__all__ = ["KerasWrapper"]

limit_loaded()

_ENGINES = ("tensorflow", "jax", "torch")
_alone = RLock()


class KerasWrapper(VariableWrapper):
    """Y = module(X), with the gradients that Keras' own backend finds.

    module: a `keras.Model`, or any layer. X: an array, or lists and tuples as the module takes them. Y: what it
    returns: a tensor, or lists and tuples of tensors. `backprop` takes dY like Y, where None stands for no
    gradient, and returns dX like X, None in place of integers. It can be called once for each `begin_update`.

    Keras computes with TensorFlow, JAX or PyTorch, as KERAS_BACKEND said when it was imported; that need not be
    what the rest of the model computes with. With TensorFlow and JAX each pass is compiled, for every shape and
    rate. A pass for training runs with `training=True`, and keeps what layers such as BatchNormalization count;
    `drop` above 0 replaces the rate of the dropout layers that have one. With `drop` None it predicts. Random
    numbers follow from the seed that `initialize` gets and from how many training passes there were.

    The weights are the module's: `get_param` gives a copy, and `set_param` changes the module's. Their names are
    their paths in Keras, counted from the beginning of this module. A module that is not built makes its weights
    from the sample that `initialize` gets. `copy` and `astype` make the module again from its configuration.
    Saved are all variables, by name. Raises ArgumentError where `module` is no layer of Keras, ArrayOwnerError
    where it is on another device than the ops.
    """

    library: ClassVar[str] = keras.backend.backend()
    _made = VariableWrapper._made | {"_engine"}

    def __init__(self, module: Any, *, name: str | None = None, ops: Ops | None = None) -> None:
        if not isinstance(module, keras.layers.Layer):
            raise ArgumentError(
                f"KerasWrapper: module must be a layer or model of Keras 3, got {type(module).__name__}: make "
                f"one first, as in KerasWrapper(keras.layers.Dense(3))"
            )
        if self.library not in _ENGINES:
            raise ArgumentError(
                f"KerasWrapper: Keras computes with {self.library}, which finds no gradients: set KERAS_BACKEND "
                f"to one of {', '.join(_ENGINES)}"
            )
        super().__init__(name, ops=ops)
        self._params = KerasVariables(self)
        self.take(module, self.ops)

    def take(self, module: Any, ops: Ops) -> None:
        self.module, self._bridge = module, bridge_to(self.library, ops)
        for name, variable in named_variables(module).items():
            self._bridge.check_place("KerasWrapper", name, variable.value)
        self._engine = import_module(f"triops.models.wrappers.keras_{self.library}").Engine(module, self._bridge)

    # -- computing

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        context: AbstractContextManager[Any] = self._engine.recording(on)
        return context

    @property
    def untraceable(self) -> str | None:
        if self.library != "jax":
            return super().untraceable
        if self.module.non_trainable_variables:
            return "Keras keeps its statistics and random streams in the module"
        return None

    def run(self, X: Any, drop: float | None) -> tuple[Any, PullBack]:
        if self.ops.backend.is_traced(drop):
            drop = 0.0  # what is traced has no layer that drops anything
        check_rate(drop)
        seed = self.next_seed(drop)
        with _alone, float64(has_float64(self.module)):  # streams, rates and rules are everybody's
            if not self.module.built:
                self.module(X, training=False)
            with rates(self.module, drop):
                Y, backward = self._engine.run(X, drop, seed, self.check_output, **self._traced())

        def pull_back(dY: Any) -> Any:
            dX, gradients = backward(dY)
            self.add_gradients(gradients)
            return dX

        return Y, pull_back

    def _traced(self) -> dict[str, Any]:
        """The values of the parameters where they are not the variables' own."""
        if not is_traced_now():
            return {}
        names = {id(variable): name for name, variable in self._params.named().items()}
        return {"params": [self.get_param(names[id(variable)]) for variable in self.module.trainable_variables]}

    # -- initialization

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(X, Y, seed)
        if self.module.built:
            return
        if X is None:
            raise UninitializedError(
                "the module is not built, its shapes come from its input: call model.initialize(X) with a sample"
            )
        self.predict(X)

    def module_again(self, dtype: str | None) -> Any:
        return rebuilt(self.module, dtype)

    def module_for_pickle(self) -> Any:
        return described(self.module, on_host=True)

    def module_from_pickle(self, source: Any) -> Any:
        return from_description(source)


class KerasVariables(Variables):
    """The variables of a Keras layer, by path."""

    _model: KerasWrapper

    def named(self) -> dict[str, Any]:
        return named_variables(self._model.module)

    def trained(self) -> dict[str, Any]:
        known = set(map(id, self._model.module.trainable_variables))
        return {name: variable for name, variable in self.named().items() if id(variable) in known}

    def tensor(self, variable: Any) -> Any:
        return keras.ops.stop_gradient(variable.value)

    def __setitem__(self, name: str, value: Any) -> None:
        with float64(True):
            super().__setitem__(name, value)
