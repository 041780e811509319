"""What compiled models and steps do around their programs: state, saving, changes, refusals, filled batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import triops
from tests.models.samples import NI, N, classifier, floats, ops_or_skip, params_of, shaken
from triops import Model, Ops, Ragged, models, to_numpy, use_ops
from triops.errors import ArgumentError, ArrayOwnerError, CompileError, DTypeError
from triops.models import Adam, CategoricalCrossentropy, L2Distance, Relu, Softmax, chain
from triops.models.trees import leaves

LABELS = [0, 2, 1, 1, 0, 2]


@pytest.fixture(name="jax_ops")
def jax_ops_or_skip() -> Iterator[Ops]:
    with use_ops(ops_or_skip("jax")) as ops:
        yield ops


def close(one: Any, other: Any) -> None:
    np.testing.assert_allclose(to_numpy(one), to_numpy(other), rtol=1e-5, atol=2e-6)


def assert_same(one: Model, other: Model) -> None:
    for W, V in zip(params_of(one), params_of(other), strict=True):
        np.testing.assert_allclose(V, W, rtol=1e-5, atol=2e-6)


def test_every_backend_takes_the_same_calls(ops: Ops) -> None:
    model = classifier().initialize()
    X = floats(ops, N, NI)
    compiled = triops.compile(model)
    step = triops.compile_step(compiled, CategoricalCrossentropy(), Adam(0.05))
    losses = [float(step(X, LABELS)) for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]
    Y, backprop = compiled.begin_update(X)
    assert backprop(Y).shape == X.shape
    close(compiled.predict(X), model.predict(X))
    assert (step.compilations, compiled.compilations) == ((1, 2) if ops.name == "jax" else (0, 0))


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_callbacks_leave_the_gradient_of_the_batch_out(drop: float, ops: Ops) -> None:
    model, X = shaken(classifier().initialize()), floats(ops, N, NI)
    compiled = triops.compile(model.copy(), dX=False)
    for copied in (False, True):
        trained = compiled.copy() if copied else compiled
        Y, backprop = model.begin_update(X, drop)
        Z, callback = trained.begin_update(X, drop)
        close(Y, Z)
        backprop(Y)
        assert callback(Z) is None
        for one, other in zip(model.walk(), trained.walk(), strict=True):
            for name in one._grads:
                close(one.get_grad(name), other.get_grad(name))
        callback(Z, sgd=models.SGD(0.1, grad_clip=0))  # once more, and an update by both
        backprop(Y, sgd=models.SGD(0.1, grad_clip=0))
        assert_same(model, trained)
    if ops.name == "jax":
        flops = [_flops_of_the_way_back(model, X, dX=dX) for dX in (True, False)]
        assert flops[0] - flops[1] >= 2 * X.size * model.layers[0].get_dim("nO")


def _flops_of_the_way_back(model: Model, X: Any, **settings: Any) -> float:
    compiled = triops.compile(model, **settings)
    compiled.begin_update(X)
    ((_, backward),) = compiled._programs._made.values()
    flops: float = backward.program._compiled.cost_analysis()["flops"]
    return flops


def test_a_compiled_model_is_the_model(jax_ops: Ops) -> None:
    model = shaken(classifier().initialize())
    compiled, X = triops.compile(model), floats(jax_ops, N, NI)
    assert compiled.to_bytes() == model.to_bytes()
    assert compiled.count_params() == model.count_params()
    before = model.predict(X)
    close(compiled.predict(X), before)
    Y, backprop = compiled.begin_update(X)
    backprop(Y, sgd=Adam(0.1))
    close(compiled.predict(X), model.predict(X))
    assert float(abs(compiled.predict(X) - before).max()) > 1e-3
    twin = compiled.copy()
    twin.from_bytes(model.to_bytes())
    close(twin.predict(X), model.predict(X))
    for node in twin.walk():
        for name in node.param_names:
            node.set_param(name, 0 * node.get_param(name))
    close(twin.predict(X), 0 * before + 1 / 3)
    close(compiled.predict(X), model.predict(X))


def test_changes_are_compiled_anew(jax_ops: Ops) -> None:
    model = shaken(chain(models.ReluK(3, NI), Softmax(3, 3)).initialize())
    compiled, X = triops.compile(model), floats(jax_ops, N, NI)
    close(compiled.predict(X), model.predict(X))
    model.layers[0].attrs["n"] = 0.2
    close(compiled.predict(X), model.predict(X))
    model.layers[0].attrs["n"] = 6.0
    close(compiled.predict(X), model.predict(X))
    assert compiled.compilations == 2
    model.astype("float64")
    wide = jax_ops.asarray(X, dtype="float64")
    assert compiled.predict(wide).dtype == "float64"
    close(compiled.predict(wide), model.predict(wide))


def test_a_step_notices_what_its_optimizer_and_its_labels_became(jax_ops: Ops) -> None:
    model = shaken(chain(Relu(4, NI), Softmax(3, 4)).initialize())
    other, loss, X = model.copy(), CategoricalCrossentropy(), floats(jax_ops, N, NI)
    optimizer, another, labels = Adam(0.05), Adam(0.05), jax_ops.asarray(LABELS, "int32")
    step = triops.compile_step(other, loss, another)
    for rate in (0.05, 0.05, 0.2, 0.2, [0.1, 0.3]):
        optimizer.learn_rate = another.learn_rate = rate
        Y, backprop = model.begin_update(X)
        backprop(loss.get_grad(Y, labels), sgd=optimizer)
        step(X, labels)
        assert_same(model, other)
        assert optimizer.updates == another.updates
    with pytest.raises(ArgumentError, match="labels must be from 0 to 2"):
        step(X, labels + 1)


class _Eager:
    """A step op by op."""

    def __init__(self, model: Model, optimizer: Any) -> None:
        self.model, self.optimizer = model, optimizer

    def accumulate(self, X: Any, truths: Any, drop: float = 0.0) -> None:
        Y, backprop = self.model.begin_update(X, drop)
        backprop(CategoricalCrossentropy().get_grad(Y, truths))

    def __call__(self, X: Any, truths: Any, drop: float = 0.0) -> None:
        self.accumulate(X, truths, drop)
        self.model.finish_update(self.optimizer)


def _update_in_between(step: Any, X: Any) -> None:
    _Eager(step.model, step.optimizer)(X, LABELS)


def _learn_alone(step: Any, X: Any) -> None:
    step.optimizer.nr_update[next(iter(step.optimizer.nr_update))] += 4


def _put_last(table: dict[Any, Any]) -> None:
    first = next(iter(table))
    table[first] = table.pop(first)


CHANGES: dict[str, Any] = {
    "a setting": lambda step, X: step.model.layers[0].attrs.update(n=0.5),
    "a rate": lambda step, X: setattr(step.optimizer, "learn_rate", 0.5),
    "a schedule": lambda step, X: setattr(step.optimizer, "learn_rate", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
    "no averages": lambda step, X: setattr(step.optimizer, "averages", None),
    "no moments": lambda step, X: step.optimizer.mom1.clear(),
    "weights": lambda step, X: step.model.layers[1].set_param("b", 0 * step.model.layers[1].get_param("b")),
    "another layer": lambda step, X: step.model.layers.pop(1),
    "a gradient": lambda step, X: step.accumulate(X, LABELS),
    "an update": _update_in_between,
    "a count": _learn_alone,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_step_after_a_change_is_the_eager_one(change: str, jax_ops: Ops) -> None:
    """After several that were alike."""
    layers = [models.ReluK(NI, NI), Relu(NI, NI), Softmax(3, NI)]
    model = shaken(chain(*layers).initialize())
    X, labels = floats(jax_ops, N, NI), jax_ops.asarray(LABELS, "int32")
    eager = _Eager(model, Adam(0.05))
    step = triops.compile_step(model.copy(), CategoricalCrossentropy(), Adam(0.05))
    for n in range(8):
        if n == 4:
            CHANGES[change](eager, X)
            CHANGES[change](step, X)
        eager(X, labels)
        step(X, labels)
        assert_same(eager.model, step.model)
        assert eager.optimizer.updates == step.optimizer.updates
        assert list(eager.optimizer.nr_update.values()) == list(step.optimizer.nr_update.values())


PAST_METHODS: list[Any] = [
    lambda first, dropout, optimizer: vars(first).update(attrs={"n": 0.5}),
    lambda first, dropout, optimizer: dropout._state.update(drawn=7),
    lambda first, dropout, optimizer: dropout._state.update(seed=5),
    lambda first, dropout, optimizer: first._params.update(b=0 * first._params["b"]),
    lambda first, dropout, optimizer: first._grads.update(b=0 * first._params["b"] + 1),
    lambda first, dropout, optimizer: optimizer.mom1.update({key: 0 * M for key, M in optimizer.mom1.items()}),
    lambda first, dropout, optimizer: vars(optimizer).update(mom2={k: M + 1 for k, M in optimizer.mom2.items()}),
    lambda first, dropout, optimizer: optimizer.schedules.update(learn_rate=lambda step: 0.01),
    lambda first, dropout, optimizer: setattr(optimizer, "learn_rate", 0.02),
    lambda first, dropout, optimizer: _put_last(optimizer.mom1),
]


def test_a_step_notices_what_was_changed_past_methods(jax_ops: Ops) -> None:
    model = shaken(chain(models.ReluK(NI, NI), models.Dropout(), Softmax(3, NI)).initialize())
    X, labels = floats(jax_ops, N, NI), jax_ops.asarray(LABELS, "int32")
    eager = _Eager(model, Adam(0.05))
    step = triops.compile_step(model.copy(), CategoricalCrossentropy(), Adam(0.05))

    def go_on(drop: float) -> None:
        eager(X, labels, drop)
        step(X, labels, drop)
        assert_same(eager.model, step.model)
        assert eager.model.layers[1].get_state("drawn") == step.model.layers[1].get_state("drawn")

    for drop in (0.3, 0.3, 0.3, 0.6, 0.3, 0.3, 0.3):
        go_on(drop)
    for batch in (to_numpy(X), labels), (X, np.array(LABELS)):
        with pytest.raises(ArrayOwnerError):
            step(*batch, drop=0.3)
    for change in PAST_METHODS:
        for _ in range(3):
            go_on(drop=0.3)
        for each in (eager, step):
            change(*each.model.layers[:2], each.optimizer)
        go_on(drop=0.3)


def test_a_step_copies_what_is_held_elsewhere_and_no_more(jax_ops: Ops) -> None:
    model, X = shaken(classifier().initialize()), floats(jax_ops, N, NI)
    layer, step = model.layers[0], triops.compile_step(model, CategoricalCrossentropy(), Adam(0.1))
    step(X, LABELS)
    held = layer.get_param("W")
    before, place = to_numpy(held).copy(), layer.get_param("b").unsafe_buffer_pointer()
    step(X, LABELS)
    np.testing.assert_array_equal(to_numpy(held), before)
    assert float(abs(layer.get_param("W") - held).max()) > 0
    assert layer.get_param("b").unsafe_buffer_pointer() == place


def test_gradients_add_up_over_calls(jax_ops: Ops) -> None:
    model = shaken(classifier().initialize())
    other, loss = model.copy(), CategoricalCrossentropy()
    X, Z = floats(jax_ops, N, NI), floats(jax_ops, N, NI, seed=2)
    for batch in (X, Z, X):
        Y, backprop = model.begin_update(batch)
        backprop(loss.get_grad(Y, LABELS))
    model.finish_update(Adam(0.1))
    step = triops.compile_step(other, loss, Adam(0.1))
    step.accumulate(X, LABELS)
    Y, backprop = other.begin_update(Z)
    backprop(loss.get_grad(Y, LABELS))
    step(X, LABELS)
    assert_same(model, other)
    assert not any(node._grads for node in other.walk())


def test_tied_layers_and_averages(jax_ops: Ops) -> None:
    layer = Relu(NI, NI)
    model = shaken(chain(layer, layer, Softmax(3, NI)).initialize())
    other, loss, X = model.copy(), CategoricalCrossentropy(), floats(jax_ops, N, NI)
    optimizer, another = Adam(0.05), Adam(0.05)
    step = triops.compile_step(other, loss, another)
    for _ in range(3):
        Y, backprop = model.begin_update(X)
        backprop(loss.get_grad(Y, LABELS), sgd=optimizer)
        step(X, LABELS)
    assert_same(model, other)
    best = dict(another.averages)
    with model.use_params(optimizer.averages), other.use_params(another.averages):
        assert_same(model, other)
        step(X, LABELS)
    step(X, LABELS)
    assert all(to_numpy(average).size for average in best.values())  # what is held elsewhere is not consumed


def test_an_older_backprop_works_after_a_step(jax_ops: Ops) -> None:
    model = shaken(classifier().initialize())
    X = floats(jax_ops, N, NI)
    eager, compiled = model.copy(), triops.compile(model)
    Y, backprop = compiled.begin_update(X)
    triops.compile_step(model, CategoricalCrossentropy(), Adam(0.1))(X, LABELS)
    _, callback = eager.begin_update(X)
    close(backprop(Y), callback(Y))


class Fixed(Model):
    """A layer that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.add_param("W", (NI,))

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        W = self.get_param("W")
        return X * W, lambda dY, sgd=None: dY * W


