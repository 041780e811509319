"""One layer a file; activations that differ only in their function share one."""

from triops.models.layers.attention import MultiHeadAttention, ParametricAttention
from triops.models.layers.dropout import Dropout
from triops.models.layers.elementwise import (
    Logistic,
    noop,
    sigmoid_activation,
    softmax_activation,
)
from triops.models.layers.embed import Embed
from triops.models.layers.gru import GRU
from triops.models.layers.hashembed import HashEmbed
from triops.models.layers.hashembedbag import HashEmbedBag
from triops.models.layers.hidden import (
    ClippedLinear,
    Dish,
    Elu,
    Gelu,
    GeluApprox,
    HardSigmoid,
    HardSwish,
    HardSwishMobilenet,
    HardTanh,
    Mish,
    Relu,
    ReluK,
    Sigmoid,
    Softplus,
    Swish,
    Tanh,
)
from triops.models.layers.layernorm import LayerNorm
from triops.models.layers.linear import Linear
from triops.models.layers.lstm import LSTM
from triops.models.layers.maxout import Maxout
from triops.models.layers.position import PositionEncode
from triops.models.layers.reduce import (
    reduce_first,
    reduce_last,
    reduce_max,
    reduce_mean,
    reduce_sum,
)
from triops.models.layers.softmax import Softmax
from triops.models.layers.sparselinear import SparseLinear
from triops.models.layers.window import expand_window

__all__ = [
    "GRU",
    "LSTM",
    "ClippedLinear",
    "Dish",
    "Dropout",
    "Elu",
    "Embed",
    "Gelu",
    "GeluApprox",
    "HardSigmoid",
    "HardSwish",
    "HardSwishMobilenet",
    "HardTanh",
    "HashEmbed",
    "HashEmbedBag",
    "LayerNorm",
    "Linear",
    "Logistic",
    "Maxout",
    "Mish",
    "MultiHeadAttention",
    "ParametricAttention",
    "PositionEncode",
    "Relu",
    "ReluK",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SparseLinear",
    "Swish",
    "Tanh",
    "expand_window",
    "noop",
    "reduce_first",
    "reduce_last",
    "reduce_max",
    "reduce_mean",
    "reduce_sum",
    "sigmoid_activation",
    "softmax_activation",
]
