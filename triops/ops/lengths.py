"""The checks of ops over sequences that lie one after another."""

from __future__ import annotations

from triops.errors import ArgumentError, ShapeError
from triops.ops.base import OpsBase
from triops.types import Array, Ints1d

__all__ = ["LengthOps"]


class LengthOps(OpsBase):
    """What lengths, and the number of rows they stand for, must be."""

    def _lengths(
        self, op: str, lengths: Ints1d, rows: int, *, least: int = 0, argument: str = "lengths"
    ) -> int | None:
        """Check integers from `least` on that add up to `rows`, and return the largest: their values only where
        no device has to wait, else None."""
        if type(lengths) in self._owned_types and lengths.dtype.kind in "iu" and lengths.ndim == 1:
            lowest, highest, total = self._extremes(lengths) if len(lengths) else (least, 0, 0)
            if lowest >= least and total == rows:
                return highest
        return self._check_lengths(op, lengths, rows, least, argument)

    def _check_lengths(self, op: str, lengths: Ints1d, rows: int, least: int, argument: str) -> int | None:
        """The same, where it is not seen at once."""
        self._ints(op, argument, lengths)
        self._rank(op, argument, lengths, 1)
        highest = total = 0
        if lengths.shape[0]:
            if not self.can_look(lengths):
                return None
            lowest, highest, total = self._extremes(lengths)
            if lowest < least:
                hint = ": leave empty sequences out" if lowest == 0 else ""
                raise ShapeError(f"{op}: {argument} must all be {least} or more, got {lowest}{hint}")
        if total != rows:
            raise ShapeError(f"{op}: {argument} must add up to the number of rows, {rows}, got {total}")
        return highest

    def _rows_of(self, op: str, lengths: Ints1d, rows: int | None, *, least: int = 0) -> int:
        """The number of rows, from the lengths where it is not given."""
        if rows is None:
            self._ints(op, "lengths", lengths)
            if lengths.ndim != 1:
                self._rank(op, "lengths", lengths, 1)
            if type(lengths) not in self._owned_types:
                self._known(op, "lengths", lengths)
            lowest, _, rows = self._extremes(lengths) if lengths.shape[0] else (least, 0, 0)
            if lowest >= least:
                return rows
            rows = max(0, rows)
        self._lengths(op, lengths, rows, least=least)
        return rows

    def _rows_at(self, op: str, argument: str, places: Ints1d, rows: int | None, *, after: int) -> int:
        """The number of rows, where the last of `places` that grow is `after` rows before their end."""
        if places.shape[0] and self.can_look(places):
            lowest, highest, _ = self._extremes(places)
            if lowest < 0 or (places.shape[0] > 1 and self.backend.rises(places)[0] <= 0):
                values = self.backend.to_numpy(places)[:10].tolist()
                raise ShapeError(f"{op}: {argument} must be from 0 on and grow, got {values}")
            if rows is None:
                return highest + after
            if highest + after != rows:
                raise ShapeError(
                    f"{op}: {argument} must end with the number of rows, {rows}, got {highest + after}"
                )
        elif rows is None:
            self._known(op, argument, places)
            return int(self.backend.to_numpy(places)[-1]) + after if places.shape[0] else 0
        return rows

    def _known(self, op: str, argument: str, array: Array) -> None:
        if self.backend.is_traced(array):
            raise ArgumentError(
                f"{op}: rows must be given while compiling, since the values of {argument} are not known: "
                f"pass rows=X.shape[0]"
            )
