"""What `TriopsClassifier` and `TriopsRegressor` share: settings, fitting, saving."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any, ClassVar, Self

from triops.errors import ArgumentError, BackendUnavailable
from triops.models.combinators import chain
from triops.models.layers import Relu
from triops.models.model import Model
from triops.models.optimizers import SGD, Adam, AdamW, RAdam
from triops.ops import get_current_ops, get_ops, use_ops

try:
    import numpy as np
    from sklearn.base import BaseEstimator
    from sklearn.model_selection import train_test_split
    from sklearn.utils import check_random_state
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise BackendUnavailable(
        f"TriopsClassifier and TriopsRegressor need the package scikit-learn, 1.6 or later ({error}): "
        f"pip install 'triops[sklearn]'"
    ) from error

from triops.models.wrappers.sklearn_saving import load_estimator, save_estimator
from triops.models.wrappers.sklearn_training import as_batch, predicted, show_epochs, train_epoch

__all__ = ["TriopsEstimator"]

_OPTIMIZERS: dict[str, Callable[..., Any]] = {"adam": Adam, "adamw": AdamW, "radam": RAdam, "sgd": SGD}
_FLOATS = (np.float64, np.float32)


class TriopsEstimator(BaseEstimator):  # type: ignore[misc]
    """A subclass says what its targets are, the last layer, the losses and the score."""

    saved_attributes: ClassVar[tuple[str, ...]] = (
        "n_features_in_", "feature_names_in_", "dtype_", "loss_curve_", "validation_scores_",
    )  # fmt: skip

    def __init__(
        self,
        model: Any = None,
        *,
        hidden: int | tuple[int, ...] = (100,),
        dropout: float = 0.0,
        optimizer: Any = "adam",
        learn_rate: Any = 0.001,
        batch_size: int = 128,
        epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        tol: float = 1e-4,
        warm_start: bool = False,
        backend: Any = None,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.hidden = hidden
        self.dropout = dropout
        self.optimizer = optimizer
        self.learn_rate = learn_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.tol = tol
        self.warm_start = warm_start
        self.backend = backend
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    # -- fitting

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new model for `epochs` passes over the data; with `warm_start`, the one there is.

        X: (N, features) floats, dense or sparse. y: N labels, or (N,) or (N, outputs) numbers. sample_weight:
        (N,), what each row counts in the mean of the loss. float32 stays float32; all else is computed in
        float64. Returns this estimator. Raises ValueError where the data or settings cannot be used.
        """
        again = self.warm_start and hasattr(self, "model_")
        X, T, weights = self._checked(X, y, sample_weight, again)
        weights = weights / weights.mean()
        if not again:
            self._start(X, T)
            self.loss_curve_: list[float] = []
            self.validation_scores_: list[float] = []
        rows = held_out = np.arange(X.shape[0])
        if self.early_stopping:
            rows, held_out = self._split(rows, T)
            if not weights[held_out].sum() or not weights[rows].sum():
                raise ArgumentError(
                    f"{type(self).__name__}: the weights of all rows that are held out, or of all others, are "
                    f"zero: change validation_fraction or random_state"
                )
        best, best_score, since = None, -np.inf, 0
        with show_epochs(self.verbose, self.epochs) as show:
            for epoch in range(1, self.epochs + 1):
                self.loss_curve_.append(self._train(X, T, weights, rows))
                figures = f"loss {self.loss_curve_[-1]:.4f}"
                if self.early_stopping:
                    score = self._score(X[held_out], T[held_out], weights[held_out])
                    self.validation_scores_.append(score)
                    figures += f", score {score:.4f}"
                    since = 0 if score > best_score + self.tol else since + 1
                    if score > best_score:
                        best, best_score = self.model_.to_bytes(), score
                show(epoch, figures)
                if since >= self.patience:
                    break
        if best is not None:
            self.model_.from_bytes(best)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Self:
        again = hasattr(self, "model_")
        X, T, weights = self._checked(X, y, sample_weight, again, classes)
        if not again:
            self._start(X, T)
            self.loss_curve_, self.validation_scores_ = [], []
        self.loss_curve_.append(self._train(X, T, weights, np.arange(X.shape[0])))
        return self

    def _checked(
        self, X: Any, y: Any, sample_weight: Any, again: bool, classes: Any = None
    ) -> tuple[Any, Any, Any]:
        """X, the targets of the model, and the weights of the rows."""
        self._check_settings()
        checks = {"accept_sparse": "csr", "dtype": _FLOATS, **self._checks_of_y}
        X, y = validate_data(self, X, y, reset=not again, **checks)
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        weights = weights * self._class_weights(y)
        if not weights.any():
            raise ArgumentError(f"{type(self).__name__}: the weights of all rows are zero: give some above 0")
        dtype = self.dtype_ if again else X.dtype
        return X.astype(dtype, copy=False), self._targets(y, again, classes), weights.astype(dtype)

    def _check_settings(self) -> None:
        for name, right, wanted in (
            ("hidden", all(width >= 1 for width in self._widths()), "one width from 1, or a tuple of these"),
            ("dropout", 0 <= self.dropout < 1, "from 0 up to, not including, 1"),
            ("batch_size", self.batch_size >= 1, "1 or more"),
            ("epochs", self.epochs >= 1, "1 or more"),
            ("validation_fraction", 0 < self.validation_fraction < 1, "between 0 and 1"),
            ("patience", self.patience >= 1, "1 or more"),
            ("optimizer", callable(self.optimizer) or self.optimizer in _OPTIMIZERS,
             f"one of {', '.join(_OPTIMIZERS)}, or a function of the learning rate"),
            ("model", self.model is None or isinstance(self.model, Model) or callable(self.model),
             "a triops model, or a function of (nO, nI) that makes one"),
        ):  # fmt: skip
            if not right:
                came = getattr(self, name)
                raise ArgumentError(f"{type(self).__name__}: {name} must be {wanted}, got {came!r}")

    def _widths(self) -> list[int]:
        return [int(width) for width in np.ravel(self.hidden)]

    def _start(self, X: Any, T: Any) -> None:
        """A new model and optimizer."""
        rng, nO, dtype = check_random_state(self.random_state), self._n_targets(), X.dtype.name
        model, first = self._made_model(nO, X.shape[1]), slice(0, self.batch_size)
        target = model.ops.asarray(self._columns(T[first], "float32"))
        model.initialize(as_batch(model, X[first].astype("float32")), target, seed=int(rng.randint(2**31)))
        if (width := model.maybe_get_dim("nO")) not in (None, nO):
            raise ArgumentError(
                f"{type(self).__name__}: the model must have {nO} outputs, as the targets do, it has {width}: "
                f"leave the last layer's nO out, or make the model in a function of (nO, nI)"
            )
        self._rng, self.dtype_, self.model_ = rng, dtype, model.astype(dtype)
        self._take_optimizer()

    def _made_model(self, nO: int, nI: int) -> Model:
        with use_ops(get_current_ops() if self.backend is None else get_ops(self.backend)) as ops:
            if isinstance(self.model, Model):
                return self.model.copy().to(ops if self.backend is not None else self.model.ops)
            if self.model is not None:
                made = self.model(nO, nI)
                if not isinstance(made, Model):
                    raise ArgumentError(
                        f"{type(self).__name__}: model(nO, nI) must return a triops model, got "
                        f"{type(made).__name__}"
                    )
                return made
            return chain(*map(Relu, self._widths()), self._last_layer(nO))

    def _take_optimizer(self) -> None:
        if callable(self.optimizer):
            self._optimizer = self.optimizer(self.learn_rate)
        else:
            self._optimizer = _OPTIMIZERS[self.optimizer](self.learn_rate, use_averages=False)

    def _train(self, X: Any, T: Any, weights: Any, rows: Any) -> float:
        order = self._rng.permutation(rows)
        return train_epoch(
            self.model_, X, T, weights, order, self.batch_size, self.dropout, self._losses, self._optimizer
        )

    def _split(self, rows: Any, T: Any) -> tuple[Any, Any]:
        train, held_out = train_test_split(
            rows, test_size=self.validation_fraction, random_state=self._rng, stratify=self._strata(T)
        )
        return train, held_out

    # -- predicting

    def _output(self, X: Any) -> Any:
        check_is_fitted(self, "model_")
        X = validate_data(self, X, accept_sparse="csr", dtype=_FLOATS, reset=False)
        return predicted(self.model_, X.astype(self.dtype_, copy=False), self.batch_size)

    @property
    def n_iter_(self) -> int:
        """How many passes over the data the model has had."""
        return len(self.loss_curve_)

    # -- saving

    def __getstate__(self) -> dict[str, Any]:
        # A model has another number where it is unpickled, and an optimizer remembers parameters by the number.
        state: dict[str, Any] = super().__getstate__()
        state = {name: value for name, value in state.items() if name != "_optimizer"}
        if hasattr(self, "model_"):
            state["_weights"] = [self.model_.ops.to_numpy(node.get_param(name)) for node, name in self._places()]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        weights = state.pop("_weights", [])
        super().__setstate__(state)
        if hasattr(self, "model_"):
            for (node, name), value in zip(self._places(), weights, strict=True):  # JAX makes float64 float32
                node.set_param(name, node.ops.asarray(value, value.dtype))
            self._take_optimizer()

    def _places(self) -> list[tuple[Model, str]]:
        return [(node, name) for node in self.model_.walk() for name in node.param_names]

    def to_disk(self, path: str | PathLike[str]) -> None:
        """Write the model, what was learnt beside it, and the settings, to a file, which is replaced whole or not
        at all. Left out are `backend`, `model`, and other settings that are objects or functions."""
        check_is_fitted(self, "model_")
        save_estimator(self, path)

    def from_disk(self, path: str | PathLike[str]) -> Self:
        """Load a file that `to_disk` wrote, and return this estimator with its settings. Those that the file does
        not hold stay as they are, so make the estimator with the same `model`. Nothing in the file is run. Raises
        LoadError, and leaves the estimator as it was, where it is damaged or does not fit."""
        load_estimator(self, path)
        return self

    def take_model(self, data: bytes) -> None:
        """Make the model that fits what is known of the data, and load it; for `from_disk`."""
        self._rng = check_random_state(self.random_state)
        self.model_ = self._made_model(self._n_targets(), self.n_features_in_).from_bytes(data)
        self._take_optimizer()