@pytest.mark.parametrize(
    "why", ["an error", "a rate of dropout", "a batch that cannot be filled up", "a fixed layer"]
)
def test_a_trace_that_comes_to_nothing_leaves_the_optimizer(why: str, jax_ops: Ops) -> None:
    """What is tried again is a first update as any other, whose weights are its averages."""
    model, truths = shaken(classifier().initialize()), jax_ops.asarray(LABELS)
    X: Any = floats(jax_ops, N, NI)
    if why == "a batch that cannot be filled up":
        model, X = shaken(models.map_list(Softmax(3, NI)).initialize()), [X[:2], X[2:]]
    if why == "a fixed layer":
        model = shaken(chain(Fixed(), Softmax(3, NI)).initialize())
    optimizer = Adam(0.1)
    step = triops.compile_step(model, CategoricalCrossentropy(), optimizer)
    if why == "an error":
        with pytest.raises(triops.errors.ShapeError):
            step(floats(jax_ops, N, NI + 1), truths)
    if why == "a rate of dropout":
        with pytest.raises(ArgumentError):
            step(X, truths, drop=1.5)
    assert (optimizer.updates, optimizer.mom1, optimizer.averages) == (0, {}, {})
    step(X, truths)
    assert optimizer.averages is not None
    assert optimizer.averages.keys() == optimizer.nr_update.keys() == optimizer.mom1.keys()
    for node in model.walk():
        for name in node.param_names if not isinstance(node, Fixed) else ():
            close(optimizer.averages[node.id, name], node.get_param(name))


