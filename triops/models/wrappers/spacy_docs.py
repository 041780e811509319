"""spaCy's Docs as what triops' models read: 64-bit ids of words, their norms, prefixes, suffixes and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import index
from typing import Any

from triops.errors import ArgumentError, BackendUnavailable, DTypeError
from triops.models.model import Model
from triops.ops import Ops, get_current_ops
from triops.ragged import Ragged
from triops.types import Backprop

try:
    from spacy.attrs import IDS
except ImportError as error:
    raise BackendUnavailable(
        f"features of Docs need the package spacy ({error}): pip install 'triops[spacy]'"
    ) from error

__all__ = ["FEATURES", "FeatureExtractor", "extract_features", "stream_features"]

FEATURES = ("NORM", "PREFIX", "SUFFIX", "SHAPE")


def extract_features(
    docs: Iterable[Any], attrs: Sequence[str | int] = FEATURES, *, ops: Ops | None = None
) -> list[Any]:
    """Of each Doc (or Span) the ids of its tokens: (tokens, len(attrs)) uint64.

    attrs: names of spaCy's attributes, or their numbers. An id is the 64-bit hash of a string in
    `nlp.vocab.strings`, or the value of a flag. ops: the ops of the arrays, the current ones where they are left
    out. Raises ArgumentError for an attribute that spaCy does not have, DTypeError where something is no Doc.
    """
    numbers, ops = _numbers_of(attrs), ops or get_current_ops()
    return [_ids_of(doc, numbers, ops) for doc in docs]


def stream_features(
    nlp: Any,
    texts: Iterable[Any],
    attrs: Sequence[str | int] = FEATURES,
    *,
    batch_size: int = 1000,
    ragged: bool = False,
    ops: Ops | None = None,
    **pipe: Any,
) -> Iterator[Any]:
    """The features of texts in batches, as `nlp.pipe` makes Docs of them: no more texts than a batch are read
    ahead.

    Each batch is a list of arrays, as from `extract_features`, or with `ragged` one Ragged. pipe: further
    arguments of `nlp.pipe`, such as n_process or disable. Raises ArgumentError where batch_size is no positive
    integer.
    """
    if not hasattr(batch_size, "__index__") or index(batch_size) < 1:
        raise ArgumentError(f"stream_features: batch_size must be an integer from 1, got {batch_size!r}")
    _numbers_of(attrs)
    return _stream(
        nlp.pipe(texts, batch_size=batch_size, **pipe), attrs, batch_size, ragged, ops or get_current_ops()
    )


def _stream(docs: Iterator[Any], attrs: Sequence[str | int], size: int, ragged: bool, ops: Ops) -> Iterator[Any]:
    batch: list[Any] = []
    for doc in docs:
        batch.append(doc)
        if len(batch) == size:
            yield _packed(extract_features(batch, attrs, ops=ops), ragged, ops)
            batch = []
    if batch:
        yield _packed(extract_features(batch, attrs, ops=ops), ragged, ops)


def _packed(arrays: list[Any], ragged: bool, ops: Ops) -> Any:
    if not ragged:
        return arrays
    return Ragged(ops.flatten(arrays), ops.asarray([len(array) for array in arrays], dtype="int32"))


class FeatureExtractor(Model):
    """Y = the ids of each Doc's tokens, to be hashed: a model's first layer.

    X: Docs or Spans. Y: a list of (tokens, columns) uint64 arrays. columns: names of spaCy's attributes.
    `backprop` returns None.
    """

    def __init__(self, columns: Sequence[str | int] = FEATURES) -> None:
        _numbers_of(columns)
        super().__init__(attrs={"columns": list(columns)})

    def begin_update(self, X: Any, drop: float | None = 0.0) -> tuple[Any, Backprop]:
        return extract_features(X, self.attrs["columns"], ops=self.ops), lambda dY, sgd=None: None


def _numbers_of(attrs: Sequence[str | int]) -> list[int]:
    if isinstance(attrs, str) or not len(attrs):
        raise ArgumentError(f"attrs must be a list of spaCy's attributes, as {list(FEATURES)}, got {attrs!r}")
    numbers = [attr if isinstance(attr, int) else IDS.get(attr) for attr in attrs]
    if None in numbers or not set(numbers) <= set(IDS.values()):
        raise ArgumentError(
            f"spaCy has not all of the attributes {list(attrs)}: name some such as {', '.join(FEATURES)}"
        )
    return numbers


def _ids_of(doc: Any, numbers: list[int], ops: Ops) -> Any:
    if not hasattr(doc, "to_array"):
        raise DTypeError(
            f"features are those of spaCy's Docs or Spans, got {type(doc).__name__}: make one with nlp(text)"
        )
    ids = doc.to_array(numbers)
    return ops.asarray(ids.reshape(len(doc), len(numbers)), dtype="uint64")
