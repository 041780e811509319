"""Builtin functions that stand before methods of `Ops`, made from the form of their calls. It says what the
method takes and returns, and what the kernel is given:

    X:*n G:n b:n eps -> Y:*n mu:*1 rstd:*1 | X(*,n) G(n) b(n) Y(*,n) mu(*) rstd(*) eps

Arrays come first, with their extents: `*` is any number of leading ones, a letter is the same in all arrays, a
digit is itself. A dtype may follow, as in `which:*:int32`, and `=0` where an array begins with zeros. `P=3` is an
argument that must be this, and what is left are numbers from 0 on. The kernel is given arrays by extents, which
may be products, and numbers.
"""

from __future__ import annotations

import ctypes
import inspect
import struct
import sys
import sysconfig
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from triops.backends.numpy.compiled.arrays import FLOAT
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.entry import (
    ARRAY,
    AT,
    CONSTANT,
    ENTRY,
    EXTENTS,
    NUMBER,
    SYMBOLS,
    UNKNOWN,
    Head,
    enter,
)
from triops.backends.numpy.compiled.frames import address_of_framed

__all__ = ["Way", "before", "is_possible"]

_NO_LIMIT = 2**62


class Way(NamedTuple):
    """A form of an op's calls, and the kernel for it. Only those are meant of which one thread makes one slice.
    size: extents whose product is compared with the kernel's threshold, or else those of the first array. rows:
    what the product of the leading ones is below."""

    op: str
    kernel: Kernel
    form: str
    size: str = ""
    rows: int = _NO_LIMIT


def before(way: Way, method: Callable[..., Any]) -> Callable[..., Any]:
    """The builtin function that stands before a method for calls of that form."""
    form = _Form(way, _defaults_of(method))
    head = [
        address_of_framed(_made(way.kernel.whole, form.kinds)), id(method), *form.head,
        id(np.ndarray), id(float), *map(_of_python, _OF_PYTHON),
    ]  # fmt: skip
    plan = np.array([*Head(*head), *form.words], np.int64).view(_Plan)
    plan.method = method
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(ctypes.byref(_definition(way.op, _text_of(method))), plan, None)  # type: ignore[no-any-return]


class _Plan(np.ndarray):
    """What the builtin function is a method of."""

    method: Any

    def __reduce__(self) -> Any:  # pickled, the function is looked up by its name again
        owner = self.method.__self__
        return owner.__reduce__()


class _Array(NamedTuple):
    name: str
    extents: str
    dtype: np.dtype[Any]
    maker: str

    @classmethod
    def read(cls, text: str) -> _Array:
        text, _, zeros = text.partition("=")
        name, extents, *dtype = text.split(":")
        return cls(name, extents, np.dtype(dtype[0]) if dtype else FLOAT, "zeros" if zeros else "empty")


class _Form:
    """The words of a form. kinds: Numba's types of what the kernel is given."""

    def __init__(self, way: Way, defaults: dict[str, Any]) -> None:
        call, _, inner = way.form.partition(" | ")
        given, _, returned = call.partition(" -> ")
        self._places, self._known = {"*": 0}, [UNKNOWN] * SYMBOLS
        arrays = [_Array.read(text) for text in given.split() if ":" in text]
        results = [_Array.read(text) for text in returned.split()]
        objects = [int(text.partition("=")[2]) for text in given.split() if "=" in text]
        numbers = [text for text in given.split() if ":" not in text and "=" not in text]
        forms = [word for array in (*arrays, *results) for word in self._form(array)]
        passed = [*inner.split(), *map(str, way.kernel.first)]
        items, self.kinds = self._inner(passed, [*arrays, *results], numbers)
        most, size = len(arrays) + len(objects) + len(numbers), self._mask(way.size or arrays[0].extents)
        others = [*map(id, objects), *(_bits(defaults.get(name, 0.0)) for name in numbers)]
        after_forms = 8 * (len(AT) + SYMBOLS + len(forms))
        self.head = [
            most - sum(name in defaults for name in numbers), most, way.kernel.threshold, way.rows, size,
            len(arrays), len(objects), len(results), len(passed), after_forms, after_forms + 8 * len(others),
        ]  # fmt: skip
        self.words = [*self._known, *forms, *others, *items]

    def _place(self, letter: str) -> int:
        place = self._places.setdefault(letter, len(self._places))
        if letter.isdigit():
            self._known[place] = int(letter)
        return place

    def _mask(self, letters: str) -> int:
        return sum(1 << self._place(letter) for letter in letters)

    def _form(self, array: _Array) -> list[int]:
        others = [self._place(letter) for letter in array.extents if letter != "*"]
        return [
            _of_numpy(_OF_NUMPY[array.maker]), id(array.dtype), "*" in array.extents, len(others),
            *_filled(others),
        ]  # fmt: skip

    def _inner(
        self, texts: list[str], arrays: list[_Array], numbers: list[str]
    ) -> tuple[list[int], tuple[Any, ...]]:
        names = [array.name for array in arrays]
        words: list[int] = []
        kinds: list[Any] = []
        for text in texts:
            name, _, extents = text.rstrip(")").partition("(")
            if extents:
                masks = [self._mask(letters) for letters in extents.split(",")]
                words += [ARRAY, names.index(name), len(masks), *_filled(masks)]
                kinds.append(types.Array(getattr(types, arrays[names.index(name)].dtype.name), len(masks), "C"))
            elif name in numbers:
                words += [NUMBER, numbers.index(name), 0, *_filled([])]
                kinds.append(types.float64)
            else:
                words += [CONSTANT, _bits(float(name)) if "." in name else int(name), 0, *_filled([])]
                kinds.append(types.float64 if "." in name else types.int64)
        return words, tuple(kinds)