# -- sequences


def tagger() -> Model:
    embed = models.with_array(models.HashEmbed(4, 50, seed=1))
    encode = models.residual(
        chain(models.expand_window(1), models.with_array(models.Maxout(4, 12, normalize=True)))
    )
    return chain(models.list2ragged(), embed, encode, models.with_array(Softmax(3, 4)))


def sentences(ops: Ops, lengths: list[int], seed: int = 1) -> list[Any]:
    rows = np.random.default_rng(seed).integers(0, 2**60, sum(lengths)).astype("uint64")
    return [ops.asarray(piece) for piece in np.split(rows, np.cumsum(lengths)[:-1])]


def test_sequences_of_many_lengths_take_few_programs(jax_ops: Ops) -> None:
    model = shaken(tagger().initialize())
    numpy_ops = ops_or_skip("numpy")  # JAX would compile each op for each number of rows
    eager, loss = model.copy().to(numpy_ops), CategoricalCrossentropy()
    optimizer = Adam(0.01)
    step = triops.compile_step(model, loss, Adam(0.01))
    draws = np.random.default_rng(3)
    for seed in range(12):
        lengths = draws.integers(1, 9, draws.integers(9, 12)).tolist()
        X = sentences(jax_ops, lengths, seed)
        truths = draws.integers(0, 3, sum(lengths)).tolist()
        Y, backprop = eager.begin_update([numpy_ops.asarray(x) for x in X], drop=0.2)
        gradient, value = loss(Y.data, truths)
        backprop(Ragged(gradient, Y.lengths), sgd=optimizer)
        close(step(X, truths, drop=0.2), value)
    assert_same(eager, model)
    assert step.compilations <= 6


