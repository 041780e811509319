"""What `TriopsClassifier` and `TriopsRegressor` train with: batches of NumPy or sparse rows as a model takes
them, passes over the data, and how far they are, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from scipy.sparse import csr_array, issparse

from triops.models.layers import SparseLinear
from triops.models.model import Model

__all__ = ["as_batch", "predicted", "show_epochs", "train_epoch"]

Losses = Callable[[Any, Any], tuple[Any, Any]]


def as_batch(model: Model, X: Any) -> Any:
    """Rows as the model takes them: dense, or as (keys, values, lengths) where SparseLinear comes first, the
    columns being the keys."""
    ops = model.ops
    if not _takes_keys(model):
        return ops.asarray(X.toarray() if issparse(X) else X, X.dtype)
    rows = csr_array(X)
    parts = rows.indices.astype("uint64"), rows.data, np.diff(rows.indptr).astype("int32")
    return tuple(ops.asarray(part, part.dtype) for part in parts)


def _takes_keys(model: Model) -> bool:
    while model.layers and not isinstance(model, SparseLinear):
        model = model.layers[0]
    return isinstance(model, SparseLinear)


def predicted(model: Model, X: Any, size: int) -> Any:
    """The model's output for all rows, as NumPy."""
    starts = range(0, X.shape[0], size)
    batches = (model.predict(as_batch(model, X[start : start + size])) for start in starts)
    return np.concatenate([model.ops.to_numpy(Y) for Y in batches])


def train_epoch(
    model: Model, X: Any, T: Any, weights: Any, order: Any, size: int, drop: float, losses: Losses, optimizer: Any
) -> float:
    """One pass over the rows in that order, an update for each batch of `size`; the mean loss, weighted.

    T: N targets. weights: (N,), with which the rows of a batch count in its mean. losses: from outputs and
    targets to the loss of each row, and the gradient of their sum.
    """
    ops = model.ops
    total: Any = 0.0
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        weight = ops.asarray(weights[rows], weights.dtype)
        Yh, backprop = model.begin_update(as_batch(model, X[rows]), drop)
        row_losses, gradient = losses(Yh, T[rows])
        backprop(gradient * (weight / len(rows))[:, None], sgd=optimizer)
        total = total + (row_losses * weight).sum()
    return float(total) / float(weights[order].sum())


@contextmanager
def show_epochs(wanted: bool, epochs: int) -> Iterator[Callable[[int, str], None]]:
    """A function to call after each epoch with its number and its figures: a bar, or a line after 1, 2, 4, 8...
    seconds and at the end where stderr is no terminal."""
    if not wanted:
        yield lambda epoch, figures: None
        return
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}, left"),
            TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=console) as progress:
            task = progress.add_task("", total=epochs)
            yield lambda epoch, figures: progress.update(task, description=figures, completed=epoch)
        return
    line, next_line, started = "", 1.0, monotonic()

    def update(epoch: int, figures: str) -> None:
        nonlocal line, next_line
        line = f"epoch {epoch} of {epochs}: {figures}"
        if (seconds := monotonic() - started) > next_line:
            console.print(line, soft_wrap=True)
            line, next_line = "", 2 * seconds

    yield update
    if line:
        console.print(line, soft_wrap=True)
