"""The base of wrappers whose parameters are variables of a Keras or TensorFlow module: their gradients are kept
here, and the module is copied and converted by making it again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import deepcopy
from typing import Any, ClassVar, Self

from triops.models import saving
from triops.models.guard import located
from triops.models.view import seen
from triops.models.wrappers.parameters import Variables, load_variables, save_variables
from triops.models.wrappers.pickling import check_pickles
from triops.models.wrappers.wrapper import Wrapper, dtype_made_by
from triops.ops import Ops

__all__ = ["VariableWrapper"]


class VariableWrapper(Wrapper):
    """A wrapper with a `module` that has variables. `_made` names the attributes that `take` makes for it."""

    module: Any
    _params: Variables  # type: ignore[assignment]
    _made: ClassVar[frozenset[str]] = frozenset({"id", "module", "_params", "_bridge"})

    @abstractmethod
    def take(self, module: Any, ops: Ops) -> None:
        """Compute with this module, for arrays of these ops, from now on."""

    @abstractmethod
    def module_again(self, dtype: str | None) -> Any:
        """A module like this one with variables of its own, in another dtype where one is given."""

    def module_for_pickle(self) -> Any:
        """What pickle takes in place of the module."""
        return self.module

    def module_from_pickle(self, source: Any) -> Any:
        """The module again."""
        return source

    def add_gradients(self, gradients: dict[int, Any]) -> None:
        """Add to the gradients of the parameters, from tensors by the `id` of the variable."""
        grads = seen(self)._grads
        for name, variable in self._params.named().items():
            gradient = gradients.get(id(variable))
            if gradient is not None:
                array, so_far = self._bridge.copy_of(gradient), grads.get(name)
                grads[name] = array if so_far is None else so_far + array

    # -- moving and copying

    def convert(self, function: Callable[[Any], Any], ops: Ops) -> None:
        dtype = dtype_made_by(function, self.ops)
        for arrays in (self._grads, self._state):
            for name, value in arrays.items():
                if self.ops.backend.is_array(value):
                    arrays[name] = function(value)
        self.take(self.module if dtype is None else self.module_again(dtype), ops)
        self.ops = ops

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(deepcopy({k: v for k, v in self.__dict__.items() if k not in self._made}, memo))
        if id(self.module) not in memo:
            with located(self):
                memo[id(self.module)] = self.module_again(None)
        twin._params = type(self._params)(twin)
        twin.take(memo[id(self.module)], self.ops)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k == "_params" or k not in self._made}
        with located(self):
            state["_source"] = self.module_for_pickle()
        check_pickles(self, f"the module of {self!r}", state["_source"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        source = state.pop("_source")
        super().__setstate__(state)
        self.take(self.module_from_pickle(source), self.ops)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({getattr(self.module, '__name__', type(self.module).__name__)})"

    # -- saving

    def save_node(self) -> dict[str, Any]:
        state = {name: saving.encode_array(self, name, value) for name, value in self._state.items()}
        return {"params": save_variables(self, self._params), "state": state}

    def load_node(self, saved: dict[str, Any]) -> Callable[[], None]:
        take_over_state = saving.prepare_node_arrays(self, {key: saved[key] for key in saved if key != "params"})
        if "params" not in saved:
            return take_over_state
        take_over_variables = load_variables(self, self._params, saved["params"])

        def take_over() -> None:
            take_over_variables()
            take_over_state()

        return take_over