@pytest.mark.parametrize(
    "make", [lambda: models.LSTM(4, NI, bi=True), lambda: models.MultiHeadAttention(NI, NI, heads=1)]
)
def test_longer_sequences_take_another_program(make: Any, jax_ops: Ops) -> None:
    model = shaken(make().initialize())
    compiled, numpy_ops = triops.compile(model), ops_or_skip("numpy")
    eager = model.copy().to(numpy_ops)
    for lengths in ([3, 1, 4], [2, 2, 4], [1, 6, 1]):
        X = Ragged(floats(jax_ops, 8, NI, seed=lengths[0]), jax_ops.asarray(np.array(lengths, "int32")))
        twin = Ragged(numpy_ops.asarray(X.data), numpy_ops.asarray(X.lengths))
        close(compiled.predict(X).data, eager.predict(twin).data)
    assert compiled.compilations == 2


def test_many_programs_are_warned_of(jax_ops: Ops) -> None:
    model = shaken(models.Linear(2, 3).initialize())
    compiled = triops.compile(model)
    for rows in range(1, 17):
        compiled.predict(floats(jax_ops, rows, 3))
    with pytest.warns(UserWarning, match="linear was compiled 17 times, the last five for .*17, 3"):
        compiled.predict(floats(jax_ops, 17, 3))


