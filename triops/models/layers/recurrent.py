"""What recurrent layers share: the sequences packed by step, and all weights in one vector."""

from __future__ import annotations

from typing import Any, ClassVar

from triops.errors import ArgumentError, DTypeError, ShapeError, UnknownLengths
from triops.models.adapters.conversions import RAGGED, convert, kind_of
from triops.models.initializers import Initializer, glorot_uniform_init, zero_init
from triops.models.layers.dropout import Dropout
from triops.models.model import Model
from triops.models.seeds import derive_seed
from triops.ops import Ops
from triops.ops.bounds import bounds
from triops.ops.formulas.places import packed_places
from triops.ragged import Padded, Ragged
from triops.types import Backprop, Floats1d, Floats2d, Ints1d, Shape

__all__ = ["RecurrentLayer"]


class RecurrentLayer(Model):
    """The weights of a recurrent network as one parameter, and the state that sequences start from as another. A
    subclass says how many gates there are, and runs the ops."""

    gates: ClassVar[int]
    weights: ClassVar[str]  # the name of the parameter
    starts: ClassVar[tuple[str, tuple[str | int, ...]]]  # name and dimensions

    def __init__(
        self,
        nO: int | None = None,
        nI: int | None = None,
        *,
        bi: bool = False,
        depth: int = 1,
        dropout: float = 0.0,
        init_W: Initializer = glorot_uniform_init,
        init_b: Initializer = zero_init,
    ) -> None:
        kind = type(self).__name__
        if depth < 1:
            raise ArgumentError(f"{kind}: depth must be 1 or more, got {depth}: use noop() for none")
        if bi and nO is not None and nO % 2:
            raise ArgumentError(f"{kind}: nO must be even with bi=True, half for each direction, got {nO}")
        super().__init__(
            dims={"nO": nO, "nI": nI, "depth": depth, "dirs": 2 if bi else 1, "nH": None, "weights": None},
            layers=[Dropout(dropout)],
        )
        self._init_W, self._init_b = init_W, init_b
        self.add_param(self.weights, ("weights",), self.draw_weights)
        self.add_param(*self.starts, zero_init)

    def infer_dims(self, X: Any, Y: Any) -> None:
        super().infer_dims(_rows_in(X), _rows_in(Y))
        nO, nI, depth, dirs = (self.get_dim(name) for name in ("nO", "nI", "depth", "dirs"))
        if nO % dirs:
            raise ShapeError(f"dimension nO: expected an even one, half for each direction, got {nO}")
        nH = nO // dirs
        self.set_dim("nH", nH)
        self.set_dim("weights", dirs * self.gates * nH * (nI + nH + 2 + (depth - 1) * (nO + nH + 2)))

    def initialize_layers(self, X: Any, Y: Any, seed: int) -> None:
        super().initialize_layers(None, None, seed)

    def draw_weights(self, ops: Ops, shape: Shape, seed: int) -> Floats1d:
        """Of each layer and direction Wx, bx, Wh, bh, each gate drawn by itself."""
        nH, dirs = self.get_dim("nH"), self.get_dim("dirs")
        parts = []
        for i in range(self.get_dim("depth")):
            columns = self.get_dim("nI") if i == 0 else self.get_dim("nO")
            for d in range(dirs):
                for name, extents in (("Wx", (nH, columns)), ("bx", (nH,)), ("Wh", (nH, nH)), ("bh", (nH,))):
                    init = self._init_W if len(extents) == 2 else self._init_b
                    for gate in range(self.gates):
                        part = init(ops, extents, derive_seed(seed, name, i, d, gate))
                        parts.append(part.reshape((-1,)))
        weights: Floats1d = ops.xp.concatenate(parts)
        return weights

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        if isinstance(X, list | tuple) and not X:
            return X, lambda dY, sgd=None: dY
        if not isinstance(X, Ragged | Padded | list | tuple):
            self.check_floats(X, width="nI")
        kind_of(self.ops, X)  # names what is no array in a list
        came = X
        if bounds() is not None:  # the lengths are not known: all kinds of sequences are as one
            X = convert(self.ops, X, RAGGED)
        batch = _Batch(self.ops, X)
        packed = batch.pack("X", X)
        self.check_floats(packed, width="nI")
        weights, backprop_dropout = self.layers[0].begin_update(self.get_param(self.weights), drop)
        Y, backprop_packed = self.begin_packed(packed, weights, batch.sizes, batch.count, drop is not None)

        def backprop(dY: Any, sgd: Any = None) -> Any:
            if came is not X:
                dY = convert(self.ops, dY, RAGGED)
            dX, d_weights = backprop_packed(batch.pack("dY", dY))
            self.inc_grad(self.weights, backprop_dropout(d_weights))
            return like_came(batch.unpack(dX))

        def like_came(data: Any) -> Any:
            return data if came is X else convert(self.ops, data, kind_of(self.ops, came), like=came)

        return like_came(batch.unpack(Y)), backprop

    def begin_packed(
        self, X: Floats2d, weights: Floats1d, sizes: Ints1d, count: int, training: bool
    ) -> tuple[Floats2d, Backprop]:
        """Y, and a callback that returns the gradients of X and of the weights."""
        raise NotImplementedError


