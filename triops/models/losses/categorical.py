"""Categorical cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from operator import index
from typing import Any, NamedTuple

from triops.errors import ArgumentError, DTypeError, ShapeError
from triops.models.losses.loss import Loss
from triops.ops import Ops
from triops.ops.base import is_float
from triops.types import Floats2d

__all__ = ["CategoricalCrossentropy", "SequenceCategoricalCrossentropy"]

_MISSING = -(2**31)  # no label, so that a -1 that nobody could look at is not taken for missing


class Labels(NamedTuple):
    """Truths as arrays: the class of each row, and the class that each row is not, `_MISSING` for none."""

    labels: Any
    refuted: Any


class CategoricalCrossentropy(Loss):
    """loss = -Σ truths log(guesses) / N, in nats, and its gradient with respect to the logits,
    (guesses - truths) / N, which is what a `Softmax` layer's backprop takes.

    guesses: (N, C) probabilities, or logits where `from_logits`: then the gradient is that of the guesses
    themselves, for a `Linear` output. truths: N labels, as a list of class numbers or of names, or as an integer
    array of the guesses' backend; or (N, C) probabilities, or 0 and 1, as such an array.

    normalize: divide by N. names: the classes' names, in order, where labels are names. missing_value: the label
    of a row that has none, and neither loss nor gradient; None in a list always is one. neg_prefix: a name with
    it, "!NOUN", says which class is wrong and nothing of the others: the row's loss is -log(1 - guess) of that
    class, its gradient guess / N there and 0 elsewhere, as in Thinc. label_smoothing: the probability that a
    label's row shares out evenly among the other classes. Szegedy et al. 2016, Rethinking the Inception
    Architecture.
    """

    def __init__(
        self,
        *,
        normalize: bool = True,
        names: Sequence[str] | None = None,
        missing_value: str | int | None = None,
        neg_prefix: str | None = None,
        label_smoothing: float = 0.0,
        from_logits: bool = False,
    ) -> None:
        if not 0 <= label_smoothing < 1:
            raise ArgumentError(
                f"{self._name}: label_smoothing must be from 0 up to, not including, 1, got {label_smoothing}"
            )
        self.normalize = normalize
        self.names = None if names is None else list(names)
        self.missing_value = missing_value
        self.neg_prefix = neg_prefix
        self.label_smoothing = label_smoothing
        self.from_logits = from_logits
        self._number_of = {name: i for i, name in enumerate(self.names or ())}

    def __call__(self, guesses: Floats2d, truths: Any) -> tuple[Floats2d, Any]:
        ops = self._checked_guesses(guesses)
        backend = ops.backend
        are_labels = backend.is_array(truths) and truths.ndim == 1
        if backend.compiler is None or not are_labels or backend.is_traced(guesses):
            return self._computed(ops, guesses, truths)
        ops.check_owner(self._name, "truths", truths)
        self._check_labels(ops, truths, guesses.shape[1])
        if not self.from_logits:
            self._check_probabilities(ops, "guesses", guesses)
        names = ("normalize", "missing_value", "label_smoothing", "from_logits")
        settings = tuple((name, getattr(self, name)) for name in names)
        together: tuple[Floats2d, Any] = _as_one(ops)(guesses, truths, settings=settings)
        return together

    def _computed(self, ops: Ops, guesses: Floats2d, truths: Any) -> tuple[Floats2d, Any]:
        xp = ops.xp
        if not self.from_logits:
            self._check_probabilities(ops, "guesses", guesses)
            if self._is_a_label_each(ops, truths):
                return self._of_labels(ops, guesses, truths)
        target, known, refuted = self._targets(ops, guesses, truths)
        own = self._counted(ops, guesses)
        known = known * own
        if self.from_logits:
            probabilities, logs = ops.softmax(guesses), ops.log_softmax(guesses)
        else:
            probabilities = guesses
            logs = xp.log(xp.maximum(guesses, xp.finfo(guesses.dtype).tiny))
        refuted = None if refuted is None else refuted * own
        counted = known if refuted is None else known + refuted
        loss = -(xp.where(target == 0, 0, target * logs) * known).sum()
        if refuted is not None:
            rest = xp.maximum(1 - probabilities, xp.finfo(guesses.dtype).tiny)
            loss = loss - (xp.log(rest) * refuted).sum()
        N = self._divisor(guesses)
        return (probabilities - target) * counted / N, loss / N

    def _is_a_label_each(self, ops: Ops, truths: Any) -> bool:
        """Whether truths are the classes' numbers, and none is missing."""
        plain = self.missing_value is None and not self.label_smoothing and ops.backend.is_array(truths)
        return plain and truths.ndim == 1

    def _of_labels(self, ops: Ops, guesses: Floats2d, labels: Any) -> tuple[Floats2d, Any]:
        self._check_count(guesses, labels)
        ops.check_owner(self._name, "truths", labels)
        self._check_labels(ops, labels, guesses.shape[1])
        N, counted = self._divisor(guesses), self._counted(ops, guesses)
        if not ops.can_look(labels):
            counted = counted * _fitting(ops, labels, guesses)
        if isinstance(counted, int):
            losses, gradient = ops.label_cross_entropy(guesses, labels, 1 / N)
            return gradient, losses.sum() / N
        losses, gradient = ops.label_cross_entropy(guesses, labels)
        return gradient * counted / N, (losses[:, None] * counted).sum() / N

    def prepared(self, ops: Ops, truths: Any, classes: int | None) -> Any:
        most = 2**31 - 1 if classes is None else classes
        if isinstance(truths, list | tuple):
            return truths if isinstance(truths, Labels) else Labels(*self._label_list(ops, truths, most))
        if ops.backend.is_array(truths) and truths.ndim == 1:
            self._check_labels(ops, truths, most)
        return truths

    def _targets(self, ops: Ops, guesses: Floats2d, truths: Any) -> tuple[Any, Any, Any]:
        """The target of each entry; a mask of the rows that have one; a mask of refuted entries, or None."""
        self._check_count(guesses, truths.labels if isinstance(truths, Labels) else truths)
        if isinstance(truths, Labels):
            labels, refuted = truths
        elif not isinstance(truths, list | tuple):
            ops.check_owner(self._name, "truths", truths)
            if truths.ndim == 2:
                return self._distribution(ops, guesses, truths)
            labels, refuted = self._label_array(ops, truths, guesses.shape[1]), None
        else:
            labels, refuted = self._label_list(ops, truths, guesses.shape[1])
        one_hot = _one_hot(ops, labels, guesses)
        known = ops.xp.where((labels == _MISSING)[:, None], 0, _fitting(ops, labels, guesses))
        if self.label_smoothing:
            off = self.label_smoothing / max(guesses.shape[1] - 1, 1)
            share = ops.asarray([off, 1.0 - self.label_smoothing - off], dtype=guesses.dtype)
            one_hot = (one_hot * share[1] + share[0]) * known
        return one_hot, known, None if refuted is None else _one_hot(ops, refuted, guesses)

    def _distribution(self, ops: Ops, guesses: Floats2d, truths: Any) -> tuple[Any, Any, None]:
        if self.label_smoothing:
            raise ArgumentError(
                f"{self._name}: label_smoothing is for labels; truths of shape {tuple(truths.shape)} are "
                f"distributions already: smooth them yourself, or give labels"
            )
        if not is_float(truths.dtype):
            truths = truths.astype(guesses.dtype)
        self._check_truths(ops, guesses, truths)
        self._check_probabilities(ops, "truths", truths)
        known = ops.xp.ones_like(truths[:, :1])
        if self._missing_number is not None:
            top = truths.astype("float32").argmax(axis=1)  # JAX finds none among float64
            known = ops.xp.where(top[:, None] == self._missing_number, 0, known)
        return truths, known, None

    def _check_count(self, guesses: Floats2d, truths: Any) -> None:
        if not hasattr(truths, "__len__"):
            raise DTypeError(
                f"{self._name}: truths must be a list of labels or an array, got {type(truths).__name__}: give "
                f"one truth for each guess"
            )
        if len(truths) != len(guesses):
            raise ShapeError(
                f"{self._name}: expected a truth for each of the {len(guesses)} guesses, got {len(truths)}"
            )

    def _check_labels(self, ops: Ops, truths: Any, classes: int) -> None:
        if truths.ndim != 1:
            raise ShapeError(
                f"{self._name}: truths must be labels, (N,), or distributions, (N, C), got shape "
                f"{tuple(truths.shape)}"
            )
        if is_float(truths.dtype):
            self._refuse_nan(ops, truths[:, None])
        if truths.dtype.kind not in "iu":
            raise DTypeError(
                f"{self._name}: labels must be integers, got {truths.dtype}: convert them with "
                f"ops.asarray(truths, dtype='int64')"
            )
        missing = self._missing_number
        if ops.can_look(truths):
            present = ops.to_numpy(truths)  # in the width they came in, since int32 would wrap around
            present = present if missing is None else present[present != missing]
            # Without a sign, one that is below 0 is too high as well.
            if present.size and present.view(f"u{present.dtype.itemsize}").max() >= classes:
                wrong = next(number for number in present.tolist() if not 0 <= number < classes)
                raise ArgumentError(self._out_of_range(wrong, classes))

    def _label_array(self, ops: Ops, truths: Any, classes: int) -> Any:
        self._check_labels(ops, truths, classes)
        labels, missing = truths.astype("int32"), self._missing_number
        return labels if missing is None else ops.xp.where(labels == missing, _MISSING, labels)

    @property
    def _missing_number(self) -> int | None:
        return None if isinstance(self.missing_value, str) else self.missing_value

    def _label_list(self, ops: Ops, truths: Sequence[Any], classes: int) -> tuple[Any, Any]:
        labels, refuted = [], []
        for row, truth in enumerate(truths):
            negative = bool(self.neg_prefix and isinstance(truth, str) and truth.startswith(self.neg_prefix))
            name = truth[len(self.neg_prefix or "") :] if negative else truth
            number = self._number(row, name, classes)
            labels.append(_MISSING if negative else number)
            refuted.append(number if negative else _MISSING)
        some_refuted = any(number != _MISSING for number in refuted)
        return (
            ops.asarray(labels, dtype="int32"),
            ops.asarray(refuted, dtype="int32") if some_refuted else None,
        )

    def _number(self, row: int, truth: Any, classes: int) -> int:
        if truth is None or (self.missing_value is not None and truth == self.missing_value):
            return _MISSING
        if isinstance(truth, str):
            if truth not in self._number_of:
                known = f"one of {self.names}" if self.names else "known: give the classes' names as names="
                raise ArgumentError(f"{self._name}: label {truth!r} in row {row} must be {known}")
            return self._number_of[truth]
        try:
            number = index(truth)
        except TypeError as error:
            raise DTypeError(
                f"{self._name}: label {truth!r} in row {row} must be a class number or a name; mark a missing "
                f"one with None"
            ) from error
        if not 0 <= number < classes:
            raise ArgumentError(f"{self._out_of_range(number, classes)} in row {row}")
        return number

    def _out_of_range(self, label: int, classes: int) -> str:
        return (
            f"{self._name}: labels must be from 0 to {classes - 1}, one for each column of the guesses, or "
            f"missing (None in a list, or missing_value), got {label}"
        )

    def _check_probabilities(self, ops: Ops, argument: str, values: Floats2d) -> None:
        if not ops.can_look(values):
            return
        host = ops.to_numpy(values)
        lowest, highest = float(host.min()), float(host.max())
        if lowest < 0 or highest > 1:
            hint = " or make the loss with from_logits=True," if argument == "guesses" else ""
            raise ArgumentError(
                f"{self._name}: {argument} must be probabilities from 0 to 1, got values from {lowest:.4g} to "
                f"{highest:.4g}: end the model with Softmax,{hint} or check the data"
            )


