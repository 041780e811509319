"""Every exported layer and combinator, made in the ways that matter, with what it means in plain float64
NumPy. `test_layers.py` runs them; a layer that is exported and not here fails there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from tests.models.samples import LENGTHS, NI, NO, named_params
from tests.ops.cases.hashing import hash as hashes
from tests.ops.cases.hashing import hash32
from tests.ops.cases.recurrent import oracle as recurrent_oracle
from triops import Model, Padded, Ragged, models

__all__ = ["CASES", "LayerCase"]

NV = 7
LENGTH = 11  # of the hashed weights of SparseLinear


@dataclass(frozen=True)
class LayerCase:
    """One way to make a layer.

    make: takes dimensions as the layer does, `make(nO, nI)`, or none of them, to be inferred. meaning: the
    output, from the model and a float64 input. nO: the width of the output for NI columns. takes: what the
    input holds. columns: how many columns ids have, 0 for a vector of them. form: what the input is, as
    `samples.formed` names it; gives: what the output is, where it is something else. Sequences are given to
    `meaning`, and compared, as rows one after another. pools: one row comes out for each sequence. needs_rows:
    a sequence must have some.
    """

    name: str
    make: Callable[..., Model]
    meaning: Callable[[Model, Any], Any]
    nO: int = NO
    takes: str = "floats"
    sized: bool = True
    columns: int = 0
    label: str = ""
    form: str = "array"
    gives: str = ""
    pools: bool = False
    needs_rows: bool = False

    def rows(self, lengths: tuple[int, ...]) -> int:
        """How many rows come out for sequences of these lengths."""
        return len(lengths) if self.pools else sum(lengths)

    @property
    def id(self) -> str:
        return f"{self.name}-{self.label}" if self.label else self.name


def sigmoid(Z: Any) -> Any:
    return 1 / (1 + np.exp(-Z))


def softmax(Z: Any) -> Any:
    exps = np.exp(Z - Z.max(axis=-1, keepdims=True))
    return exps / exps.sum(axis=-1, keepdims=True)


def dish(Z: Any) -> Any:
    return Z / 2 * (Z / np.sqrt(1 + Z * Z) + 1)


def gelu(Z: Any) -> Any:
    return Z / 2 * (1 + np.vectorize(math.erf, otypes=[float])(Z / math.sqrt(2)))


def gelu_approx(Z: Any) -> Any:
    return Z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (Z + 0.044715 * Z**3)))


def softplus(Z: Any) -> Any:
    return np.logaddexp(0, Z)


def clipped(slope: float, offset: float, low: float, high: float) -> Callable[[Any], Any]:
    return lambda Z: np.clip(slope * Z + offset, low, high)


def elu(alpha: float) -> Callable[[Any], Any]:
    return lambda Z: np.where(Z > 0, Z, alpha * (np.exp(Z) - 1))


def affine(model: Model, X: Any) -> Any:
    params = named_params(model)
    return X @ params["W"].T + params["b"]


def layer_norm(model: Model, X: Any) -> Any:
    params = named_params(model)
    centred = X - X.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(X.var(axis=-1, keepdims=True) + 1e-8) * params["G"] + params["b"]


def hidden(function: Callable[[Any], Any]) -> Callable[[Model, Any], Any]:
    """A hidden layer's output: the function of an affine map, then its normalisation where it has one."""

    def meaning(model: Model, X: Any) -> Any:
        Y = function(affine(model, X))
        return layer_norm(model.layers[0], Y) if len(model.layers) == 2 else Y

    return meaning


def maxout(model: Model, X: Any) -> Any:
    params = named_params(model)
    Y = (np.einsum("ni,opi->nop", X, params["W"]) + params["b"]).max(axis=-1)
    return layer_norm(model.layers[0], Y) if len(model.layers) == 2 else Y


def rows_of_table(model: Model, X: Any) -> Any:
    column = model.attrs["column"]
    return named_params(model)["E"][X if column is None else X[:, column]]


