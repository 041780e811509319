"""Memory of the JAX backend, and how a formula becomes one XLA program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial, wraps
from operator import attrgetter
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxlib.version import __version__ as jaxlib_version

from triops.backends.backend import Backend, Device, each
from triops.backends.compiler import Compiler
from triops.backends.host import as_host_array
from triops.backends.jax.scan import scan
from triops.backends.malloc import keep_freed_memory
from triops.errors import BackendUnavailable
from triops.ragged import Padded, Ragged
from triops.types import Array, DType, Shape

__all__ = ["JaxBackend", "jax_devices"]

if not hasattr(jax.config, "jax_explicit_x64_dtypes"):
    raise ImportError(f"triops needs JAX 0.10 or later and found {jax.__version__}")
from jax.extend.core import get_opaque_trace_state

# Without this JAX turns every float64 or 64-bit integer into 32 bits, whatever dtype was asked for.
# Only dtypes that are named are affected: the defaults, and so other JAX code, stay at 32 bits.
jax.config.update("jax_explicit_x64_dtypes", "allow")


def _parts(sequences: Any, names: tuple[str, ...]) -> tuple[tuple[tuple[Any, Any], ...], None]:
    return tuple((jax.tree_util.GetAttrKey(name), getattr(sequences, name)) for name in names), None


def _rebuilt(kind: Any, _: None, parts: Any) -> Any:
    # Without the checks: JAX puts other things than arrays in the places of arrays.
    sequences = object.__new__(kind)
    for name, part in zip(kind.__dataclass_fields__, parts, strict=True):
        object.__setattr__(sequences, name, part)
    return sequences


# Compiled functions take and give sequences, with their lengths as data.
for _kind in (Ragged, Padded):
    jax.tree_util.register_pytree_with_keys(
        _kind, partial(_parts, names=tuple(_kind.__dataclass_fields__)), partial(_rebuilt, _kind)
    )

_KINDS = {"gpu": "cuda"}
_NO_TRACE = get_opaque_trace_state()
_CONCRETE: type = type(jnp.zeros(()))
_FLOAT64 = jnp.dtype("float64")


class JaxBackend(Backend):
    """jax.Array on one device; each formula is one jitted program."""

    name: ClassVar[str] = "jax"
    immutable: ClassVar[bool] = True
    kind_of = attrgetter("aval")
    xp = jnp
    scan = staticmethod(scan)

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        keep_freed_memory()
        self._jax_device = jax_devices()[device]
        self._has_others = len(jax_devices()) > 1

    @classmethod
    def devices(cls) -> tuple[Device, ...]:
        return tuple(jax_devices())

    @classmethod
    def versions(cls) -> dict[str, str]:
        return {"jax": jax.__version__, "jaxlib": jaxlib_version}

    def is_array(self, data: object) -> bool:
        return type(data) is _CONCRETE or isinstance(data, jax.Array)

    def owns(self, data: object) -> bool:
        if type(data) is _CONCRETE:
            return not self._has_others or self._jax_device in data.devices()  # type: ignore[attr-defined]
        return isinstance(data, jax.Array)

    def device_of(self, array: Array) -> Device:
        if self.is_traced(array):
            return self.device
        return _named(next(iter(array.devices())))  # type: ignore[attr-defined]

    def asarray(self, data: Any, dtype: DType | None) -> Any:
        if self.is_traced(data):
            return data if dtype is None else data.astype(dtype)
        # What has a value keeps it while a function is traced.
        with jax.ensure_compile_time_eval():
            if not isinstance(data, jax.Array):
                data = as_host_array(data)
                with jax.enable_x64(True):
                    # XLA may borrow aligned host memory; what the caller does to it later must not show here.
                    if dtype is None or data.dtype == dtype:
                        # `jnp.array` would compile a program for each shape, to convert nothing.
                        data = jax.device_put(data.copy())
                    else:
                        data = jnp.array(data, dtype=dtype, copy=True)
            elif dtype is not None:
                data = data.astype(dtype)
            return data if data.devices() == {self._jax_device} else jax.device_put(data, self._jax_device)

    def to_numpy(self, array: Any) -> Any:
        return as_host_array(array)  # jax.device_get does the same in forty times the time

    def from_host(self, arrays: list[Any]) -> list[Any]:
        with jax.enable_x64(True), jax.ensure_compile_time_eval():
            placed: list[Any] = jax.device_put(arrays, self._jax_device)
        return placed

    def alloc(self, shape: Shape, dtype: DType, *, zeros: bool) -> Any:
        if self.device.kind == "cpu" and get_opaque_trace_state() == _NO_TRACE:
            # `jnp.zeros` would compile a program for each shape, and take longer each time.
            return self.from_host([self.host.namespace.zeros(tuple(shape), jnp.dtype(dtype))])[0]
        return jnp.zeros(tuple(shape), dtype=dtype, device=self._jax_device)

    def synchronize(self, arrays: tuple[Any, ...]) -> None:
        jax.block_until_ready(arrays or jax.live_arrays())

    def is_traced(self, array: object) -> bool:
        return type(array) is not _CONCRETE and (
            isinstance(array, jax.core.Tracer) or hasattr(array, "__jax_array__")
        )

    @cached_property
    def compiler(self) -> Compiler:
        from triops.backends.jax.compiler import JaxCompiler

        return JaxCompiler()

    @cached_property
    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        from triops.backends.jax.kernels import KERNELS

        return {name: self._here(_jitted(kernel)) for name, kernel in KERNELS.items()}

    def bind(self, formula: Callable[..., Any]) -> Callable[..., Any]:
        return self._here(_jitted(_precise(formula)))

    def over_lists(self, name: str, formula: Callable[..., Any]) -> Callable[..., Any]:
        # One program for all arrays: on small ones, calling costs more than computing.
        kernel = _precise(formula)
        return self._here(_jitted(each(kernel), static=_keyword_only(kernel)))

    def _here(self, compiled: Callable[..., Any]) -> Callable[..., Any]:
        if not self._has_others:
            return compiled

        def call(*args: Any, **settings: Any) -> Any:
            # What takes no array, as a dropout mask, would run on JAX's default device instead.
            with jax.default_device(self._jax_device):
                return compiled(*args, **settings)

        return call


class _Namespace:
    """JAX's, with the special functions that formulas have in many operations where a namespace has none."""

    erf = staticmethod(jax.scipy.special.erf)

    def __getattr__(self, name: str) -> Any:
        return getattr(jnp, name)


