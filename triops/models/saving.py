"""The saved form of a model: msgpack of its nodes in depth-first order and a checksum, checked in full before
anything in the model changes. Only numbers, strings, lists, maps and raw little-endian arrays: nothing that can
run."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import msgpack

from triops.errors import ArgumentError, LoadError, SaveError, TriopsError
from triops.models.guard import path_of

if TYPE_CHECKING:
    from triops.models.model import Model

__all__ = [
    "decode_array",
    "encode_array",
    "excluded",
    "from_bytes",
    "node_arrays",
    "prepare_node_arrays",
    "read_file",
    "to_bytes",
    "write_whole",
]

_MAGIC = "triops-model"
_FORMAT = 1
_SECTIONS = ("params", "state", "attrs")
_MOST_DIMENSIONS = 32
_ITEM_SIZES = {
    "bool": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "float16": 2, "int32": 4,
    "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip


def excluded(exclude: Mapping[str, Any]) -> frozenset[str]:
    """The sections that keyword arguments name, `state=False` or `exclude=["state"]`."""
    wanted = dict(exclude)
    names = wanted.pop("exclude", ())
    wanted |= dict.fromkeys([names] if isinstance(names, str) else names, False)
    unknown = wanted.keys() - set(_SECTIONS)
    if unknown:
        raise ArgumentError(
            f"cannot exclude {', '.join(sorted(unknown))}: a model's sections are {', '.join(_SECTIONS)}"
        )
    return frozenset(name for name, keep in wanted.items() if not keep)


# -- writing


def to_bytes(model: Model, exclude: frozenset[str]) -> bytes:
    """Every node as {name, dims, attrs, params, state}."""
    nodes = []
    for node in model.walk(order="dfs_pre"):
        saved = {"type": type(node).__name__, "dims": node._dims, "attrs": node.attrs, **node.save_node()}
        nodes.append({key: value for key, value in saved.items() if key not in exclude})
    try:
        packed = _pack({"magic": _MAGIC, "format": _FORMAT, "nodes": nodes})
    except (TypeError, ValueError, OverflowError) as error:
        raise SaveError(
            f"{_unsaveable(model, nodes)}: attrs or state hold something that msgpack cannot save ({error}): "
            f"keep numbers, strings, lists and maps there, and arrays of the model's ops in set_state alone"
        ) from error
    return packed + _checksum(packed)


def node_arrays(node: Model) -> dict[str, Any]:
    """The parameters and state of a node, each array as {dtype, shape, data}."""
    return {
        "params": {
            name: encode_array(node, name, node.get_param(name)) if node.has_param(name) else None
            for name in node.param_names
        },
        "state": {name: encode_array(node, name, value) for name, value in node._state.items()},
    }


def write_whole(path: str | PathLike[str], data: bytes) -> None:
    """Write beside the file and rename: whoever reads it sees the old content or the new, never a part."""
    target = os.path.realpath(os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise SaveError(f"{target} is a folder or a device, not a file that can be replaced: name a file")
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name}.{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def encode_array(node: Model, name: str, value: Any) -> Any:
    """An array as {dtype, shape, data}; what is none as it is. Raises SaveError where it cannot be saved."""
    if not node.ops.backend.is_array(value):
        return value
    host = node.ops.to_numpy(value)
    dtype = host.dtype.name
    if dtype not in _ITEM_SIZES:
        raise SaveError(
            f"{node.name}: {name} has dtype {dtype}, which cannot be saved: convert the model with "
            f"astype('float32') first"
        )
    little = host.astype(host.dtype.newbyteorder("<"), copy=False)
    return {"dtype": dtype, "shape": list(host.shape), "data": little.tobytes()}


def _checksum(data: bytes | bytearray | memoryview) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _pack(saved: Any) -> bytes:
    packed: bytes = msgpack.packb(saved, use_bin_type=True)
    return packed


def _unsaveable(model: Model, nodes: list[dict[str, Any]]) -> str:
    for node, saved in zip(model.walk(order="dfs_pre"), nodes, strict=True):
        try:
            _pack(saved)
        except (TypeError, ValueError, OverflowError):
            return path_of(model, node)
    return model.name


# -- reading


def read_file(path: str | PathLike[str]) -> bytes:
    """A file's bytes; a clear error for a folder."""
    if os.path.isdir(path):
        raise LoadError(f"{os.fspath(path)} is a folder, not a saved model: name the file inside it")
    with open(path, "rb") as file:
        return file.read()


def from_bytes(model: Model, data: bytes, exclude: frozenset[str]) -> None:
    """Check everything first; then take it over."""
    nodes = list(model.walk(order="dfs_pre"))
    saved_nodes = _read_nodes(data)
    if len(saved_nodes) != len(nodes):
        raise LoadError(
            f"{model.name}: the saved model has {len(saved_nodes)} layers in all, this one has "
            f"{len(nodes)}: build the same structure before loading"
        )
    steps: list[Callable[[], None]] = []
    for node, saved in zip(nodes, saved_nodes, strict=True):
        try:
            steps.extend(_prepare_node(node, saved, exclude))
        except TriopsError as error:
            raise LoadError(f"{path_of(model, node)}: {error.message}") from error
        except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as error:
            raise LoadError(f"{path_of(model, node)}: the saved layer is damaged ({error})") from error
    for take_over in steps:
        take_over()