def _filled(words: list[int]) -> list[int]:
    return words + [0] * (EXTENTS - len(words))


def _bits(number: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    return int(bits)


def _made(dispatcher: Any, kinds: tuple[Any, ...]) -> Any:
    dispatcher.compile(kinds)
    return dispatcher.overloads[kinds]


def _defaults_of(method: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(method).parameters.items()
    return {name: each.default for name, each in parameters if each.default is not each.empty}


# -- C's side

_OF_PYTHON = (
    "PyObject_Vectorcall", "PyTuple_New", "PyTuple_SetItem", "Py_IncRef", "Py_DecRef", "PyEval_SaveThread",
    "PyEval_RestoreThread",
)  # fmt: skip
_OF_NUMPY = {"zeros": 183, "empty": 184}  # places in its table of functions
_FASTCALL_KEYWORDS = 0x0080 | 0x0002


class _Definition(ctypes.Structure):
    """Of a builtin function, as CPython has it."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("text", ctypes.c_char_p),
    )


@cache  # CPython keeps its address
def _definition(name: str, text: str) -> _Definition:
    made = _made(enter, ENTRY)
    address = made.library.get_pointer_to_function(made.fndesc.llvm_cfunc_wrapper_name)
    return _Definition(name.encode(), address, _FASTCALL_KEYWORDS, text.encode())


def _text_of(method: Callable[..., Any]) -> str:
    """What `help` and `inspect.signature` show of it."""
    signature = inspect.signature(method)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return f"{method.__name__}{inspect.Signature(parameters)}\n--\n\n{inspect.getdoc(method) or ''}"


@cache
def _of_python(name: str) -> int:
    return ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0


@cache
def _of_numpy(place: int) -> int:
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    return ctypes.cast(pointer(_numpy_table(), None), ctypes.POINTER(ctypes.c_void_p))[place] or 0


def _numpy_table() -> Any:
    try:
        return import_module("numpy._core._multiarray_umath")._ARRAY_API
    except ImportError:  # before NumPy 2
        return import_module("numpy.core._multiarray_umath")._ARRAY_API


@cache
def is_possible() -> bool:
    """Whether objects of this Python and NumPy are what `entry` takes them for."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED") or sys.maxsize < 2**32:
        return False
    if object.__basicsize__ != 16 or sys.byteorder != "little":
        return False
    array, number = np.zeros((2, 3), FLOAT), 0.1
    words = (ctypes.c_int64 * 9).from_address(id(array))
    extents = (ctypes.c_int64 * 2).from_address(words[4])
    return bool(
        words[1] == id(np.ndarray)
        and words[2] == array.ctypes.data
        and words[3] & 0xFFFFFFFF == array.ndim
        and tuple(extents) == array.shape
        and words[7] == id(FLOAT)
        and words[8] & 0xFFFFFFFF == array.flags.num
        and ctypes.c_double.from_address(id(number) + 16).value == number
        and ctypes.c_int64.from_address(id(number) + 8).value == id(float)
    )
