"""Any function in JAX with its parameters, and modules of Flax NNX and Equinox, as a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar

from triops.errors import BackendUnavailable, CompileError, LoadError
from triops.models.seeds import derive_seed
from triops.models.wrappers.wrapper import PullBack, Wrapper, check_rate, map_leaves
from triops.ops import Ops

try:
    import jax  # noqa: F401 - what follows works with it
    import numpy as np
except ImportError as error:
    raise BackendUnavailable(f"JaxWrapper needs the package jax ({error}): pip install 'triops[jax]'") from error

from triops.models.wrappers.bridge import bridge_to
from triops.models.wrappers.jax_functions import functional
from triops.models.wrappers.jax_passes import Pass
from triops.models.wrappers.pickling import check_pickles

__all__ = ["JaxWrapper"]

_WORD = 0xFFFFFFFF


class JaxWrapper(Wrapper):
    """Y = function(params, X), with the gradients that `jax.vjp` finds; forward and backward are one compiled
    program each, for every shape.

    function: takes a pytree of parameters, then the input, or each input where X is a list or tuple, and returns
    an array, or lists and tuples of arrays. It is pure: what it does beside computing from its arguments is done
    once a shape. Where it names them among its parameters, it is given by keyword

        key     a PRNG key, of each training pass its own, and always the same to predict
        drop    the rate of dropout, 0 to predict
        train   whether this pass is for training

    Or a module of Flax NNX or Equinox that is called with X: then `params` is left out. An NNX module runs in
    train or eval mode; its statistics are kept, and its random streams are seeded with the key of the pass.
    Equinox modules are given a `key` where they name one, and predict in inference mode. `drop` above 0 replaces
    the rates of their dropout layers, and is compiled in.

    params: the pytree. Its floating arrays are the parameters, named by their paths, as "layers.0.weight"; all
    else is constant. The values live in this model, as arrays of its ops, and `tree` gives them back in the form
    they came in. vmap: whether the function takes one row, as Equinox's layers do; each row has a key of its own.

    `initialize` changes no weights. Raises ArgumentError where there are no parameters to be found,
    ArrayOwnerError where they are on another device than the ops.
    """

    library: ClassVar[str] = "jax"

    def __init__(
        self,
        function: Any,
        params: Any = None,
        *,
        vmap: bool = False,
        name: str | None = None,
        ops: Ops | None = None,
    ) -> None:
        super().__init__(name, ops=ops)
        self._wrap(function, params, vmap)

    def _wrap(self, function: Any, params: Any, vmap: bool) -> None:
        self._bridge, self._vmap = bridge_to(self.library, self.ops), vmap
        wrapped = functional(function, params, vmap)
        for arrays, ours in ((wrapped.params, self._params), (wrapped.state, self._state)):
            for label, array in arrays.items():
                if self._bridge.is_tensor(array):
                    self._bridge.check_place("JaxWrapper", label, array)
                ours[label] = self.ops.asarray(array, array.dtype.name)
        # The values are this model's from here on; of its state it keeps the names.
        self._wrapped = replace(wrapped, params={}, state=dict.fromkeys(wrapped.state))

    # -- computing

    def run(self, X: Any, drop: float | None) -> tuple[Any, PullBack]:
        wrapped = self._wrapped
        if not self.ops.backend.is_traced(drop):
            check_rate(drop)
        elif wrapped.fixed:
            raise CompileError(
                f"the rate of dropout of {wrapped.label} is part of its program, and here it is a number to "
                f"come: call with drop=0.0, which leaves the module its own rates"
            )
        settings = Pass(wrapped.rate(drop), self._seed(drop))
        params, state = self._tensors()
        Y, new_state, backward = wrapped.program.run(params, state, X, settings)
        map_leaves(self.check_output, Y)
        if drop is not None:
            for name, value in new_state.items():
                self.set_state(name, self._bridge.copy_of(value))

        def pull_back(dY: Any) -> Any:
            gradients, dX = backward(dY)
            for name, gradient in gradients.items():
                self.inc_grad(name, self._bridge.copy_of(gradient))
            return dX

        return Y, pull_back

    def _seed(self, drop: float | None) -> Any:
        """A number of 32 bits, which follows from a count that may be traced."""
        if drop is None:
            return np.uint32(self.next_seed(drop) & _WORD)
        first, drawn = derive_seed(self.own_seed(), "train"), self.get_state("drawn", 0)
        self.set_state("drawn", drawn + 1)
        if type(drawn) is int:
            return np.uint32(first + drawn & _WORD)
        return drawn.astype("uint32") + np.uint32(first & _WORD)

    def _tensors(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The values of the parameters and of the state as JAX takes them."""
        params = {name: self._bridge.to_tensor(self.get_param(name)) for name in self._params}
        return params, {name: self._bridge.to_tensor(self.get_state(name)) for name in self._wrapped.state}

    @property
    def tree(self) -> Any:
        """The params, or the module, with the values that they have now."""
        return self._wrapped.rebuild(*self._tensors())

    # -- moving and loading

    def convert(self, function: Callable[[Any], Any], ops: Ops) -> None:
        super().convert(function, ops)
        self._bridge = bridge_to(self.library, ops)

    def __getstate__(self) -> dict[str, Any]:
        """The function and its pytree, or the module, with the values of today: programs are compiled anew."""
        wrapped = self._wrapped
        source = (self.tree, None) if wrapped.function is None else (wrapped.function, self.tree)
        check_pickles(self, f"what {self!r} wraps", source)
        state = {name: value for name, value in self.__dict__.items() if name not in ("_wrapped", "_bridge")}
        kept = {name: value for name, value in self._state.items() if name not in wrapped.state}
        return {**state, "_params": {}, "_state": kept, "_source": source}

    def __setstate__(self, state: dict[str, Any]) -> None:
        function, params = state.pop("_source")
        super().__setstate__(state)
        self._wrap(function, params, self._vmap)

    def __repr__(self) -> str:
        return f"JaxWrapper({self._wrapped.label})"

    def load_node(self, saved: dict[str, Any]) -> Callable[[], None]:
        take_over = super().load_node(saved)
        state = saved.get("state", {})
        for name in self._wrapped.state if "state" in saved else ():
            expected = tuple(self.get_state(name).shape)
            shape = state[name].get("shape") if isinstance(state.get(name), dict) else None
            if shape != list(expected):
                raise LoadError(f"{name}: expected an array of shape {expected}, the saved one has {shape}")
        return take_over