class SequenceCategoricalCrossentropy(Loss):
    """`CategoricalCrossentropy` for lists of sequences: the sum over tokens, divided by the number of
    sequences where `normalize`.

    guesses: a list of (length, C) arrays. truths: a list of each one's truths. Returns a list of gradients, and
    the loss. Settings as there.
    """

    def __init__(self, *, normalize: bool = True, **settings: Any) -> None:
        self.normalize = normalize
        self.cc = CategoricalCrossentropy(normalize=False, **settings)

    def prepared(self, ops: Ops, truths: Any, classes: int | None) -> Any:
        return [self.cc.prepared(ops, each, classes) for each in truths]

    def __call__(self, guesses: Sequence[Floats2d], truths: Sequence[Any]) -> tuple[list[Floats2d], Any]:
        if len(guesses) != len(truths) or not guesses:
            raise ShapeError(
                f"{self._name}: expected truths for each of the {len(guesses)} sequences, and at least one, got "
                f"{len(truths)}"
            )
        grads: list[Any] = []
        total: Any = 0.0
        for yh, y in zip(guesses, truths, strict=True):
            if len(yh) == 0 == len(y.labels if isinstance(y, Labels) else y):
                grads.append(yh)
                continue
            grad, loss = self.cc(yh, y)
            grads.append(grad)
            total = total + loss
        if not self.normalize:
            return grads, total
        return [grad / len(guesses) for grad in grads], total / len(guesses)


@cache
def _as_one(ops: Ops) -> Any:
    """What is computed of guesses and labels as one program, where each operation would be one otherwise."""

    def computed(xp: Any, guesses: Any, labels: Any, *, settings: tuple[tuple[str, Any], ...]) -> Any:
        return CategoricalCrossentropy(**dict(settings))._computed(ops, guesses, labels)

    return ops.backend.bind(computed)


def _fitting(ops: Ops, labels: Any, guesses: Floats2d) -> Any:
    """(N, 1), 1 for labels that are classes: where nobody could look, another one shows as a NaN in the loss."""
    fits = (labels >= 0) & (labels < guesses.shape[1])
    return ops.xp.where(fits, 1.0, math.nan)[:, None].astype(guesses.dtype)


def _one_hot(ops: Ops, labels: Any, guesses: Floats2d) -> Any:
    classes = ops.xp.arange(guesses.shape[1], dtype="int32")
    return (labels[:, None] == classes).astype(guesses.dtype)