def sums_of_hashed_rows(model: Model, X: Any) -> Any:
    column = model.attrs["column"]
    rows = hashes(X if column is None else X[:, column], model.attrs["seed"]) % NV
    return named_params(model)["E"][rows].sum(axis=1)


def recurrent(model: Model, X: Any) -> Any:
    """The rows as one sequence."""
    params, kind = named_params(model), model.name
    weights = params.pop(kind.upper())
    ((_, start),) = params.items()
    starts = tuple(start) if kind == "lstm" else (start,)
    return recurrent_oracle(kind, weights, starts, X, np.ones(len(X), "int64"))[0]


def without_dims(make: Callable[[], Model]) -> Callable[..., Model]:
    """For layers that take no dimensions."""
    return lambda nO=None, nI=None: make()


def relu(Z: Any) -> Any:
    return np.maximum(Z, 0)


relu_layer = hidden(relu)


def of_relus(combine: Callable[..., Any]) -> Callable[[Model, Any], Any]:
    """The meaning of a combination of Relu layers, from their outputs."""
    return lambda model, X: combine(*(relu_layer(layer, X) for layer in model.layers))


def in_turn(model: Model, X: Any) -> Any:
    for layer in model.layers:
        X = relu_layer(layer, X)
    return X


def around_relu(adapter: Callable[[Model], Model]) -> Callable[..., Model]:
    return lambda nO=None, nI=None: adapter(models.Relu(nO, nI))


def within_relu(model: Model, X: Any) -> Any:
    return relu_layer(model.layers[0], X)


def within_within_relu(model: Model, X: Any) -> Any:
    return within_relu(model.layers[0], X)


class Only(models.with_array):
    """A Relu of rows that takes one form of input, and refuses all others."""

    def __init__(self, form: str, nO: int | None, nI: int | None) -> None:
        super().__init__(models.Relu(nO, nI))
        self.attrs["form"] = form

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        assert isinstance(X, {"list": list, "ragged": Ragged, "padded": Padded}[self.attrs["form"]])
        return super().begin_update(X, drop)


def within(outer: str, form: str) -> Callable[..., Model]:
    return lambda nO=None, nI=None: getattr(models, outer)(Only(form, nO, nI))


def sequences(X: Any) -> list[Any]:
    return np.split(X, np.cumsum(LENGTHS)[:-1])


def pooled(function: Callable[[Any], Any]) -> Callable[[Model, Any], Any]:
    return lambda model, X: np.stack([function(x) for x in sequences(X)])


def window(X: Any, n: int) -> Any:
    """Column blocks of neighbours, by hand."""
    around = np.concatenate([np.zeros((n, X.shape[1])), X, np.zeros((n, X.shape[1]))])
    return np.array([around[t : t + 2 * n + 1].reshape(-1) for t in range(len(X))])


def bag_of_hashed_rows(model: Model, X: Any) -> Any:
    rows = named_params(model)["E"][hashes(X, model.attrs["seed"]) % NV].sum(axis=1)
    return np.stack([getattr(x, model.attrs["mode"])(axis=0) for x in sequences(rows)])


def sparse_linear(model: Model, X: Any) -> Any:
    params = named_params(model)
    rows = sum(params["W"][hash32(X, seed) % LENGTH] for seed in (0, 1)) * (X[:, None] + 1) / 4
    return np.stack([x.sum(axis=0) for x in sequences(rows)]) + params["b"]


def earlier_and_relu(nO: int | None, nI: int | None) -> Model:
    """A Relu of each row and those before and after it: it tells one direction from the other."""
    return models.chain(models.with_array(models.Relu(3, nI)), Sums(), models.with_array(models.Relu(nO or 1, 3)))


class Sums(Model):
    """Y[t] = X[0] + ... + X[t] of each sequence of Padded."""

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        return (
            replace(X, data=self.ops.xp.cumsum(X.data, axis=0) * self._there(X)),
            lambda dY, sgd=None: replace(
                dY, data=self.ops.xp.cumsum((dY.data * self._there(X))[::-1], axis=0)[::-1] * self._there(X)
            ),
        )

    def _there(self, X: Any) -> Any:
        xp = self.ops.xp
        return (xp.arange(X.data.shape[0])[:, None] < X.lengths)[..., None].astype(X.data.dtype)