# -- what cannot be compiled


class Odd(Model):
    """A layer that does one thing that a program cannot."""

    def __init__(self, trap: str) -> None:
        super().__init__()
        self.add_param("W", (NI,))
        self.trap, self.calls, self.kept = trap, 0, None
        self.generator = np.random.default_rng(0)

    def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
        W = self.get_param("W")
        if self.trap == "past get_param":
            W = self._params["W"]
        elif self.trap == "kept":
            self.kept = X * W
        elif self.trap == "counted":
            self.calls += 1
        elif self.trap == "numpy":
            W = W * np.random.rand()  # noqa: NPY002
        elif self.trap == "python":
            W = W * random.random()
        elif self.trap == "generator":
            W = W * self.generator.random()
        elif self.trap == "branch" and X.sum() > 0:
            W = -W
        elif self.trap == "to numpy":
            W = W * np.asarray(X).mean()
        return X * W, lambda dY, sgd=None: dY * W


TRAPS = {
    "past get_param": r"chain > 1:odd cannot be compiled: parameter W was read past get_param",
    "kept": r"chain > 1:odd cannot be compiled: it keeps an array as self.kept",
    "counted": r"chain > 1:odd cannot be compiled: it changes self.calls",
    "generator": r"chain > 1:odd cannot be compiled: it changes self.generator",
    "numpy": "chain cannot be compiled: a layer draws from NumPy's or Python's random numbers",
    "python": "chain cannot be compiled: a layer draws from NumPy's or Python's random numbers",
    "branch": r"chain > 1:odd cannot be compiled: it decides by the value of an array",
    "to numpy": r"chain > 1:odd cannot be compiled: it hands an array to NumPy",
}


@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("how", ["compile", "compile_step"])
def test_silent_traps_are_errors(trap: str, how: str, jax_ops: Ops) -> None:
    odd = Odd(trap)
    model = shaken(chain(Relu(NI, NI), odd, Softmax(3, NI)).initialize())
    X = floats(jax_ops, N, NI)
    step = triops.compile_step(model, CategoricalCrossentropy(), Adam())
    run = {"compile": triops.compile(model).predict, "compile_step": lambda X: step(X, LABELS)}[how]
    with pytest.raises(CompileError, match=f"^{TRAPS[trap]}"):
        run(X)
    assert odd.kept is None
    assert odd.calls == 0
    odd.trap = ""
    model.begin_update(X)  # nothing of the trace is left


def test_state_is_kept(jax_ops: Ops) -> None:
    class Mean(Model):
        def begin_update(self, X: Any, drop: float | None = 0.0) -> Any:
            calls = self.get_state("calls", 0)
            mean = self.get_state("mean", self.ops.alloc((NI,)))
            self.set_state("calls", calls + 1)
            self.set_state("mean", mean + X.mean(axis=0) / (calls + 1))
            return X - mean, lambda dY, sgd=None: dY

    eager = Mean()
    eager.set_state("calls", 0)
    eager.set_state("mean", jax_ops.alloc((NI,)))
    compiled = triops.compile(eager.copy())
    for seed in range(3):
        X = floats(jax_ops, N, NI, seed=seed)
        close(compiled.begin_update(X)[0], eager.begin_update(X)[0])
    assert compiled.get_state("calls") == eager.get_state("calls") == 3
    close(compiled.get_state("mean"), eager.get_state("mean"))
    assert compiled.compilations == 1


def test_a_model_that_was_moved_is_compiled_anew(jax_ops: Ops) -> None:
    model = classifier().initialize()
    compiled, step = triops.compile(model), triops.compile_step(model, CategoricalCrossentropy(), Adam())
    step(floats(jax_ops, N, NI), LABELS)
    model.to("numpy")
    X = floats(model.ops, N, NI)
    with pytest.raises(ArgumentError, match=r"^chain: .* moved to <Ops numpy on cpu:0>, which compiles nothing"):
        step(X, LABELS)
    np.testing.assert_array_equal(compiled.predict(X), model.predict(X))


