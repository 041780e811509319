"""Parameters that live in another library's module, as the mapping that a model keeps its own in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from triops.errors import ArgumentError, DTypeError, LoadError, ShapeError
from triops.models import saving

if TYPE_CHECKING:
    from triops.models.wrappers.wrapper import Wrapper

__all__ = ["Elsewhere", "Variables", "load_variables", "save_variables"]


class Elsewhere(MutableMapping[str, Any]):
    """Arrays that are tensors of the model's module: a copy out, a copy in."""

    def __init__(self, model: Wrapper) -> None:
        self._model = model

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def check_fits(self, what: str, value: Any, shape: Any, dtype: str) -> Any:
        """The value as a tensor. Raises ShapeError and DTypeError where it is not as the module's is."""
        self._model.ops.check_owner(self._model.name, what, value)
        if tuple(value.shape) != tuple(shape):
            raise ShapeError(f"{what}: expected shape {tuple(shape)}, got {tuple(value.shape)}: reshape it")
        if str(value.dtype) != dtype:
            raise DTypeError(
                f"{what}: expected {dtype}, got {value.dtype}: convert it with ops.asarray(..., dtype='{dtype}')"
            )
        return self._model._bridge.to_own_tensor(value)

    def unknown(self, what: str, known: list[str]) -> ArgumentError:
        """The error where the module has nothing of that name."""
        return ArgumentError(
            f"{what} cannot be set: the module makes its parameters by itself, and those with a value are {known}"
        )

    def __delitem__(self, name: str) -> None:
        raise ArgumentError(f"parameter {name} belongs to the module, and cannot be taken out")


class Variables(Elsewhere):
    """The variables of Keras or TensorFlow: the trained ones are listed, all are found. They have `shape`,
    `dtype` and `assign`."""

    @abstractmethod
    def named(self) -> dict[str, Any]:
        """All variables by name."""

    @abstractmethod
    def trained(self) -> dict[str, Any]:
        """Those that gradients are for."""

    @abstractmethod
    def tensor(self, variable: Any) -> Any:
        """Its value, as a tensor that may change with it."""

    def __iter__(self) -> Any:
        return iter(self.trained())

    def __contains__(self, name: object) -> bool:
        return name in self.named()

    def __getitem__(self, name: str) -> Any:
        return self.array(self.named()[name])

    def array(self, variable: Any) -> Any:
        """A variable's value as an array of its own."""
        return self._model._bridge.copy_of(self.tensor(variable))

    def __setitem__(self, name: str, value: Any) -> None:
        named = self.named()
        if name not in named:
            raise self.unknown(f"parameter {name}", list(named))
        variable = named[name]
        dtype = self._model._bridge.dtype_name(variable.dtype)
        variable.assign(self.check_fits(f"parameter {name}", value, variable.shape, dtype))


def save_variables(model: Wrapper, variables: Variables) -> dict[str, Any]:
    """Every variable, those that are not trained among them, as msgpack takes them."""
    return {
        name: saving.encode_array(model, name, variables.array(variable))
        for name, variable in variables.named().items()
    }


def load_variables(model: Wrapper, variables: Variables, saved: Any) -> Callable[[], None]:
    """Check what `save_variables` made against the module, and return the function that takes it over."""
    named = variables.named()
    if not isinstance(saved, dict) or set(saved) != set(named):
        got = sorted(map(str, saved)) if isinstance(saved, dict) else type(saved).__name__
        raise LoadError(
            f"expected the variables {sorted(named)}, the saved ones are {got}: make the same module, and where "
            f"it makes its variables from its input, call model.initialize(X), before loading"
        )
    values = {}
    for name, variable in named.items():
        values[name] = saving.decode_array(model, name, saved[name], tuple(variable.shape))
        dtype = model._bridge.dtype_name(variable.dtype)
        if str(values[name].dtype) != dtype:
            raise LoadError(
                f"{name}: expected {dtype}, the saved one is {values[name].dtype}: make the same module before "
                f"loading"
            )

    def take_over() -> None:
        for name, value in values.items():
            variables[name] = value

    return take_over