def both_ways(model: Model, X: Any) -> Any:
    def one_way(layer: Model, x: Any) -> Any:
        first, _, second = layer.layers
        return within_relu(second, np.cumsum(within_relu(first, x), axis=0))

    forth, back = model.layers
    return np.concatenate(
        [np.concatenate([one_way(forth, x), one_way(back, x[::-1])[::-1]], axis=1) for x in sequences(X)]
    )


class Difference(Model):
    """Y = X[0] - X[1]."""

    def __init__(self) -> None:
        super().__init__(dims={"nO": None})

    def infer_dims(self, X: Any, Y: Any) -> None:
        super().infer_dims(None, X)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        return X[0] - X[1], lambda dY, sgd=None: (dY, -dY)


def attended(by_sequence: Callable[[Model, Any], Any], form: str) -> Callable[[Model, Any], Any]:
    """What mixes the rows of each sequence; an array is one."""
    if form == "array":
        return by_sequence
    return lambda model, X: np.concatenate([by_sequence(model, x) for x in sequences(X)])


def multi_head(model: Model, X: Any) -> Any:
    """Head by head."""
    params, heads = named_params(model), model.get_dim("nH")
    Q, K, V = (X @ W.T + b for W, b in zip(params["W"], params["b"], strict=True))
    hidden = np.full((len(X), len(X)), -np.inf) if model.attrs["causal"] else np.zeros((len(X), len(X)))
    outputs = []
    for q, k, v in zip(*(np.split(x, heads, axis=1) for x in (Q, K, V)), strict=True):
        outputs.append(softmax(q @ k.T / math.sqrt(q.shape[1]) + np.triu(hidden, 1)) @ v)
    return np.concatenate(outputs, axis=1) @ params["Wo"].T + params["bo"]


def parametric_attention(model: Model, X: Any) -> Any:
    return X * softmax(X @ named_params(model)["Q"])[:, None]


def with_positions(model: Model, X: Any) -> Any:
    t, width = np.arange(len(X)), X.shape[1]
    columns = [
        np.cos(t / model.attrs["period"] ** ((j - 1) / width))
        if j % 2
        # The last one of an odd width has no partner, and takes the pair before it.
        else np.sin(t / model.attrs["period"] ** ((j - (2 if j + 1 == width else 0)) / width))
        for j in range(width)
    ]
    return X + np.array(columns).T


def transformer(model: Model, X: Any) -> Any:
    attention, rows = (layer.layers[0] for layer in model.layers)
    norm, gelu_layer, linear, _ = rows.layers[0].layers
    X = X + multi_head(attention.layers[1], layer_norm(attention.layers[0].layers[0], X))
    return X + affine(linear, hidden(gelu)(gelu_layer, layer_norm(norm, X)))


_POOLS: dict[str, Callable[[Any], Any]] = {
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
    "max": lambda x: x.max(axis=0),
    "mean": lambda x: x.mean(axis=0),
    "sum": lambda x: x.sum(axis=0),
}

_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "Relu": relu,
    "ReluK": clipped(1, 0, 0, 6),
    "ClippedLinear": clipped(1, 0, 0, 1),
    "HardSigmoid": clipped(0.2, 0.5, 0, 1),
    "HardTanh": clipped(1, 0, -1, 1),
    "HardSwish": lambda Z: Z * np.clip(0.2 * Z + 0.5, 0, 1),
    "HardSwishMobilenet": lambda Z: Z * np.clip(Z + 3, 0, 6) / 6,
    "Swish": lambda Z: Z * sigmoid(Z),
    "Dish": dish,
    "Gelu": gelu,
    "GeluApprox": gelu_approx,
    "Mish": lambda Z: Z * np.tanh(softplus(Z)),
    "Elu": elu(1.0),
    "Softplus": softplus,
    "Tanh": np.tanh,
    "Sigmoid": sigmoid,
}