def test_wrong_arguments(ops: Ops) -> None:
    model = classifier().initialize()
    with pytest.raises(ArgumentError, match="compile: model must be a Model, got str"):
        triops.compile("model")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="compile_step: optimizer must be callable, got float"):
        triops.compile_step(model, L2Distance(), 0.1)
    for loss, optimizer, name in ((CategoricalCrossentropy(), Adam, "Adam"), (L2Distance, Adam(), "L2Distance")):
        with pytest.raises(
            ArgumentError, match=f"must be callable, got the class {name}: give an object such as"
        ):
            triops.compile_step(model, loss, optimizer)  # type: ignore[arg-type]
    for loss in (lambda Y, truths: Y - truths, lambda Y, truths: None):
        with pytest.raises(ArgumentError, match=r"the loss must return \(gradient, loss\), got"):
            triops.compile_step(model, loss, Adam())(floats(ops, N, NI), floats(ops, N, 3))
    step = triops.compile_step(model, CategoricalCrossentropy(), Adam())
    with pytest.raises(ArrayOwnerError, match="X is an array of"):
        step(floats(ops_or_skip("jax" if ops.name == "numpy" else "numpy"), N, NI), LABELS)
    with pytest.raises(ArgumentError, match="labels must be from 0 to 2"):
        step(floats(ops, N, NI), [0, 1, 2, 3, 0, 0])
    before = params_of(model)
    with pytest.raises(triops.errors.ShapeError, match=r"relu.*dimension nI: expected 5, got 3"):
        step(floats(ops, N, 3), LABELS)
    for one, other in zip(before, params_of(model), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("tied", [False, True], ids=["each once", "the first layer twice"])
def test_a_step_leaves_out_the_gradient_of_the_batch_alone(tied: bool, ops: Ops) -> None:
    def made() -> Model:
        first = Relu(NI, NI)
        return shaken(chain(first, first if tied else Relu(NI, NI), Softmax(3, NI)).initialize(seed=1))

    eager, stepped = made(), made()
    X = floats(ops, N, NI)
    loss = CategoricalCrossentropy()
    Y, backprop = eager.begin_update(X)
    backprop(loss(Y, LABELS)[0])
    eager.finish_update(Adam(0.05))
    triops.compile_step(stepped, loss, Adam(0.05))(X, LABELS)
    assert_same(eager, stepped)
    Y, backprop = stepped.begin_update(X)
    assert backprop(Y).shape == X.shape


def test_truths_of_another_kind(jax_ops: Ops) -> None:
    """Those that a form could not hold."""
    model, X = classifier().initialize(), floats(jax_ops, N, NI)
    for truths in (np.array(LABELS), np.eye(3, dtype="float32")[LABELS]):
        step = triops.compile_step(model, CategoricalCrossentropy(), Adam())
        with pytest.raises(ArrayOwnerError, match=r"compile: what a batch holds is an array of numpy on cpu:0"):
            step(X, truths)
        with pytest.raises(ArrayOwnerError, match=r"compile: what a batch holds is an array of numpy on cpu:0"):
            step.accumulate(X, truths)
    with pytest.raises(DTypeError, match=r"compile: what a batch holds must be an array of .*, got dict"):
        triops.compile_step(model, lambda Y, truths: (Y, Y.sum()), Adam())(X, {"labels": LABELS})


@pytest.mark.parametrize("make", [models.list2ragged, models.list2padded, models.list2array, models.noop])
def test_ids_come_out_of_a_program(make: Any, jax_ops: Ops) -> None:
    """They have no gradient, and the callback takes none."""
    ids = [jax_ops.asarray(np.array(numbers, "int32")) for numbers in ([1, 2], [3])]
    Y, backprop = triops.compile(make()).begin_update(ids)
    Z, callback = make().begin_update(ids)
    for one, other in zip(leaves(Y), leaves(Z), strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(other))
    assert backprop(None) is callback(None) is None


def test_devices_and_layers_that_run_as_they_are_exclude_each_other(ops: Ops) -> None:
    with pytest.raises(ArgumentError, match="devices divide one program, and eager=True makes several"):
        triops.compile_step(classifier(), CategoricalCrossentropy(), Adam(), eager=True, devices=1)
