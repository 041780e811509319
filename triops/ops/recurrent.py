"""Recurrent networks over sequences of unequal lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from triops.errors import ArgumentError, ShapeError
from triops.ops.lengths import LengthOps
from triops.types import Array, Floats1d, Floats2d, Floats3d, FloatsXd, Ints1d

__all__ = ["RecurrentOps"]

State: TypeAlias = tuple[FloatsXd, ...]


class RecurrentOps(LengthOps):
    """lstm and gru: forward for training, forward for inference, and gradients; several layers, one or two
    directions.

    X: (T, nI), the sequences packed by step: row 0 of all N sequences, the longest first, then row 1 of all that
    have one, and so on. size_at_t: (L,) integers, how many sequences have a row t: from N on, falling, adding up
    to T. H0, C0: (depth, dirs, nO), what each layer and direction starts from; dirs is 1, or 2 for a second one
    that reads the sequences from their ends. A layer's input is the output of the one before, both directions
    side by side. params: of each layer, of each direction, one after another: Wx (K nO, n), bx (K nO,),
    Wh (K nO, nO), bh (K nO,), for the K gates and n columns of input. sequences: N; None reads it from size_at_t,
    which waits for the device on an accelerator, and cannot be while compiling. Half precision computes in
    float32.

    Raises ShapeError for shapes that do not fit each other, and, where they lie on the host, for sizes that rise
    or do not add up.
    """

    def lstm_forward_training(
        self,
        params: Floats1d,
        H0: Floats3d,
        C0: Floats3d,
        X: Floats2d,
        size_at_t: Ints1d,
        sequences: int | None = None,
    ) -> tuple[Floats2d, State]:
        """f, i, o = σ(Wx x + bx + Wh h + bh) by their parts, g = tanh(...) of the fourth; c' = f c + i g;
        h' = o tanh(c'). Hochreiter and Schmidhuber 1997, Long Short-Term Memory; Gers et al. 2000, for f.

        params, H0, C0, X, size_at_t, sequences: see the class; K is 4, the gates in Thinc's order f, i, o, g.
        Returns Y: (T, dirs nO), and what `backprop_lstm` needs: Y (depth, T, dirs, nO), gates (depth, T, dirs,
        4, nO), cells (depth, T, dirs, nO), X, H0, C0.
        """
        op = "lstm_forward_training"
        count = self._lstm(op, params, H0, C0, X, size_at_t, sequences)
        Y, state = self._kernels[op](params, H0, C0, X, size_at_t, sequences=count, scan=self.backend.scan)
        return Y, state

    def lstm_forward_inference(
        self,
        params: Floats1d,
        H0: Floats3d,
        C0: Floats3d,
        X: Floats2d,
        size_at_t: Ints1d,
        sequences: int | None = None,
    ) -> Floats2d:
        """`lstm_forward_training` without what a gradient needs.

        params, H0, C0, X, size_at_t, sequences: as there. Returns Y: (T, dirs nO).
        """
        op = "lstm_forward_inference"
        count = self._lstm(op, params, H0, C0, X, size_at_t, sequences)
        Y: Floats2d = self._kernels[op](params, H0, C0, X, size_at_t, sequences=count, scan=self.backend.scan)
        return Y

    def backprop_lstm(
        self,
        dY: Floats2d,
        size_at_t: Ints1d,
        params: Floats1d,
        fwd_state: State,
        sequences: int | None = None,
    ) -> tuple[Floats2d, Floats1d, Floats3d, Floats3d]:
        """The gradients of `lstm_forward_training` by X, params, H0 and C0; Thinc has the first two alone.

        dY: (T, dirs nO). size_at_t, params, sequences: as given forward. fwd_state: from there. Returns dX:
        (T, nI), d_params, dH0 and dC0 as their values.
        """
        op = "backprop_lstm"
        self._fit_state(op, fwd_state, 6, lstm=True)
        Y, G, C, X, H0, C0 = fwd_state
        self._floats(op, "dY params Y gates cells X H0 C0", dY, params, Y, G, C, X, H0, C0)
        count = self._lstm(op, params, H0, C0, X, size_at_t, sequences)
        self._gradient_of(op, dY, Y, G, H0, X)
        self._shape(op, "fwd_state[2]", C, Y.shape, "as fwd_state[0]")
        dX, d_params, dH0, dC0 = self._kernels[op](
            dY, size_at_t, params, tuple(fwd_state), sequences=count, scan=self.backend.scan
        )
        return dX, d_params, dH0, dC0

    def gru_forward_training(
        self, params: Floats1d, H0: Floats3d, X: Floats2d, size_at_t: Ints1d, sequences: int | None = None
    ) -> tuple[Floats2d, State]:
        """r, z = σ(Wx x + bx + Wh h + bh) by their parts; n = tanh(Wx x + bx + r (Wh h + bh)) of the third;
        h' = (1 - z) n + z h. Cho et al. 2014, Learning Phrase Representations using RNN Encoder-Decoder, in the
        form that cuDNN and PyTorch have.

        params, H0, X, size_at_t, sequences: see the class; K is 3, the gates in PyTorch's order r, z, n. Returns
        Y: (T, dirs nO), and what `backprop_gru` needs: Y (depth, T, dirs, nO), gates r, z, n and Wh h + bh of
        the third (depth, T, dirs, 4, nO), X, H0.
        """
        op = "gru_forward_training"
        count = self._gru(op, params, H0, X, size_at_t, sequences)
        Y, state = self._kernels[op](params, H0, X, size_at_t, sequences=count, scan=self.backend.scan)
        return Y, state

    def gru_forward_inference(
        self, params: Floats1d, H0: Floats3d, X: Floats2d, size_at_t: Ints1d, sequences: int | None = None
    ) -> Floats2d:
        """`gru_forward_training` without what a gradient needs.

        params, H0, X, size_at_t, sequences: as there. Returns Y: (T, dirs nO).
        """
        op = "gru_forward_inference"
        count = self._gru(op, params, H0, X, size_at_t, sequences)
        Y: Floats2d = self._kernels[op](params, H0, X, size_at_t, sequences=count, scan=self.backend.scan)
        return Y

    def backprop_gru(
        self,
        dY: Floats2d,
        size_at_t: Ints1d,
        params: Floats1d,
        fwd_state: State,
        sequences: int | None = None,
    ) -> tuple[Floats2d, Floats1d, Floats3d]:
        """The gradients of `gru_forward_training` by X, params and H0.

        dY: (T, dirs nO). size_at_t, params, sequences: as given forward. fwd_state: from there. Returns dX:
        (T, nI), d_params and dH0 as their values.
        """
        op = "backprop_gru"
        self._fit_state(op, fwd_state, 4, lstm=False)
        Y, G, X, H0 = fwd_state
        self._floats(op, "dY params Y gates X H0", dY, params, Y, G, X, H0)
        count = self._gru(op, params, H0, X, size_at_t, sequences)
        self._gradient_of(op, dY, Y, G, H0, X)
        dX, d_params, dH0 = self._kernels[op](
            dY, size_at_t, params, tuple(fwd_state), sequences=count, scan=self.backend.scan
        )
        return dX, d_params, dH0

    # -- the checks

    def _lstm(
        self, op: str, params: Floats1d, H0: Floats3d, C0: Floats3d, X: Floats2d, sizes: Ints1d, N: int | None
    ) -> int:
        self._floats(op, "params H0 C0 X", params, H0, C0, X)
        count = self._network(op, 4, params, H0, X, sizes, N)
        if C0.shape != H0.shape:
            self._shape(op, "C0", C0, H0.shape, "as H0")
        return count

    def _gru(self, op: str, params: Floats1d, H0: Floats3d, X: Floats2d, sizes: Ints1d, N: int | None) -> int:
        self._floats(op, "params H0 X", params, H0, X)
        return self._network(op, 3, params, H0, X, sizes, N)

    def _network(
        self, op: str, gates: int, params: Floats1d, H0: Floats3d, X: Floats2d, sizes: Ints1d, N: int | None
    ) -> int:
        """Check how params, H0 and X fit each other, and return the number of sequences."""
        if (params.ndim, H0.ndim, X.ndim) != (1, 3, 2):
            for argument, array, ndim in (("params", params, 1), ("H0", H0, 3), ("X", X, 2)):
                self._rank(op, argument, array, ndim)
        depth, dirs, nO = H0.shape
        if depth < 1 or dirs not in (1, 2) or nO < 1:
            raise ShapeError(
                f"{op}: H0 must have shape (depth, 1 or 2 directions, nO), each 1 or more, got {tuple(H0.shape)}"
            )
        later = (depth - 1) * (dirs * nO + nO + 2)
        expected = gates * nO * dirs * (X.shape[1] + nO + 2 + later)
        if params.shape[0] != expected:
            because = f"{depth} layers, {dirs} directions, nO {nO} and {X.shape[1]} columns in X"
            self._shape(op, "params", params, (expected,), because)
        return self._sequences_of(op, sizes, X.shape[0], N)

    def _sequences_of(self, op: str, sizes: Ints1d, rows: int, N: int | None) -> int:
        self._ints(op, "size_at_t", sizes)
        if sizes.ndim != 1:
            self._rank(op, "size_at_t", sizes, 1)
        if self.backend.is_traced(sizes) and N is None:
            raise ArgumentError(
                f"{op}: sequences must be given while compiling, since the values of size_at_t are not known: "
                f"pass how many sequences there are"
            )
        if N is not None and not self.can_look(sizes):
            return N
        steps = sizes.shape[0]
        lowest, count, total = self._extremes(sizes) if steps else (0, 0, 0)
        if lowest < 0 or (steps > 1 and self.backend.rises(sizes)[1] > 0):
            values = self.backend.to_numpy(sizes)[:10].tolist()
            raise ShapeError(f"{op}: size_at_t must fall, and not below 0, got {values}: sort by length")
        if total != rows:
            raise ShapeError(f"{op}: size_at_t must add up to the rows of X, {rows}, got {total}")
        if N not in (None, count):
            raise ShapeError(f"{op}: size_at_t must start with the number of sequences, {N}, got {count}")
        return count

    def _fit_state(self, op: str, state: Sequence[Array], count: int, *, lstm: bool) -> None:
        forward = "lstm_forward_training" if lstm else "gru_forward_training"
        if not isinstance(state, tuple | list) or len(state) != count:
            what = f"{len(state)} of them" if isinstance(state, tuple | list) else type(state).__name__
            raise ArgumentError(f"{op}: fwd_state must be the {count} arrays that {forward} returned, got {what}")

    def _gradient_of(self, op: str, dY: Floats2d, Y: FloatsXd, G: FloatsXd, H0: Floats3d, X: Floats2d) -> None:
        depth, dirs, nO = H0.shape
        shape = (depth, X.shape[0], dirs, nO)
        self._shape(op, "dY", dY, (X.shape[0], dirs * nO), "as Y")
        self._shape(op, "fwd_state[0]", Y, shape, "layers, rows, directions, nO")
        self._shape(op, "fwd_state[1]", G, (*shape[:3], 4, nO), "layers, rows, directions, gates, nO")
