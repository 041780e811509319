"""Layers, combinators, losses and optimizers, under Thinc's names. Models compute through their ops: no array
framework is imported here."""

from typing import TYPE_CHECKING

from triops.models.adapters import (
    array_getitem,
    list2array,
    list2padded,
    list2ragged,
    padded2list,
    ragged2list,
    with_array,
    with_flatten,
    with_getitem,
    with_list,
    with_padded,
    with_ragged,
    with_reshape,
)
from triops.models.check_gradient import GradientCheck, check_gradient
from triops.models.combinators import (
    add,
    bidirectional,
    chain,
    clone,
    concatenate,
    map_list,
    residual,
    siamese,
    tuplify,
)
from triops.models.compile import CompiledModel, CompiledStep, compile, compile_step
from triops.models.initializers import (
    glorot_normal_init,
    glorot_uniform_init,
    he_normal_init,
    he_uniform_init,
    lecun_normal_init,
    lecun_uniform_init,
    normal_init,
    one_init,
    uniform_init,
    zero_init,
)
from triops.models.layers import (
    GRU,
    LSTM,
    ClippedLinear,
    Dish,
    Dropout,
    Elu,
    Embed,
    Gelu,
    GeluApprox,
    HardSigmoid,
    HardSwish,
    HardSwishMobilenet,
    HardTanh,
    HashEmbed,
    HashEmbedBag,
    LayerNorm,
    Linear,
    Logistic,
    Maxout,
    Mish,
    MultiHeadAttention,
    ParametricAttention,
    PositionEncode,
    Relu,
    ReluK,
    Sigmoid,
    Softmax,
    Softplus,
    SparseLinear,
    Swish,
    Tanh,
    expand_window,
    noop,
    reduce_first,
    reduce_last,
    reduce_max,
    reduce_mean,
    reduce_sum,
    sigmoid_activation,
    softmax_activation,
)
from triops.models.losses import (
    CategoricalCrossentropy,
    CosineDistance,
    L2Distance,
    Loss,
    SequenceCategoricalCrossentropy,
)
from triops.models.model import Model
from triops.models.optimizers import SGD, Adam, AdamW, Optimizer, RAdam
from triops.models.seeds import fix_random_seed
from triops.models.transformer import TransformerEncoderLayer

__all__ = [
    "GRU",
    "LSTM",
    "SGD",
    "Adam",
    "AdamW",
    "CategoricalCrossentropy",
    "ClippedLinear",
    "CompiledModel",
    "CompiledStep",
    "CosineDistance",
    "Dish",
    "Dropout",
    "Elu",
    "Embed",
    "Gelu",
    "GeluApprox",
    "GradientCheck",
    "HardSigmoid",
    "HardSwish",
    "HardSwishMobilenet",
    "HardTanh",
    "HashEmbed",
    "HashEmbedBag",
    "L2Distance",
    "LayerNorm",
    "Linear",
    "Logistic",
    "Loss",
    "Maxout",
    "Mish",
    "Model",
    "MultiHeadAttention",
    "Optimizer",
    "ParametricAttention",
    "PositionEncode",
    "RAdam",
    "Relu",
    "ReluK",
    "SequenceCategoricalCrossentropy",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SparseLinear",
    "Swish",
    "Tanh",
    "TransformerEncoderLayer",
    "add",
    "array_getitem",
    "bidirectional",
    "chain",
    "check_gradient",
    "clone",
    "compile",
    "compile_step",
    "concatenate",
    "expand_window",
    "fix_random_seed",
    "glorot_normal_init",
    "glorot_uniform_init",
    "he_normal_init",
    "he_uniform_init",
    "lecun_normal_init",
    "lecun_uniform_init",
    "list2array",
    "list2padded",
    "list2ragged",
    "map_list",
    "noop",
    "normal_init",
    "one_init",
    "padded2list",
    "ragged2list",
    "reduce_first",
    "reduce_last",
    "reduce_max",
    "reduce_mean",
    "reduce_sum",
    "residual",
    "siamese",
    "sigmoid_activation",
    "softmax_activation",
    "tuplify",
    "uniform_init",
    "with_array",
    "with_flatten",
    "with_getitem",
    "with_list",
    "with_padded",
    "with_ragged",
    "with_reshape",
    "zero_init",
]

if TYPE_CHECKING:
    from triops.models.wrappers.jax import JaxWrapper as JaxWrapper
    from triops.models.wrappers.keras import KerasWrapper as KerasWrapper
    from triops.models.wrappers.load_thinc import load_thinc as load_thinc
    from triops.models.wrappers.pytorch import PyTorchWrapper as PyTorchWrapper
    from triops.models.wrappers.sklearn import SklearnWrapper as SklearnWrapper
    from triops.models.wrappers.sklearn_classifier import TriopsClassifier as TriopsClassifier
    from triops.models.wrappers.sklearn_regressor import TriopsRegressor as TriopsRegressor
    from triops.models.wrappers.spacy_docs import FeatureExtractor as FeatureExtractor
    from triops.models.wrappers.spacy_docs import extract_features as extract_features
    from triops.models.wrappers.spacy_docs import stream_features as stream_features
    from triops.models.wrappers.tensorflow import TensorFlowWrapper as TensorFlowWrapper
    from triops.models.wrappers.thinc import ThincWrapper as ThincWrapper
    from triops.models.wrappers.to_thinc import to_thinc as to_thinc

_WRAPPERS = {
    "FeatureExtractor": "triops.models.wrappers.spacy_docs",
    "JaxWrapper": "triops.models.wrappers.jax",
    "KerasWrapper": "triops.models.wrappers.keras",
    "PyTorchWrapper": "triops.models.wrappers.pytorch",
    "SklearnWrapper": "triops.models.wrappers.sklearn",
    "TensorFlowWrapper": "triops.models.wrappers.tensorflow",
    "ThincWrapper": "triops.models.wrappers.thinc",
    "TriopsClassifier": "triops.models.wrappers.sklearn_classifier",
    "TriopsRegressor": "triops.models.wrappers.sklearn_regressor",
    "extract_features": "triops.models.wrappers.spacy_docs",
    "load_thinc": "triops.models.wrappers.load_thinc",
    "stream_features": "triops.models.wrappers.spacy_docs",
    "to_thinc": "triops.models.wrappers.to_thinc",
}


def __getattr__(name: str) -> object:
    # A wrapper's framework is loaded when the wrapper is asked for, and not before.
    if name in _WRAPPERS:
        from importlib import import_module

        return getattr(import_module(_WRAPPERS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
