"""Any `tf.Module`, or function over `tf.Variable`s, as a model."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from triops.backends.threads import limit_loaded
from triops.errors import ArgumentError, BackendUnavailable, UninitializedError
from triops.models.wrappers.wrapper import PullBack, check_rate, map_leaves
from triops.ops import Ops

try:
    import tensorflow as tf
except ImportError as error:
    raise BackendUnavailable(
        f"TensorFlowWrapper needs the package tensorflow ({error}): pip install 'triops[tensorflow]'"
    ) from error

from triops.models.wrappers.bridge import bridge_to
from triops.models.wrappers.parameters import Variables
from triops.models.wrappers.tensorflow_modules import module_in_dtype, named_variables
from triops.models.wrappers.tensorflow_passes import run
from triops.models.wrappers.variables import VariableWrapper

__all__ = ["TensorFlowWrapper"]

limit_loaded()


class TensorFlowWrapper(VariableWrapper):
    """Y = module(X), with the gradients that a `tf.GradientTape` finds.

    module: a `tf.Module` that is called with X, or with each input where X is a list or tuple; or a function,
    `tf.function` among them, with the `variables` that it is over: a sequence, or a mapping that names them. It
    returns a tensor, or lists and tuples of tensors. Where it names them among its parameters, it is given by
    keyword

        training  whether this pass is for training
        drop      the rate of dropout as a tensor, 0 to predict
        seed      a seed for `tf.random.stateless_...`, of each training pass its own, always the same to predict

    Other draws are TensorFlow's own, and follow from its seed. `backprop` takes dY like Y, where None stands for
    no gradient, and returns dX like X, None in place of integers. It can be called once for each `begin_update`.

    The weights are the module's trainable variables of floats, named by the attributes they are kept in, as
    "layers.0.w": `get_param` gives a copy, `set_param` assigns. A module that makes its variables when it is
    first called does so with the sample that `initialize` gets. Saved are all variables. `copy` and `astype`
    need a `tf.Module`, since a function keeps hold of its variables. Raises ArgumentError where `module` is
    neither, ArrayOwnerError where it is on another device than the ops.
    """

    library: ClassVar[str] = "tensorflow"

    def __init__(
        self,
        module: Any,
        variables: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        ops: Ops | None = None,
    ) -> None:
        if not callable(module) or isinstance(module, type):
            raise ArgumentError(
                f"TensorFlowWrapper: module must be a tf.Module with __call__, or a function, got "
                f"{module.__name__ if isinstance(module, type) else type(module).__name__}: make one first"
            )
        layer_class = getattr(sys.modules.get("keras.layers"), "Layer", ())
        if isinstance(module, layer_class):
            raise ArgumentError("TensorFlowWrapper: this is a layer of Keras: give it to KerasWrapper")
        if isinstance(module, tf.Module) is not (variables is None):
            raise ArgumentError(
                "TensorFlowWrapper: give variables with a function, as in TensorFlowWrapper(function, [W, b]), "
                "and none with a tf.Module, which has its own"
            )
        super().__init__(name, ops=ops)
        given = variables if isinstance(variables, Mapping) else dict(_by_name(variables or ()))
        for label, variable in given.items():
            if not isinstance(variable, tf.Variable):
                raise ArgumentError(
                    f"TensorFlowWrapper: {label} of variables must be a tf.Variable, got "
                    f"{type(variable).__name__}: make one of it"
                )
        self._given = given
        self._params = TensorFlowVariables(self)
        self.take(module, self.ops)

    def take(self, module: Any, ops: Ops) -> None:
        self.module, self._bridge = module, bridge_to(self.library, ops)
        for name, variable in self._params.named().items():
            self._bridge.check_place("TensorFlowWrapper", name, variable)
        self._names, self._checked = _parameter_names(module), False

    # -- computing

    def recording(self, on: bool) -> AbstractContextManager[Any]:
        device: AbstractContextManager[Any] = tf.device(self._bridge.device)
        return device

    def run(self, X: Any, drop: float | None) -> tuple[Any, PullBack]:
        check_rate(drop)
        seed = self.next_seed(drop)
        offered: dict[str, Callable[[], Any]] = {
            "training": lambda: drop is not None,
            "drop": lambda: tf.constant(drop or 0.0),
            "seed": lambda: tf.constant([seed & 0x7FFFFFFF, seed >> 32 & 0x7FFFFFFF], "int32"),
        }
        options = {name: make() for name, make in offered.items() if name in self._names}
        trained = list(self._params.trained().values())

        def call(X: Any) -> Any:
            return self.module(*(X if isinstance(X, list | tuple) else (X,)), **options)

        def check_used(used: Sequence[Any]) -> None:
            self._check_used(used, trained)

        Y, backward = run(call, X, trained, drop is not None, None if self._checked else check_used)
        self._checked = self._checked or drop is not None
        map_leaves(self.check_output, Y)

        def pull_back(dY: Any) -> Any:
            dX, gradients = backward(dY)
            found = zip(map(id, trained), gradients, strict=True)
            self.add_gradients({of: gradient for of, gradient in found if gradient is not None})
            return dX

        return Y, pull_back

    def _check_used(self, used: Sequence[Any], watched: Sequence[Any]) -> None:
        """Raise where the pass used a trainable variable that no gradient would be found for."""
        known = set(map(id, watched))
        missed = [variable for variable in used if id(variable) not in known and variable.dtype.is_floating]
        if not missed:
            return
        names = [variable.name for variable in missed]
        if set(map(id, self._params.trained().values())).issuperset(map(id, missed)):
            raise UninitializedError(
                f"the module has just made its variables {names}: call model.initialize(X) with a sample first"
            )
        raise ArgumentError(
            f"the trainable variables {names} are used, and are not among the wrapper's: give them as variables, "
            f"keep them in attributes of the tf.Module, or make them with trainable=False"
        )

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(X, Y, seed)
        if X is not None:  # the module may make its variables when it is first called
            self.predict(X)

    def module_again(self, dtype: str | None) -> Any:
        self._check_is_module()
        return module_in_dtype(self.module, dtype)

    def module_for_pickle(self) -> Any:
        self._check_is_module()
        return self.module

    def _check_is_module(self) -> None:
        if not isinstance(self.module, tf.Module):
            raise ArgumentError(
                "a function keeps hold of its variables, and cannot be copied, pickled or converted: wrap a "
                "tf.Module that has them as attributes"
            )


class TensorFlowVariables(Variables):
    """The variables of a tf.Module, by the attributes they are kept in, or those that were given."""

    _model: TensorFlowWrapper

    def named(self) -> dict[str, Any]:
        module = self._model.module
        return named_variables(module) if isinstance(module, tf.Module) else dict(self._model._given)

    def trained(self) -> dict[str, Any]:
        return {name: v for name, v in self.named().items() if v.trainable and v.dtype.is_floating}

    def tensor(self, variable: Any) -> Any:
        return variable.read_value()


def _by_name(variables: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each with its own name, or with its place, too, where that name is taken."""
    taken = set()
    for i, variable in enumerate(variables):
        name = str(getattr(variable, "name", "")).partition(":")[0] or str(i)
        if name in taken:
            name = f"{name}#{i}"
        taken.add(name)
        yield name, variable


def _parameter_names(module: Any) -> frozenset[str]:
    function = type(module).__call__ if isinstance(module, tf.Module) else module
    try:
        return frozenset(inspect.signature(getattr(function, "python_function", function)).parameters)
    except (TypeError, ValueError):  # builtins have none
        return frozenset()
