"""Several models of one input."""

from __future__ import annotations

from typing import Any

from triops.models.combinators.combinator import Combinator
from triops.models.model import Model
from triops.models.seeds import derive_seed

__all__ = ["Parallel"]


class Parallel(Combinator):
    """Layers that all get X; subclasses say how their outputs come together."""

    def __init__(self, *layers: Model) -> None:
        flat = [inner for layer in layers for inner in (layer.layers if type(layer) is type(self) else [layer])]
        super().__init__(flat, dims=("nI", "nO"))
        self.refuse_logit_gradients(flat)
        self.take_dims()

    def infer_dims(self, X: Any, Y: Any) -> None:
        """The layers infer theirs."""

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        wanted = self.sample_for_layers(Y)
        for i, layer in enumerate(self.layers):
            layer.initialize(X, wanted, derive_seed(seed, i))
        self.take_dims()

    def sample_for_layers(self, Y: Any) -> Any:
        """What a sample of this model's output says of each layer's."""
        raise NotImplementedError

    def combined_width(self, widths: list[int]) -> int:
        """nO from the layers' nO."""
        raise NotImplementedError

    def take_dims(self) -> None:
        """Take over nI from a layer that has one, and nO once every layer knows its own."""
        known = [size for layer in self.layers if (size := layer.maybe_get_dim("nI")) is not None]
        self.take_dim("nI", known[0] if known else None)
        widths = [size for layer in self.layers if (size := layer.maybe_get_dim("nO")) is not None]
        if widths and len(widths) == len(self.layers):
            self.take_dim("nO", self.combined_width(widths))