class _Batch:
    """How the rows of a batch lie packed by step, and how they lie in the batch."""

    def __init__(self, ops: Ops, X: Any) -> None:
        self._ops, self._kind = ops, type(X)
        self._like = X
        host = ops.backend.host
        if isinstance(X, Padded):
            sizes = ops.to_numpy(X.size_at_t)
            self._rows, self._back = host.padded_order(sizes, X.data.shape[1])
        else:
            if isinstance(X, Ragged) and ops.backend.is_traced(X.lengths):
                self._pack_unknown(X)
                return
            if isinstance(X, Ragged):
                lengths = ops.to_numpy(X.lengths)
            elif isinstance(X, list | tuple):
                lengths = [x.shape[0] for x in X]
            else:
                lengths = [X.shape[0]]
            sizes, self._rows, self._back = host.packed_order(lengths)
        self.count = int(sizes[0]) if len(sizes) else 0
        self.sizes = ops.asarray(sizes, dtype="int32")
        self._lengths: Any = None if isinstance(X, Padded) else ops.asarray(lengths, dtype="int32")

    def _pack_unknown(self, X: Ragged) -> None:
        known = bounds()
        longest = None if known is None else known.longest_of(X.lengths)
        if longest is None:
            raise UnknownLengths(
                "the lengths of X must be known, and are not while compiling: keep this layer out of what is "
                "compiled"
            )
        rows, self.count, self._lengths = X.data.shape[0], len(X), X.lengths
        self.sizes, self._rows, self._back = packed_places(self._ops.xp, X.lengths, rows, longest)

    def pack(self, name: str, data: Any) -> Floats2d:
        """The rows of `data`, which is of the kind and has the lengths of the batch."""
        if not isinstance(data, self._kind) and isinstance(self._like, Ragged | Padded | list | tuple):
            raise DTypeError(
                f"{name} must be {self._kind.__name__}, as Y is, got {type(data).__name__}: give backprop the "
                f"gradient of the output that this call returned"
            )
        if isinstance(data, list | tuple):
            data = self._ops.flatten(data)
        elif isinstance(data, Ragged):
            data = data.data
        elif isinstance(data, Padded):
            steps, count, *others = data.data.shape
            data = data.data.reshape((steps * count, *others))
        entries = len(self._back)
        if data.shape[0] != entries:
            raise ShapeError(f"{name} must have {entries} rows, as its lengths say, got {data.shape[0]}")
        if len(self._rows) == 0 or self._is_single:
            first: Floats2d = data[: len(self._rows)]
            return first
        packed: Floats2d = self._ops.gather(data, self._index(self._rows))
        return packed

    def unpack(self, packed: Floats2d) -> Any:
        """A batch of such rows."""
        ops, like = self._ops, self._like
        if self._is_single:
            return packed
        if isinstance(like, Padded):
            gap = ops.alloc((1, packed.shape[1]), packed.dtype)
            rows = ops.gather(ops.xp.concatenate((packed, gap)), self._index(self._back))
            data = rows.reshape((*like.data.shape[:2], packed.shape[1]))
            return Padded(data, like.size_at_t, like.lengths, like.indices)
        rows = ops.gather(packed, self._index(self._back)) if len(self._back) else packed
        if isinstance(like, Ragged):
            return Ragged(rows, like.lengths)
        return self._kind(ops.unflatten(rows, self._lengths))

    def _index(self, places: Any) -> Ints1d:
        index: Ints1d = self._ops.asarray(places)
        return index

    @property
    def _is_single(self) -> bool:
        return not isinstance(self._like, Ragged | Padded | list | tuple)


def _rows_in(data: Any) -> Any:
    """An array that is as wide as the rows of a batch."""
    if isinstance(data, Ragged | Padded):
        return data.data
    if isinstance(data, list | tuple) and data and hasattr(data[0], "shape"):
        return data[0]
    return data