CASES = [
    *(LayerCase(name, getattr(models, name), hidden(function)) for name, function in _FUNCTIONS.items()),
    LayerCase("Relu", partial(models.Relu, normalize=True), relu_layer, label="normalize"),
    LayerCase("Relu", partial(models.Relu, dropout=0.4), relu_layer, label="dropout"),
    LayerCase("Gelu", partial(models.Gelu, normalize=True, dropout=0.4), hidden(gelu), label="all"),
    LayerCase("ReluK", partial(models.ReluK, k=0.5), hidden(clipped(1, 0, 0, 0.5)), label="k"),
    LayerCase("Elu", partial(models.Elu, alpha=0.3), hidden(elu(0.3)), label="alpha"),
    LayerCase(
        "ClippedLinear",
        partial(models.ClippedLinear, slope=0.5, offset=0.1, min_val=-0.2, max_val=0.4),
        hidden(clipped(0.5, 0.1, -0.2, 0.4)),
        label="line",
    ),
    LayerCase("Maxout", models.Maxout, maxout),
    LayerCase("Maxout", partial(models.Maxout, nP=2, normalize=True, dropout=0.4), maxout, label="all"),
    LayerCase("Linear", models.Linear, affine),
    LayerCase("Softmax", models.Softmax, lambda model, X: softmax(affine(model, X))),
    LayerCase(
        "Softmax",
        partial(models.Softmax, temperature=2.5),
        lambda model, X: softmax(affine(model, X) / 2.5),
        label="temperature",
    ),
    LayerCase("Softmax", partial(models.Softmax, normalize_outputs=False), affine, label="scores"),
    LayerCase("LayerNorm", lambda nO=None, nI=None: models.LayerNorm(nI), layer_norm, nO=NI),
    LayerCase("Embed", lambda nO=None, nI=None: models.Embed(nO, NV), rows_of_table, takes="ids"),
    LayerCase(
        "Embed",
        lambda nO=None, nI=None: models.Embed(nO, NV, column=1, dropout=0.4),
        rows_of_table,
        takes="ids",
        columns=2,
        label="column",
    ),
    LayerCase("HashEmbed", lambda nO=None, nI=None: models.HashEmbed(nO, NV), sums_of_hashed_rows, takes="ids"),
    LayerCase(
        "HashEmbed",
        lambda nO=None, nI=None: models.HashEmbed(nO, NV, seed=2**32 - 1, column=-1, dropout=0.4),
        sums_of_hashed_rows,
        takes="ids",
        columns=2,
        label="column",
    ),
    LayerCase("LSTM", models.LSTM, recurrent),
    LayerCase("LSTM", partial(models.LSTM, bi=True, depth=2, dropout=0.4), recurrent, label="all"),
    LayerCase("GRU", models.GRU, recurrent),
    LayerCase("GRU", partial(models.GRU, bi=True, depth=2, dropout=0.4), recurrent, label="all"),
    LayerCase("Dropout", without_dims(models.Dropout), lambda model, X: X, nO=NI, sized=False),
    LayerCase(
        "Dropout", without_dims(partial(models.Dropout, 0.4)), lambda model, X: X, NI, sized=False, label="rate"
    ),
    LayerCase("noop", without_dims(models.noop), lambda model, X: X, nO=NI, sized=False),
    LayerCase("Logistic", without_dims(models.Logistic), lambda model, X: sigmoid(X), nO=NI, sized=False),
    LayerCase(
        "sigmoid_activation",
        without_dims(models.sigmoid_activation),
        lambda model, X: sigmoid(X),
        nO=NI,
        sized=False,
    ),
    LayerCase(
        "softmax_activation",
        without_dims(models.softmax_activation),
        lambda model, X: softmax(X),
        nO=NI,
        sized=False,
    ),
    LayerCase(
        "chain",
        lambda nO=None, nI=None: models.chain(models.Relu(NO, nI), models.Relu(nO, nI and NO)),
        in_turn,
    ),
    LayerCase(
        "clone", lambda nO=None, nI=None: models.clone(models.Relu(nI, nI), 3), in_turn, nO=NI, label="three"
    ),
    LayerCase(
        "add",
        lambda nO=None, nI=None: models.add(models.Relu(nO, nI), models.Relu(nO, nI)),
        of_relus(lambda a, b: a + b),
    ),
    LayerCase(
        "concatenate",
        lambda nO=None, nI=None: models.concatenate(models.Relu(1, nI), models.Relu(NO - 1, nI)),
        of_relus(lambda a, b: np.concatenate([a, b], axis=1)),
    ),
    LayerCase(
        "residual",
        lambda nO=None, nI=None: models.residual(models.Relu(nI, nI)),
        lambda model, X: X + relu_layer(model.layers[0], X),
        nO=NI,
    ),
    *(
        LayerCase(name, around_relu(getattr(models, name)), within_relu, label=form, form=form)
        for name in ("with_array", "with_flatten")
        for form in ("array", "list", "ragged", "padded")
    ),
    LayerCase(
        "with_array", around_relu(partial(models.with_array, pad=2)), within_relu, label="pad", form="list"
    ),
    LayerCase(
        "with_array",
        lambda nO=None, nI=None: models.with_array(models.HashEmbed(nO, NV, seed=1)),
        lambda model, X: sums_of_hashed_rows(model.layers[0], X),
        takes="ids",
        label="ids",
        form="list",
    ),
    *(
        LayerCase(outer, within(outer, inner), within_within_relu, label=form, form=form)
        for outer, inner in (
            ("with_list", "list"),
            ("with_ragged", "ragged"),
            ("with_padded", "padded"),
        )
        for form in ("array", "list", "ragged", "padded")
        if (outer, form) != ("with_padded", "array")
    ),
    LayerCase("with_reshape", around_relu(models.with_reshape), within_relu),
    *(
        LayerCase(
            name, without_dims(getattr(models, name)), lambda model, X: X, NI, sized=False, form=form, gives=gives
        )
        for name, form, gives in (
            ("list2array", "list", "array"),
            ("list2ragged", "list", "ragged"),
            ("list2padded", "list", "padded"),
            ("ragged2list", "ragged", "list"),
            ("padded2list", "padded", "list"),
        )
    ),
    *(
        LayerCase(
            "concatenate",
            lambda nO=None, nI=None: models.concatenate(
                models.with_array(models.Relu(1, nI)), models.with_array(models.Relu(NO - 1, nI))
            ),
            lambda model, X: np.concatenate([within_relu(layer, X) for layer in model.layers], axis=1),
            label=form,
            form=form,
        )
        for form in ("list", "ragged", "padded")
    ),
    *(
        LayerCase(
            "residual",
            lambda nO=None, nI=None: models.residual(models.with_array(models.Relu(nI, nI))),
            lambda model, X: X + within_relu(model.layers[0], X),
            nO=NI,
            label=form,
            form=form,
        )
        for form in ("list", "ragged", "padded")
    ),
    *(
        LayerCase(
            "add",
            lambda nO=None, nI=None: models.add(
                models.with_array(models.Relu(nO, nI)), models.with_array(models.Relu(nO, nI))
            ),
            lambda model, X: sum(within_relu(layer, X) for layer in model.layers),
            label=form,
            form=form,
        )
        for form in ("list", "ragged", "padded")
    ),
    *(
        LayerCase(
            f"reduce_{how}",
            without_dims(getattr(models, f"reduce_{how}")),
            pooled(function),
            nO=NI,
            sized=False,
            label=form,
            form=form,
            gives="array",
            pools=True,
            needs_rows=how in ("first", "last", "max"),
        )
        for how, function in _POOLS.items()
        for form in ("list", "ragged", "padded")
    ),
    LayerCase(
        "expand_window", without_dims(models.expand_window), lambda model, X: window(X, 1), 3 * NI, sized=False
    ),
    *(
        LayerCase(
            "expand_window",
            without_dims(partial(models.expand_window, window_size=2)),
            lambda model, X: np.concatenate([window(x, 2) for x in sequences(X)]),
            5 * NI,
            sized=False,
            label=form,
            form=form,
        )
        for form in ("list", "ragged", "padded")
    ),
    *(
        LayerCase(
            "HashEmbedBag",
            lambda nO=None, nI=None, mode=mode: models.HashEmbedBag(nO, NV, seed=3, mode=mode),
            bag_of_hashed_rows,
            takes="ids",
            label=f"{mode} {form}",
            form=form,
            gives="array",
            pools=True,
        )
        for mode in ("mean", "sum")
        for form in ("list", "ragged", "padded")
    ),
    LayerCase(
        "SparseLinear",
        lambda nO=None, nI=None: models.SparseLinear(nO, LENGTH),
        sparse_linear,
        takes="ids",
        form="keys",
        gives="array",
        pools=True,
        needs_rows=True,
    ),
    LayerCase(
        "tuplify",
        lambda nO=None, nI=None: models.chain(
            models.tuplify(models.Relu(nO or NO, nI), models.Relu(nO or NO, nI)), Difference()
        ),
        lambda model, X: relu_layer(model.layers[0].layers[0], X) - relu_layer(model.layers[0].layers[1], X),
        sized=False,
    ),
    LayerCase(
        "siamese",
        lambda nO=None, nI=None: models.chain(
            models.tuplify(models.noop(), models.Relu(NI, nI)),
            models.siamese(models.Relu(nO or NO, nI), Difference()),
        ),
        lambda model, X: (
            relu_layer(model.layers[1].layers[0], X)
            - relu_layer(model.layers[1].layers[0], relu_layer(model.layers[0].layers[1], X))
        ),
        sized=False,
    ),
    LayerCase(
        "with_getitem",
        lambda nO=None, nI=None: models.chain(
            models.tuplify(models.noop(), models.Relu(NI, nI)),
            models.with_getitem(1, models.Relu(NI, nI)),
            Difference(),
        ),
        lambda model, X: X - relu_layer(model.layers[1].layers[0], relu_layer(model.layers[0].layers[1], X)),
        nO=NI,
        sized=False,
    ),
    LayerCase("map_list", around_relu(models.map_list), within_relu, form="list"),
    LayerCase(
        "array_getitem",
        without_dims(partial(models.array_getitem, (slice(None), slice(1, None, 2)))),
        lambda model, X: X[:, 1::2],
        nO=2,
        sized=False,
    ),
    LayerCase(
        "bidirectional",
        lambda nO=None, nI=None: models.bidirectional(
            earlier_and_relu(nO and 1, nI), earlier_and_relu(NO - 1, nI)
        ),
        both_ways,
        form="padded",
    ),
    *(
        LayerCase(
            "MultiHeadAttention",
            partial(
                models.MultiHeadAttention,
                heads=2,
                causal=form == "list",
                dropout=0.4 if form == "padded" else None,
            ),
            attended(multi_head, form),
            label=form,
            form=form,
        )
        for form, rate in (("array", None), ("list", None), ("ragged", None), ("padded", 0.4))
    ),
    *(
        LayerCase(
            name,
            make,
            attended(meaning, form),
            nO=NI,
            sized=name != "PositionEncode",
            label=form,
            form=form,
        )
        for name, make, meaning, forms in (
            (
                "ParametricAttention",
                lambda nO=None, nI=None: models.ParametricAttention(nI),
                parametric_attention,
                ("array", "ragged", "list"),
            ),
            (
                "PositionEncode",
                without_dims(models.PositionEncode),
                with_positions,
                ("array", "ragged", "padded"),
            ),
            (
                "TransformerEncoderLayer",
                lambda nO=None, nI=None: models.TransformerEncoderLayer(NI, heads=5, hidden=7),
                transformer,
                ("array", "ragged", "list", "padded"),
            ),
        )
        for form in forms
    ),
]
