"""What a wrapper needs of a Keras layer whatever computes it: names of its variables that do not change, its
random streams, its rates of dropout, and a copy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import keras
import numpy as np
from keras.src.backend.common import dtypes

from triops.errors import ArgumentError
from triops.models.seeds import derive_seed

__all__ = [
    "described", "float64", "from_description", "has_float64", "named_variables", "rates", "rebuilt",
    "set_streams",
]  # fmt: skip

_STREAM = "seed_generator_state"
_NUMBERED = re.compile(r"(.+?)_\d+")


def named_variables(layer: Any) -> dict[str, Any]:
    """Every variable, by its path with the numbers that Keras counts up for as long as the process lives counted
    from the beginning of this layer: two layers that are made alike have the same names."""
    automatic = {_snake_case(type(inner).__name__) for inner in layer._flatten_layers()} | {"seed_generator"}
    counted: dict[tuple[str, str], list[str]] = {}
    found: dict[str, Any] = {}
    for variable in layer.variables:
        steps = variable.path.split("/")
        path = ""
        for step in steps[1:] if len(steps) > 1 and steps[0] == layer.name else steps:
            numbered = _NUMBERED.fullmatch(step)
            base = numbered[1] if numbered and numbered[1] in automatic else step
            known = counted.setdefault((path, base), [])
            if step not in known:
                known.append(step)
            number = known.index(step)
            path += f"/{base}_{number}" if number else f"/{base}"
        name, copies = path[1:], 1
        while name in found:
            copies += 1
            name = f"{path[1:]}#{copies}"
        found[name] = variable
    return found


def set_streams(variables: list[Any], seed: int) -> list[Any]:
    """For each variable that is the state of a random stream, what `seed` makes of it; None for the others."""
    states: list[Any] = []
    for i, variable in enumerate(variables):
        if variable.path.endswith(_STREAM):
            drawn = derive_seed(seed, i)
            # 31 bits each: in some backends the state is signed.
            state = np.array([drawn & 0x7FFFFFFF, drawn >> 32 & 0x7FFFFFFF])
            states.append(state.astype(keras.backend.standardize_dtype(variable.dtype)))
        else:
            states.append(None)
    return states


def has_float64(layer: Any) -> bool:
    """Whether any variable is in double precision."""
    return any(variable.dtype == "float64" for variable in layer.variables)


@contextmanager
def float64(wide: bool) -> Iterator[None]:
    """A block in which Keras computes in double precision where it is told to. On JAX and PyTorch its own rules
    make the results of several operations float32, whatever their arguments are."""
    if not wide or keras.backend.backend() == "tensorflow":
        yield
        return
    before = dtypes.BIT64_TO_BIT32_DTYPE["float64"]
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    try:
        with _jax_float64():
            yield
    finally:
        dtypes.BIT64_TO_BIT32_DTYPE["float64"] = before


def _jax_float64() -> AbstractContextManager[Any]:
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    context: AbstractContextManager[Any] = jax.enable_x64(True)
    return context


@contextmanager
def rates(layer: Any, drop: float | None) -> Iterator[None]:
    """A block in which `drop`, where it is above 0, is the rate of all dropout layers that have one."""
    dropouts = [
        inner
        for inner in (layer._flatten_layers() if drop else ())
        if isinstance(inner, keras.layers.Dropout) and inner.rate > 0
    ]
    before = [dropout.rate for dropout in dropouts]
    try:
        for dropout in dropouts:
            dropout.rate = drop
        yield
    finally:
        for dropout, rate in zip(dropouts, before, strict=True):
            dropout.rate = rate


def rebuilt(layer: Any, dtype: str | None = None) -> Any:
    """The layer made again from its configuration, computing in another dtype where one is given, with the same
    values. Raises ArgumentError where Keras cannot make it from that."""
    return from_description(described(layer), dtype)


class Description(NamedTuple):
    """What Keras makes a layer of, and what that leaves out. trained: of the layer and those inside it whether
    they are. values: those of its variables."""

    name: str
    config: Any
    trained: list[bool]
    values: list[Any]
    wide: bool


def described(layer: Any, *, on_host: bool = False) -> Description:
    """A layer, to be made again. Raises ArgumentError where it has no configuration."""
    with _named_in_errors(type(layer).__name__):
        config = _with_dtype(keras.saving.serialize_keras_object(layer), None)
    values = [variable.value for variable in layer.variables]
    return Description(
        type(layer).__name__,
        config,
        [inner.trainable for inner in (layer, *_all_layers(layer))],
        [keras.ops.convert_to_numpy(value) for value in values] if on_host else values,
        has_float64(layer),
    )


def from_description(description: Description, dtype: str | None = None) -> Any:
    """A layer like the one that was described. Raises ArgumentError where Keras cannot make it."""
    name, config, trained, values, wide = description
    with _named_in_errors(name), float64(wide or dtype == "float64"):
        usual = keras.config.dtype_policy()
        try:
            if dtype is not None:  # layers that a class makes by itself are in no configuration
                keras.config.set_dtype_policy(dtype)
            twin = keras.saving.deserialize_keras_object(_with_dtype(config, dtype), safe_mode=False)
        finally:
            keras.config.set_dtype_policy(usual)
        twin.trainable = trained[0]
        for inner, is_trained in zip(_all_layers(twin), trained[1:], strict=True):
            inner.trainable = is_trained
        for variable, value in zip(twin.variables, values, strict=True):
            variable.assign(keras.ops.cast(value, variable.dtype))
    return twin


@contextmanager
def _named_in_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ArgumentError(
            f"Keras cannot make {name} again from its configuration ({error}): give it get_config, and register "
            f"its class with keras.saving.register_keras_serializable()"
        ) from error


def _all_layers(layer: Any) -> list[Any]:
    return list(layer._flatten_layers())


def _with_dtype(config: Any, dtype: str | None) -> Any:
    """The configuration without what it was compiled with, and with another floating dtype everywhere."""
    if isinstance(config, list | tuple):
        return type(config)(_with_dtype(item, dtype) for item in config)
    if not isinstance(config, dict):
        return config
    if dtype is not None and config.get("class_name") == "DTypePolicy":
        return {**config, "config": {**config["config"], "name": dtype}}
    changed = {key: _with_dtype(value, dtype) for key, value in config.items() if key != "compile_config"}
    if dtype is not None and str(changed.get("dtype")).startswith("float"):
        changed["dtype"] = dtype
    return changed


def _snake_case(name: str) -> str:
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
