"""The sizes of a layer, known from the start or inferred from a sample."""

from __future__ import annotations

from operator import index

from triops.errors import ArgumentError, ShapeError, UninitializedError

__all__ = ["Dims"]


class Dims:
    """The part of `Model` that holds dimensions."""

    name: str
    _dims: dict[str, int | None]

    @property
    def dim_names(self) -> tuple[str, ...]:
        """The dimensions of this node, set or not."""
        return tuple(self._dims)

    def has_dim(self, name: str) -> bool | None:
        """Whether there is such a dimension: None where it is there and not known yet."""
        if name not in self._dims:
            return False
        return True if self._dims[name] is not None else None

    def get_dim(self, name: str) -> int:
        """The size of a dimension; raises UninitializedError where it is not known yet."""
        size = self._dims.get(name)
        if size is None:
            what = "is not known yet" if name in self._dims else "does not exist"
            raise UninitializedError(
                f"dimension {name} {what}: give it to the layer, or call model.initialize(X, Y) with samples "
                f"of shape (N, nI) and (N, nO)"
            )
        return size

    def maybe_get_dim(self, name: str) -> int | None:
        """The size of a dimension, or None."""
        return self._dims.get(name)

    def set_dim(self, name: str, size: int, because: str = "") -> None:
        """Set a dimension; raises ShapeError where it has another size already."""
        if name not in self._dims:
            raise ArgumentError(f"{self.name} has no dimension {name!r}, only {list(self._dims)}")
        if isinstance(size, bool) or not hasattr(size, "__index__") or index(size) < 1:
            raise ArgumentError(f"{self.name}: dimension {name} must be a positive integer, got {size!r}")
        size = index(size)  # NumPy's integers are not saved
        known = self._dims[name]
        if known is not None and known != size:
            raise ShapeError(
                f"dimension {name}: expected {known}, got {size}{f' ({because})' if because else ''}: make "
                f"the layer with {name}={size}, or give it data of width {known}"
            )
        self._dims[name] = size
