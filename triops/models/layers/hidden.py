"""A linear layer with an activation: one class does the work, one short class names each function."""

from __future__ import annotations

from typing import Any, ClassVar

from triops.models.initializers import (
    Initializer,
    glorot_uniform_init,
    he_normal_init,
    zero_init,
)
from triops.models.layers.tail import begin_tail, hidden_tail, initialize_tail
from triops.models.model import Model
from triops.models.one_step import takes_first_turn
from triops.models.seeds import derive_seed
from triops.types import Backprop, Floats2d

__all__ = [
    "ClippedLinear",
    "Dish",
    "Elu",
    "Gelu",
    "GeluApprox",
    "HardSigmoid",
    "HardSwish",
    "HardSwishMobilenet",
    "HardTanh",
    "HiddenLayer",
    "Mish",
    "Relu",
    "ReluK",
    "Sigmoid",
    "Softplus",
    "Swish",
    "Tanh",
]


class HiddenLayer(Model):
    """Y = f(X Wᵀ + b), then layer normalisation where `normalize`, then dropout.

    X: (N, nI) floats. Y: (N, nO). Parameters W: (nO, nI), b: (nO,). dropout: the layer's own rate; None
    follows the `drop` that `begin_update` is given.
    """

    activation: ClassVar[str]
    settings: ClassVar[tuple[str, ...]] = ()  # the attrs that the activation takes as arguments
    default_init_W: ClassVar[Initializer] = staticmethod(glorot_uniform_init)

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        init_W: Initializer | None = None,
        init_b: Initializer = zero_init,
        dropout: float | None = None,
        normalize: bool = False,
    ) -> None:
        super().__init__(dims={"nO": nO, "nI": nI}, layers=hidden_tail(nO, normalize, dropout))
        self.add_param("W", ("nO", "nI"), init_W or self.default_init_W)
        self.add_param("b", ("nO",), init_b)

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        seeds = [derive_seed(seed, i) for i in range(len(self.layers))]
        initialize_tail(self.layers, self.get_dim("nO"), seeds)

    def begin_update(self, X: Floats2d, drop: float | None = 0.0) -> tuple[Floats2d, Backprop]:
        self.check_floats(X, width="nI")
        W = self.get_param("W")
        settings = {name: self.attrs[name] for name in self.settings}
        after, saved = self.ops.affine_activation(X, W, self.get_param("b"), self.activation, **settings)
        Y, backprop_tail = begin_tail(self.layers, after, drop)
        wants_dX = not takes_first_turn(self, HiddenLayer)

        def backprop(dY: Floats2d, sgd: Any = None) -> Floats2d | None:
            dX, dW, db = self.ops.backprop_affine_activation(
                backprop_tail(dY), X, W, saved, self.activation, wants_dX=wants_dX, **settings
            )
            self.inc_grad("W", dW)
            self.inc_grad("b", db)
            return dX

        return Y, backprop


class Relu(HiddenLayer):
    """`ops.relu`: max(0, ·)."""

    activation = "relu"


class ReluK(HiddenLayer):
    """`ops.relu_k`: clipped to [0, k]."""

    activation = "relu_k"
    settings = ("n",)

    def __init__(self, nO: int | None = None, nI: int | None = None, *, k: float = 6.0, **options: Any):
        super().__init__(nO, nI, **options)
        self.attrs["n"] = k


class ClippedLinear(HiddenLayer):
    """`ops.clipped_linear`: slope · + offset, clipped to [min_val, max_val]."""

    activation = "clipped_linear"
    settings = ("slope", "offset", "min_val", "max_val")

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        slope: float = 1.0,
        offset: float = 0.0,
        min_val: float = 0.0,
        max_val: float = 1.0,
        **options: Any,
    ):
        super().__init__(nO, nI, **options)
        self.attrs.update(slope=slope, offset=offset, min_val=min_val, max_val=max_val)


class HardSigmoid(HiddenLayer):
    """`ops.hard_sigmoid`."""

    activation = "hard_sigmoid"


class HardTanh(HiddenLayer):
    """`ops.hard_tanh`."""

    activation = "hard_tanh"


class HardSwish(HiddenLayer):
    """`ops.hard_swish`."""

    activation = "hard_swish"
    default_init_W = staticmethod(he_normal_init)


class HardSwishMobilenet(HiddenLayer):
    """`ops.hard_swish_mobilenet`."""

    activation = "hard_swish_mobilenet"
    default_init_W = staticmethod(he_normal_init)


class Swish(HiddenLayer):
    """`ops.swish`."""

    activation = "swish"
    default_init_W = staticmethod(he_normal_init)


class Dish(HiddenLayer):
    """`ops.dish`."""

    activation = "dish"
    default_init_W = staticmethod(he_normal_init)


class Gelu(HiddenLayer):
    """`ops.gelu`, by erf."""

    activation = "gelu"
    default_init_W = staticmethod(he_normal_init)


class GeluApprox(HiddenLayer):
    """`ops.gelu_approx`, by tanh."""

    activation = "gelu_approx"
    default_init_W = staticmethod(he_normal_init)


class Mish(HiddenLayer):
    """`ops.mish`."""

    activation = "mish"


class Elu(HiddenLayer):
    """`ops.elu`."""

    activation = "elu"
    settings = ("alpha",)

    def __init__(self, nO: int | None = None, nI: int | None = None, *, alpha: float = 1.0, **options: Any):
        super().__init__(nO, nI, **options)
        self.attrs["alpha"] = alpha


class Softplus(HiddenLayer):
    """`ops.softplus`."""

    activation = "softplus"


class Tanh(HiddenLayer):
    """`ops.tanh`."""

    activation = "tanh"


class Sigmoid(HiddenLayer):
    """`ops.sigmoid`: for several labels at once. An output layer: W starts at zero, as Thinc's does, and
    `drop` leaves it alone unless `dropout` is given."""

    activation = "sigmoid"
    default_init_W = staticmethod(zero_init)

    def __init__(self, nO: int | None = None, nI: int | None = None, *, dropout: float = 0.0, **options: Any):
        super().__init__(nO, nI, dropout=dropout, **options)
