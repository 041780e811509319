"""Losses: values against float64 formulas, gradients against finite differences and against Thinc."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.models.samples import N, floats, other_ops, shaken
from triops import Ops, ops_of, to_numpy
from triops.errors import ArgumentError, ArrayOwnerError, DTypeError, ShapeError
from triops.models import (
    CategoricalCrossentropy,
    CosineDistance,
    L2Distance,
    Linear,
    SequenceCategoricalCrossentropy,
    Softmax,
)

C = 4
LABELS = [2, 0, 3, 3, 1, 0]
NAMES = ["NOUN", "VERB", "ADJ", "X"]
ONE_HOT = np.eye(C)[LABELS]
DISTRIBUTIONS = np.random.default_rng(5).dirichlet(np.ones(C), size=N)


def softmax(Z: Any) -> Any:
    exps = np.exp(Z - Z.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


LOGITS = np.random.default_rng(4).normal(size=(N, C))
PROBABILITIES = softmax(LOGITS)


def guesses(ops: Ops, dtype: str = "float64") -> Any:
    return ops.asarray(PROBABILITIES, dtype=dtype)


def logits(ops: Ops, dtype: str = "float64") -> Any:
    return ops.asarray(LOGITS, dtype=dtype)


def differences(value: Callable[[Any], float], X: Any, step: float = 1e-5) -> Any:
    """The gradient of a function of an array, entry by entry."""
    gradient = np.zeros_like(X)
    for place in np.ndindex(*X.shape):
        above, below = X.copy(), X.copy()
        above[place] += step
        below[place] -= step
        gradient[place] = (value(above) - value(below)) / (2 * step)
    return gradient


# -- categorical cross-entropy

FORMS: dict[str, tuple[dict[str, Any], Callable[[Ops], Any]]] = {
    "list": ({}, lambda ops: LABELS),
    "tuple": ({}, lambda ops: tuple(LABELS)),
    "list of numpy integers": ({}, lambda ops: [np.int64(label) for label in LABELS]),
    "int32 array": ({}, lambda ops: ops.asarray(np.array(LABELS), dtype="int32")),
    "int64 array": ({}, lambda ops: ops.asarray(np.array(LABELS), dtype="int64")),
    "uint8 array": ({}, lambda ops: ops.asarray(np.array(LABELS), dtype="uint8")),
    "one-hot floats": ({}, lambda ops: ops.asarray(ONE_HOT, dtype="float64")),
    "one-hot integers": ({}, lambda ops: ops.asarray(ONE_HOT, dtype="int32")),
    "one-hot bools": ({}, lambda ops: ops.asarray(ONE_HOT == 1)),
    "names": ({"names": NAMES}, lambda ops: [NAMES[label] for label in LABELS]),
    "numbers though there are names": ({"names": NAMES, "missing_value": ""}, lambda ops: LABELS),
    "array though there are names": ({"names": NAMES, "missing_value": ""}, lambda ops: ops.asarray(LABELS)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_label_gives_one_result(form: str, ops: Ops) -> None:
    settings, truths = FORMS[form]
    gradient, loss = CategoricalCrossentropy(**settings)(guesses(ops), truths(ops))
    assert ops_of(gradient) is ops
    assert gradient.dtype == loss.dtype == "float64"
    np.testing.assert_allclose(to_numpy(gradient), (PROBABILITIES - ONE_HOT) / N, rtol=1e-12, atol=1e-15)
    assert float(loss) == pytest.approx(-np.log(PROBABILITIES[np.arange(N), LABELS]).mean(), rel=1e-12)


def test_distributions(ops: Ops) -> None:
    truths = ops.asarray(DISTRIBUTIONS, dtype="float64")
    gradient, loss = CategoricalCrossentropy()(guesses(ops), truths)
    np.testing.assert_allclose(to_numpy(gradient), (PROBABILITIES - DISTRIBUTIONS) / N, rtol=1e-12, atol=1e-15)
    assert float(loss) == pytest.approx(-(DISTRIBUTIONS * np.log(PROBABILITIES)).sum() / N, rel=1e-12)


def test_normalize_divides_by_the_number_of_rows(ops: Ops) -> None:
    mean, total = (CategoricalCrossentropy(normalize=flag)(guesses(ops), LABELS) for flag in (True, False))
    np.testing.assert_allclose(to_numpy(total[0]), N * to_numpy(mean[0]), rtol=1e-12)
    assert float(total[1]) == pytest.approx(N * float(mean[1]), rel=1e-12)


@pytest.mark.parametrize(
    ("settings", "truths"),
    [
        ({}, LABELS),
        ({"normalize": False}, LABELS),
        ({"label_smoothing": 0.2}, LABELS),
        ({}, [2, None, 3, None, 1, 0]),
        ({"missing_value": 3}, LABELS),
        ({"names": NAMES, "missing_value": "X"}, [NAMES[label] for label in LABELS]),
        ({}, DISTRIBUTIONS),
    ],
)
@pytest.mark.parametrize("from_logits", [False, True])
def test_the_gradient_is_that_of_the_loss_in_the_logits(
    settings: Any, truths: Any, from_logits: bool, ops: Ops
) -> None:
    loss = CategoricalCrossentropy(from_logits=from_logits, **settings)
    y = truths if isinstance(truths, list) else ops.asarray(truths, dtype="float64")

    def value(Z: Any) -> float:
        return float(loss.get_loss(ops.asarray(Z if from_logits else softmax(Z), dtype="float64"), y))

    given = logits(ops) if from_logits else guesses(ops)
    np.testing.assert_allclose(to_numpy(loss.get_grad(given, y)), differences(value, LOGITS), atol=1e-8)


def test_from_logits_is_the_same_loss_without_its_softmax(ops: Ops) -> None:
    for truths in (LABELS, [2, None, 3, 3, 1, 0]):
        there = CategoricalCrossentropy()(guesses(ops), truths)
        here = CategoricalCrossentropy(from_logits=True)(logits(ops), truths)
        np.testing.assert_allclose(to_numpy(here[0]), to_numpy(there[0]), rtol=1e-10, atol=1e-12)
        assert float(here[1]) == pytest.approx(float(there[1]), rel=1e-12)


def test_far_off_guesses_have_a_finite_loss(ops: Ops) -> None:
    far = ops.asarray([[0.0, 1.0], [1.0, 0.0]])
    gradient, loss = CategoricalCrossentropy()(far, [0, 0])
    np.testing.assert_array_equal(to_numpy(gradient), [[-0.5, 0.5], [0, 0]])
    assert 40 < float(loss) < 50
    gradient, loss = CategoricalCrossentropy(from_logits=True)(ops.asarray([[-500.0, 500.0], [9.0, 0.0]]), [0, 0])
    assert float(loss) == pytest.approx(500, rel=1e-3)


@pytest.mark.parametrize(
    ("settings", "truths"),
    [
        ({}, [2, None, 3, None, 1, 0]),
        ({"missing_value": -1}, [2, -1, 3, -1, 1, 0]),
        ({"missing_value": 99}, [2, 99, 3, None, 1, 0]),
        ({"names": NAMES}, ["ADJ", None, "X", None, "VERB", "NOUN"]),
        ({"names": NAMES, "missing_value": ""}, ["ADJ", "", "X", None, "VERB", "NOUN"]),
        ({"missing_value": -1}, np.array([2, -1, 3, -1, 1, 0])),
        ({"missing_value": 99}, np.array([2, 99, 3, 99, 1, 0])),
    ],
)
def test_missing_labels_have_neither_loss_nor_gradient(settings: Any, truths: Any, ops: Ops) -> None:
    known = np.array([1, 0, 1, 0, 1, 1])[:, None]
    y = ops.asarray(truths) if isinstance(truths, np.ndarray) else truths
    gradient, loss = CategoricalCrossentropy(**settings)(guesses(ops), y)
    np.testing.assert_allclose(to_numpy(gradient), known * (PROBABILITIES - ONE_HOT) / N, rtol=1e-12, atol=1e-15)
    logs = np.log(PROBABILITIES[np.arange(N), LABELS])
    assert float(loss) == pytest.approx(-(logs * known[:, 0]).sum() / N, rel=1e-12)


def test_a_batch_without_any_label(ops: Ops) -> None:
    gradient, loss = CategoricalCrossentropy()(guesses(ops), [None] * N)
    assert not to_numpy(gradient).any()
    assert float(loss) == 0


def test_a_missing_class_of_distributions(ops: Ops) -> None:
    gradient, _ = CategoricalCrossentropy(missing_value=3)(guesses(ops), ops.asarray(ONE_HOT, dtype="float64"))
    assert [bool(row.any()) for row in to_numpy(gradient)] == [label != 3 for label in LABELS]


def test_label_smoothing_shares_out_among_the_others(ops: Ops) -> None:
    target = np.where(ONE_HOT == 1, 0.7, 0.1)
    gradient, loss = CategoricalCrossentropy(label_smoothing=0.3)(guesses(ops), LABELS)
    np.testing.assert_allclose(to_numpy(gradient), (PROBABILITIES - target) / N, rtol=1e-12, atol=1e-15)
    assert float(loss) == pytest.approx(-(target * np.log(PROBABILITIES)).sum() / N, rel=1e-12)


def test_a_refuted_class_says_nothing_of_the_others(ops: Ops) -> None:
    truths = ["!VERB", "NOUN", "X", "!X", None, "NOUN"]
    gradient, loss = CategoricalCrossentropy(names=NAMES, neg_prefix="!")(guesses(ops), truths)
    P = PROBABILITIES
    expected = (P - np.eye(C)[[1, 0, 3, 3, 0, 0]]) / N
    expected[0] = np.where(np.arange(C) == 1, P[0] / N, 0)
    expected[3] = np.where(np.arange(C) == 3, P[3] / N, 0)
    expected[4] = 0
    np.testing.assert_allclose(to_numpy(gradient), expected, rtol=1e-12, atol=1e-15)
    value = np.log(1 - P[0, 1]) + np.log(P[1, 0]) + np.log(P[2, 3]) + np.log(1 - P[3, 3]) + np.log(P[5, 0])
    assert float(loss) == pytest.approx(-value / N, rel=1e-12)


THINC_CASES = [
    ({}, LABELS),
    ({"normalize": False}, LABELS),
    ({"names": NAMES}, [NAMES[label] for label in LABELS]),
    ({"names": NAMES, "missing_value": ""}, ["ADJ", "", "X", "X", "VERB", "NOUN"]),
    ({"names": NAMES, "neg_prefix": "!"}, ["!VERB", "NOUN", "X", "!X", "ADJ", "NOUN"]),
    ({"label_smoothing": 0.2}, LABELS),
    ({"missing_value": 3}, LABELS),
    ({}, ONE_HOT),
    ({}, np.array(LABELS)),
]


@pytest.mark.parametrize(("settings", "truths"), THINC_CASES)
def test_gradients_are_thincs(settings: Any, truths: Any) -> None:
    losses = pytest.importorskip("thinc.api")
    probabilities = PROBABILITIES.astype("float32")
    y = truths if isinstance(truths, list) else truths.astype("float32" if truths.ndim == 2 else "int32")
    theirs = losses.CategoricalCrossentropy(**settings).get_grad(probabilities.copy(), y)
    ours = CategoricalCrossentropy(**settings).get_grad(probabilities, y)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("normalize", [True, False])
def test_vector_losses_are_thincs(normalize: bool) -> None:
    losses = pytest.importorskip("thinc.api")
    x, y = (np.random.default_rng(seed).normal(size=(N, C)).astype("float32") for seed in (1, 2))
    y[2] = 0
    pairs = [
        (L2Distance, losses.L2Distance, {}),
        (CosineDistance, losses.CosineDistance, {"ignore_zeros": True}),
    ]
    for ours, theirs, settings in pairs:
        mine = ours(normalize=normalize, **settings).get_grad(x, y)
        their = theirs(normalize=normalize, **settings).get_grad(x.copy(), y.copy())
        np.testing.assert_allclose(mine, their, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_sequence_gradients_are_thincs(normalize: bool) -> None:
    losses = pytest.importorskip("thinc.api")
    parts = [PROBABILITIES[:2].astype("float32"), PROBABILITIES[2:].astype("float32")]
    truths = [["ADJ", "!NOUN"], ["X", "", "VERB", "NOUN"]]
    settings: Any = {"names": NAMES, "missing_value": "", "neg_prefix": "!", "normalize": normalize}
    theirs = losses.SequenceCategoricalCrossentropy(**settings).get_grad([part.copy() for part in parts], truths)
    ours = SequenceCategoricalCrossentropy(**settings).get_grad(parts, truths)
    for mine, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, their, rtol=1e-5, atol=1e-7)


# -- sequences


def test_sequences_are_the_sum_over_tokens(ops: Ops) -> None:
    Yh = guesses(ops)
    gradients, loss = SequenceCategoricalCrossentropy()([Yh[:2], Yh[2:], Yh[:0]], [LABELS[:2], LABELS[2:], []])
    expected, total = CategoricalCrossentropy(normalize=False)(Yh, LABELS)
    assert [gradient.shape for gradient in gradients] == [(2, C), (4, C), (0, C)]
    together = np.concatenate([to_numpy(gradient) for gradient in gradients])
    np.testing.assert_allclose(together, to_numpy(expected) / 3, rtol=1e-12)
    assert float(loss) == pytest.approx(float(total) / 3, rel=1e-12)
    _, whole = SequenceCategoricalCrossentropy(normalize=False)([Yh], [LABELS])
    assert float(whole) == pytest.approx(float(total), rel=1e-12)


@pytest.mark.parametrize(
    ("lengths", "truths", "message"),
    [
        ([2], [], "truths for each of the 1 sequences"),
        ([], [], "at least one"),
        ([2], [[0, 1, 2]], "a truth for each of the 2 guesses, got 3"),
        ([2, 0], [[0, 1], [2]], "guesses are empty"),
    ],
)
def test_sequences_and_truths_must_match(lengths: Any, truths: Any, message: str, ops: Ops) -> None:
    with pytest.raises(ShapeError, match=message):
        SequenceCategoricalCrossentropy()([guesses(ops)[:length] for length in lengths], truths)


# -- distances


@pytest.mark.parametrize("normalize", [True, False])
def test_l2_distance(normalize: bool, ops: Ops) -> None:
    x, y = floats(ops, N, C, dtype="float64"), floats(ops, N, C, seed=2, dtype="float64")
    gradient, loss = L2Distance(normalize=normalize)(x, y)
    difference, count = to_numpy(x) - to_numpy(y), N if normalize else 1
    np.testing.assert_allclose(to_numpy(gradient), difference / count, rtol=1e-12)
    assert float(loss) == pytest.approx((difference**2).sum() / (2 * count), rel=1e-12)


def cosine_distance(x: Any, y: Any) -> Any:
    return 1 - (x * y).sum(axis=1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))


@pytest.mark.parametrize("normalize", [True, False])
def test_cosine_distance(normalize: bool, ops: Ops) -> None:
    x, y = floats(ops, N, C, dtype="float64"), floats(ops, N, C, seed=2, dtype="float64")
    gradient, loss = CosineDistance(normalize=normalize)(x, y)
    count = N if normalize else 1
    assert float(loss) == pytest.approx(cosine_distance(to_numpy(x), to_numpy(y)).sum() / count, rel=1e-12)
    numeric = differences(lambda X: cosine_distance(X, to_numpy(y)).sum() / count, to_numpy(x))
    np.testing.assert_allclose(to_numpy(gradient), numeric, atol=1e-8)


def test_vectors_of_zero_have_no_direction(ops: Ops) -> None:
    x, y = to_numpy(floats(ops, N, C)).copy(), to_numpy(floats(ops, N, C, seed=2)).copy()
    x[0], y[1], x[2], y[2] = 0, 0, 0, 0
    rest = cosine_distance(x[3:].astype("float64"), y[3:].astype("float64")).sum()
    for ignore_zeros, expected in ((False, 3 + rest), (True, 1 + rest)):
        loss_function = CosineDistance(ignore_zeros=ignore_zeros, normalize=False)
        gradient, loss = loss_function(ops.asarray(x), ops.asarray(y))
        assert float(loss) == pytest.approx(expected, rel=1e-5)
        assert not to_numpy(gradient)[:3].any()
        assert to_numpy(gradient)[3:].any(axis=1).all()


def test_tiny_and_huge_vectors_have_a_direction(ops: Ops) -> None:
    x = floats(ops, N, C)
    for scale in (1e-12, 1e12):
        assert float(CosineDistance().get_loss(x, scale * x)) == pytest.approx(0, abs=1e-5)


# -- what all share

LOSSES = [
    CategoricalCrossentropy(),
    CategoricalCrossentropy(from_logits=True),
    L2Distance(),
    CosineDistance(),
]
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)


@every_loss
def test_gradient_and_loss_come_together_or_alone(loss: Any, ops: Ops) -> None:
    Yh, Y = guesses(ops, "float32"), ops.asarray(ONE_HOT, dtype="float32")
    gradient, value = loss(Yh, Y)
    np.testing.assert_array_equal(to_numpy(loss.get_grad(Yh, Y)), to_numpy(gradient))
    assert float(loss.get_loss(Yh, Y)) == float(value)
    assert gradient.dtype == value.dtype == "float32"
    assert value.shape == ()


@pytest.mark.parametrize("loss", [CategoricalCrossentropy(), L2Distance(), CosineDistance()])
def test_a_perfect_guess_has_no_gradient(loss: Any, ops: Ops) -> None:
    Y = ops.asarray(ONE_HOT)
    gradient, value = loss(Y, Y)
    assert not to_numpy(gradient).any()
    assert float(value) == pytest.approx(0, abs=1e-6)


@every_loss
def test_wrong_arguments_are_named(loss: Any, ops: Ops) -> None:
    name, Yh, Y = type(loss).__name__, guesses(ops, "float32"), ops.asarray(ONE_HOT)
    with pytest.raises(ShapeError, match=rf"{name}: guesses are empty, shape \(0, 4\)"):
        loss(Yh[:0], Y[:0])
    with pytest.raises(ShapeError, match=rf"{name}: guesses must have 2 dimensions, got shape \(6,\)"):
        loss(Yh[:, 0], Y)
    with pytest.raises(
        ShapeError, match=rf"{name}: truths must have the shape of the guesses, \(6, 4\).* \(6, 3\)"
    ):
        loss(Yh, Y[:, :3])
    with pytest.raises(ShapeError, match=f"{name}: .*(6|\\(6, 4\\)).*got (5|\\(5, 4\\))"):
        loss(Yh, Y[:5])
    with pytest.raises(DTypeError, match=f"{name}: truths are float64 and guesses float32: convert the truths"):
        loss(Yh, ops.asarray(ONE_HOT, dtype="float64"))
    with pytest.raises(DTypeError, match=f"{name}: truths must be .* got NoneType"):
        loss(Yh, None)
    with pytest.raises(ArrayOwnerError, match=f"{name}: truths is an array of {other_ops(ops).name}"):
        loss(Yh, other_ops(ops).asarray(ONE_HOT))
    with pytest.raises(DTypeError, match="got list"):
        loss(PROBABILITIES.tolist(), Y)


@every_loss
def test_nan_in_truths_is_named(loss: Any, ops: Ops) -> None:
    Y = ONE_HOT.copy()
    Y[3, 1] = np.nan
    with pytest.raises(ArgumentError, match=f"{type(loss).__name__}: truths hold NaN, first in row 3"):
        loss(guesses(ops, "float32"), ops.asarray(Y))


@pytest.mark.parametrize(
    ("settings", "truths", "error", "message"),
    [
        ({}, [0, 1, 2, 3, 4, 0], ArgumentError, "labels must be from 0 to 3.*got 4 in row 4"),
        ({}, [0, 1, -1, 3, 2, 0], ArgumentError, "labels must be from 0 to 3.*got -1 in row 2"),
        ({}, [0, 1, 2], ShapeError, "a truth for each of the 6 guesses, got 3"),
        ({}, [0.0, 1, 2, 3, 0, 0], DTypeError, "label 0.0 in row 0 must be a class number or a name"),
        ({}, [0, float("nan"), 2, 3, 0, 0], DTypeError, "label nan in row 1 must be"),
        ({}, [[0, 1]] * 6, DTypeError, r"label \[0, 1\] in row 0 must be"),
        ({}, [np.array([0, 1])] * 6, DTypeError, r"label array\(\[0, 1\]\) in row 0 must be"),
        ({}, ["NOUN"] * 6, ArgumentError, "label 'NOUN' in row 0 must be known: give the classes' names"),
        ({"names": NAMES}, ["NOUN", "noun"] * 3, ArgumentError, "label 'noun' in row 1 must be one of"),
        ({"names": NAMES}, ["!NOUN"] * 6, ArgumentError, "label '!NOUN' in row 0 must be one of"),
    ],
)
def test_labels_that_make_no_sense_are_named(
    settings: Any, truths: Any, error: Any, message: str, ops: Ops
) -> None:
    with pytest.raises(error, match=f"CategoricalCrossentropy: .*{message}"):
        CategoricalCrossentropy(**settings)(guesses(ops), truths)


@pytest.mark.parametrize(
    ("truths", "error", "message"),
    [
        (np.array([0, 1, 2, 3, 4, 0]), ArgumentError, "labels must be from 0 to 3.*got 4"),
        (np.array([0, 1, -1, 3, 2, 0]), ArgumentError, "labels must be from 0 to 3.*got -1"),
        (np.array([2**32, 1, 1, 3, 2, 0]), ArgumentError, "labels must be from 0 to 3.*got 4294967296"),
        (np.array([0, 1, 2.0, 3, 2, 0]), DTypeError, "labels must be integers, got float32"),
        (np.array([0, 1, np.nan, 3, 2, 0]), ArgumentError, "truths hold NaN, first in row 2"),
        (np.array([0, 1, 1]), ShapeError, "a truth for each of the 6 guesses, got 3"),
        (np.zeros((6, 1, 4)), ShapeError, r"truths must be labels, \(N,\), or distributions.*\(6, 1, 4\)"),
        (2 * ONE_HOT, ArgumentError, "truths must be probabilities from 0 to 1, got values from 0 to 2"),
        (ONE_HOT - 0.5, ArgumentError, "truths must be probabilities from 0 to 1, got values from -0.5"),
    ],
)
def test_arrays_that_make_no_sense_are_named(truths: Any, error: Any, message: str, ops: Ops) -> None:
    with pytest.raises(error, match=f"CategoricalCrossentropy: .*{message}"):
        CategoricalCrossentropy()(guesses(ops, "float32"), ops.asarray(truths))


def test_a_wrong_label_beside_a_missing_one_is_seen(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="got -1"):
        CategoricalCrossentropy(missing_value=-5)(guesses(ops), ops.asarray([0, -5, -1, 2, 3, 1]))


def test_a_label_that_nobody_can_look_at_shows_as_a_nan() -> None:
    """While JAX traces, as on an accelerator, values cannot be checked."""
    jax = pytest.importorskip("jax")
    from triops import get_ops

    ops = get_ops("jax", "cpu:0")
    loss = jax.jit(CategoricalCrossentropy(missing_value=9).get_loss)
    Yh = guesses(ops, "float32")
    assert np.isfinite(float(loss(Yh, ops.asarray([0, 9, 1, 2, 3, 1]))))
    for wrong in (-1, 4):
        assert np.isnan(float(loss(Yh, ops.asarray([0, wrong, 1, 2, 3, 1]))))


@pytest.mark.parametrize("spoiled", [1.5, -0.1])
def test_guesses_that_are_no_probabilities_are_named(spoiled: float, ops: Ops) -> None:
    Yh = PROBABILITIES.copy()
    Yh[0, 0] = spoiled
    with pytest.raises(
        ArgumentError, match=r"guesses must be probabilities from 0 to 1.*Softmax.*from_logits=True"
    ):
        CategoricalCrossentropy()(ops.asarray(Yh), LABELS)
    assert np.isfinite(float(CategoricalCrossentropy(from_logits=True).get_loss(ops.asarray(Yh), LABELS)))


@pytest.mark.parametrize("label_smoothing", [1.0, -0.1, float("nan")])
def test_smoothing_outside_its_range_is_refused(label_smoothing: float) -> None:
    with pytest.raises(ArgumentError, match="label_smoothing must be from 0 up to, not including, 1"):
        CategoricalCrossentropy(label_smoothing=label_smoothing)


def test_smoothing_is_for_labels(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="label_smoothing is for labels"):
        CategoricalCrossentropy(label_smoothing=0.1)(guesses(ops, "float32"), ops.asarray(ONE_HOT))


@pytest.mark.parametrize("output", [Softmax, Linear])
def test_a_loss_and_the_output_layer_it_is_for_go_together(output: Any, ops: Ops) -> None:
    """The gradient of the loss in the weights, through the layer, by finite differences."""
    model = shaken(output(C, 5).initialize()).astype("float64")
    X = floats(ops, N, 5, dtype="float64")
    loss = CategoricalCrossentropy(from_logits=output is Linear)
    Yh, backprop = model.begin_update(X)
    backprop(loss.get_grad(Yh, LABELS))
    W = to_numpy(model.get_param("W"))

    def value(weights: Any) -> float:
        with model.use_params({(model.id, "W"): ops.asarray(weights, dtype="float64")}):
            return float(loss.get_loss(model.predict(X), LABELS))

    np.testing.assert_allclose(to_numpy(model.get_grad("W")), differences(value, W), atol=1e-8)