def _read_nodes(data: bytes) -> list[dict[str, Any]]:
    if not isinstance(data, bytes | bytearray | memoryview):
        raise LoadError(f"a saved model is bytes, got {type(data).__name__}: use from_disk for a path")
    unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=max(len(data), 1))
    try:
        unpacker.feed(data)
        content = unpacker.unpack()
    except Exception as error:
        raise LoadError(
            f"not a saved model, or a damaged one: {len(data)} bytes that do not read as msgpack "
            f"({type(error).__name__}): save it again, or get a whole copy"
        ) from error
    if not isinstance(content, dict) or content.get("magic") != _MAGIC:
        raise LoadError("not a model that triops saved: make it with to_bytes or to_disk")
    if content.get("format") != _FORMAT:
        raise LoadError(
            f"the saved model has format {content.get('format')!r}, this triops reads {_FORMAT}: load it "
            f"with the version that saved it"
        )
    end = unpacker.tell()
    if bytes(data[end:]) != _checksum(data[:end]):
        raise LoadError("the saved model is damaged: its checksum is wrong: get a whole copy of it")
    nodes = content.get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise LoadError("the saved model is damaged: it has no list of layers")
    return nodes


def _prepare_node(node: Model, saved: dict[str, Any], exclude: frozenset[str]) -> Iterable[Callable[[], None]]:
    if saved["type"] != type(node).__name__:
        raise LoadError(
            f"expected a layer of type {type(node).__name__}, the saved one is {saved['type']}: build the "
            f"same structure before loading"
        )
    dims = _checked_dims(node, saved["dims"])
    yield lambda: node._dims.update(dims)
    if "attrs" in saved and "attrs" not in exclude:
        attrs = saved["attrs"]
        if not isinstance(attrs, dict):
            raise LoadError(f"attrs must be a map, got {type(attrs).__name__}")
        yield lambda: node.attrs.update(attrs)
    kept: dict[str, Any] = {key: saved[key] for key in ("params", "state") if key in saved and key not in exclude}
    yield node.load_node({**kept, "dims": dims})


def _checked_dims(node: Model, saved: Any) -> dict[str, int]:
    dims = {}
    for name, size in saved.items():
        if size is None:
            continue
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise LoadError(f"dimension {name} must be a positive integer, the saved one is {size!r}")
        known = node.maybe_get_dim(name)
        if name not in node.dim_names or known not in (None, size):
            raise LoadError(
                f"dimension {name}: expected {known}, the saved one is {size}: build the layer with {name}={size}"
            )
        dims[name] = size
    return dims


def prepare_node_arrays(node: Model, saved: dict[str, Any]) -> Callable[[], None]:
    """Check saved parameters against this node's, by name and shape."""
    dims = {name: node.maybe_get_dim(name) for name in node.dim_names} | saved["dims"]
    params: dict[str, Any] = {}
    for name, value in saved.get("params", {}).items():
        params[name] = (
            None if value is None else decode_array(node, name, value, _expected_shape(node, name, dims))
        )
        if value is not None and name in node._specs:
            # Where no dimension says how large the first array must be, it says so for the others.
            for dim, extent in zip(node._specs[name].dims, params[name].shape, strict=True):
                if isinstance(dim, str) and dims.get(dim) is None:
                    dims[dim] = extent
    if "params" in saved and set(params) != set(node.param_names):
        raise LoadError(
            f"expected the parameters {sorted(node.param_names)}, the saved ones are {sorted(params)}"
        )
    state = {
        name: decode_array(node, name, value, None) if _is_encoded(value) else value
        for name, value in saved.get("state", {}).items()
    }

    def take_over() -> None:
        node._params.update(params)
        node._state.update(state)
        node._grads.clear()

    return take_over


def _expected_shape(node: Model, name: str, dims: dict[str, int | None]) -> tuple[int | None, ...] | None:
    """The shape a parameter must have, None where nothing is known of an extent or of all."""
    spec = node._specs.get(name)
    if spec is not None:
        return tuple(dims.get(dim) if isinstance(dim, str) else dim for dim in spec.dims)
    present = node.maybe_get_param(name)
    return None if present is None else tuple(present.shape)


def _is_encoded(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"dtype", "shape", "data"}


def decode_array(node: Model, name: str, saved: Any, expected: tuple[int | None, ...] | None) -> Any:
    """An array of the node's ops from {dtype, shape, data}. Raises LoadError where it is damaged, or not of the
    expected shape, in which None stands for any extent."""
    if not _is_encoded(saved):
        raise LoadError(f"{name} is no saved array")
    dtype, shape, data = saved["dtype"], saved["shape"], saved["data"]
    if dtype not in _ITEM_SIZES:
        raise LoadError(f"{name} has the unknown dtype {dtype!r}")
    if len(shape) > _MOST_DIMENSIONS or not all(isinstance(extent, int) and extent >= 0 for extent in shape):
        raise LoadError(f"{name} has the shape {shape!r}, which is none")
    size = math.prod(shape) * _ITEM_SIZES[dtype]
    if len(data) != size:
        raise LoadError(f"{name} of shape {shape} and dtype {dtype} needs {size} bytes, has {len(data)}")
    if expected is not None and (
        len(shape) != len(expected)
        or any(want not in (None, have) for want, have in zip(expected, shape, strict=True))
    ):
        wanted = tuple("any" if extent is None else extent for extent in expected)
        raise LoadError(f"{name}: expected shape {wanted}, the saved one is {tuple(shape)}")
    # A copy of its own: NumPy's view of bytes is read-only, and optimizers from elsewhere write in place.
    writable: Any = bytearray(data)
    return node.ops.from_bytes(writable, dtype, shape)
