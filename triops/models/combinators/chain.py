"""One model after the other."""

from __future__ import annotations

from typing import Any

from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.one_step import back_through, give_first_turn, is_in_one_step, takes_first_turn
from triops.models.seeds import derive_seed
from triops.types import Backprop

__all__ = ["chain"]


class chain(Combinator):
    """Y = fₙ(… f₂(f₁(X))). `f >> g` is `chain(f, g)`; chains in it are taken apart.

    In `initialize` each layer's sample is the output of the layer before; a layer that does not know its
    width nO takes it from the sample Y.
    """

    def __init__(self, *layers: Model) -> None:
        flat = [inner for layer in layers for inner in (layer.layers if type(layer) is chain else [layer])]
        super().__init__(flat, dims=("nI", "nO"))
        self.refuse_logit_gradients(flat[:-1])
        self._take_dims()

    @property
    def expects_logit_gradient(self) -> bool:
        return bool(self.layers) and self.layers[-1].expects_logit_gradient

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layers infer theirs one after the other."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        for i, layer in enumerate(self.layers):
            wanted = Y if layer.has_dim("nO") is None else None
            layer.initialize(X, wanted, derive_seed(seed, i))
            if X is not None and i + 1 < len(self.layers):
                X = layer.predict(X)
        self._take_dims()

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if not self.layers:
            return X, lambda dY, sgd=None: dY
        if takes_first_turn(self, chain):
            give_first_turn(self.layers[0])
        callbacks: list[Backprop] = []
        for layer in self.layers:
            X, callback = layer.begin_update(X, drop)
            callbacks.append(callback)
        let_go = is_in_one_step()

        def backprop(dY: Any, sgd: Any = None) -> Any:
            return back_through(callbacks, dY, let_go)

        return X, backprop

    def _take_dims(self) -> None:
        if self.layers:
            self.take_dim("nI", self.layers[0].maybe_get_dim("nI"))
            self.take_dim("nO", self.layers[-1].maybe_get_dim("nO"))