_NAMESPACE = _Namespace()


def _precise(formula: Callable[..., Any]) -> Callable[..., Any]:
    """A formula over JAX's namespace. As in the kernels, float32 is to mean float32 on every device."""

    @wraps(formula)
    def call(*args: Any, **settings: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return formula(_NAMESPACE, *args, **settings)

    return call


def _jitted(function: Callable[..., Any], static: Sequence[str] | None = None) -> Callable[..., Any]:
    """One XLA program a shape. Positional arguments are traced, keyword-only ones are compiled in."""
    compiled = jax.jit(function, static_argnames=_keyword_only(function) if static is None else static)

    def call(first: Any, *args: Any, **settings: Any) -> Any:
        arrays = jax.tree.leaves(first) if isinstance(first, list | tuple) else (first,)
        if all(array.dtype != _FLOAT64 for array in arrays):
            return compiled(first, *args, **settings)
        # A Python number in a formula is float32 to JAX unless this is on, and would cost half the digits.
        with jax.enable_x64(True):
            return compiled(first, *args, **settings)

    return call


def _keyword_only(function: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def jax_devices() -> dict[Device, Any]:
    """JAX's devices by triops' names, its default first."""
    try:
        default = jax.devices()
    except RuntimeError as error:
        raise BackendUnavailable(f"JAX finds no device: {error}") from error
    found = {_named(device): device for device in default}
    if "cpu" not in {device.kind for device in found}:
        found |= {_named(device): device for device in jax.devices("cpu")}
    return found


def _named(device: Any) -> Device:
    return Device(_KINDS.get(device.platform, device.platform), device.id)
