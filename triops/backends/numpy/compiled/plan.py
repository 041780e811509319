"""Builtin functions that stand before methods of `Ops`, made from the form of their calls. It says what the
method takes and returns, and what the kernel is given:

    X:*n G:n b:n eps -> Y:*n mu:*1 rstd:*1 | X(*,n) G(n) b(n) Y(*,n) mu(*) rstd(*) eps

An array has extents: `*` is any number of leading ones, a letter is the same in all arrays, a digit is itself. A
dtype may follow, as in `which:*:int32`, and `=0` where an array begins with zeros. `P=3` is an argument that must
be this one, `rows=T` an extent, and what is left are numbers above 0; those after a lone `*` are given by name.
The kernel has arrays by their extents, extents, numbers, `1/` them, and constants. Its extents, and those of
results, may be products and quotients, which commas part: `Y:T,3W`, `dX:T,D/3`. A result may be None, an earlier
one, or an argument.
"""

from __future__ import annotations

import ctypes
import inspect
import struct
import sys
import sysconfig
from ast import literal_eval
from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from triops.backends.numpy.compiled.arrays import FLOAT
from triops.backends.numpy.compiled.build import Kernel
from triops.backends.numpy.compiled.entry import (
    AGAIN,
    ARGUMENT,
    ARRAY,
    AS_IT_IS,
    AT,
    CONSTANT,
    ENTRY,
    EXTENT,
    EXTENTS,
    GIVEN,
    INVERSE,
    NUMBER,
    OBJECT,
    RESULTS,
    RETURNED,
    SYMBOL,
    SYMBOLS,
    UNKNOWN,
    VALUE,
    WORDS,
    Head,
    enter,
)
from triops.backends.numpy.compiled.frames import address_of_framed

__all__ = ["Way", "before", "compile_way", "is_possible"]

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
    form = _Form(way, method)
    head = [
        address_of_framed(_made(way.kernel.whole, kinds_of(way))), id(method), *form.head,
        id(np.ndarray), id(float), id(int), *map(_of_python, _OF_PYTHON),
    ]  # fmt: skip
    plan = np.array([*Head(*head), *form.words], np.int64).view(_Plan)
    plan.kept = method, form.kept
    make = ctypes.pythonapi.PyCFunction_NewEx
    make.restype, make.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.py_object, ctypes.c_void_p)
    return make(ctypes.byref(_definition(way.op, _text_of(method))), plan, None)  # type: ignore[no-any-return]


class _Plan(np.ndarray):
    """What the builtin function is a method of."""

    kept: tuple[Any, ...]
    """What must live as long: it has the address of each."""

    def __reduce__(self) -> Any:  # pickled, the function is looked up by its name again
        method, *_ = self.kept
        return method.__self__.__reduce__()


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

    @property
    def own(self) -> list[str]:
        """All extents after the leading ones."""
        extents = self.extents.removeprefix("*")
        return extents.split(",") if "," in extents else [*extents]


def compile_way(way: Way) -> None:
    """Compile the kernel of a way, or read it from the disk."""
    _made(way.kernel.whole, kinds_of(way))


def kinds_of(way: Way) -> tuple[Any, ...]:
    """Numba's types of what the kernel is given."""
    call, _, inner = way.form.partition(" | ")
    arrays = {text.partition(":")[0]: _Array.read(text) for text in call.split() if ":" in text}
    kinds: list[Any] = []
    for text in (*inner.split(), *map(str, way.kernel.first)):
        name, _, extents = text.partition("(")
        if extents:
            dtype = getattr(types, arrays[name].dtype.name)
            kinds.append(types.Array(dtype, 1 + extents.count(","), "C"))
        else:
            kinds.append(types.int64 if text.isdigit() or _is_symbol(text) else types.float64)
    return tuple(kinds)


class _Form:
    """The words of a form."""

    def __init__(self, way: Way, method: Callable[..., Any]) -> None:
        call, _, inner = way.form.partition(" | ")
        given, _, returned = call.partition(" -> ")
        by_place, *by_name = (part.split() for part in given.split(" * "))
        texts = [*by_place, *chain(*by_name)]
        self._symbols, self._known = {"*": 0}, [UNKNOWN] * SYMBOLS
        parameters = inspect.signature(method).parameters
        names = [*parameters][: len(by_place)] + [text.partition("=")[0] for text in chain(*by_name)]
        defaults = [parameters[name].default for name in names]
        optional = [
            name
            for name, text, default in zip(names, texts, defaults, strict=True)
            if (text == name and isinstance(default, float)) or text == f"{name}={default}"
        ]
        self.kept: list[Any] = []  # whose addresses are among the words
        words = [
            word
            for name, text, default in zip(names, texts, defaults, strict=True)
            for word in self._parameter(sys.intern(name), text, default)
        ]
        results = returned.split()
        forms = [word for text in results for word in self._result(text, results, texts)]
        passed = [*inner.split(), *map(str, way.kernel.first)]
        assert len(results) <= RESULTS
        assert sum(2 + text.count(",") if "(" in text else 1 for text in passed) <= WORDS
        items = self._items(passed, texts, results)
        size = self._mask(way.size or _Array.read(texts[0]).extents)
        at_results = 8 * (len(AT) + SYMBOLS)
        at_parameters = at_results + 8 * len(forms)
        self.head = [
            len(names) - len(optional), len(names), len(by_place), way.kernel.threshold, way.rows, size,
            len(results), at_results, at_parameters, len(passed), at_parameters + 8 * len(words),
        ]  # fmt: skip
        self.words = [*self._known, *forms, *words, *items]

    def _symbol(self, letter: str) -> int:
        symbol = self._symbols.setdefault(letter, len(self._symbols))
        assert symbol < SYMBOLS
        if letter.isdigit():
            self._known[symbol] = int(letter)
        return symbol

    def _mask(self, text: str) -> int:
        letters, _, divisor = text.partition("/")
        return sum(1 << self._symbol(letter) for letter in letters) + (int(divisor or 0) << SYMBOLS)

    @staticmethod
    def _form(array: _Array, own: list[int]) -> list[int]:
        maker = _of_numpy(_OF_NUMPY[array.maker])
        return [maker, id(array.dtype), "*" in array.extents, len(own), *_filled(own, EXTENTS)]

    def _result(self, text: str, results: list[str], texts: list[str]) -> list[int]:
        if ":" in text:
            array = _Array.read(text)
            return self._form(array, [*map(self._mask, array.own)])
        if text == "None":
            return _filled([AS_IT_IS, id(None)], 4 + EXTENTS)
        for kind, others in ((AGAIN, results), (ARGUMENT, texts)):
            for place, other in enumerate(others):
                if other.startswith(f"{text}:"):
                    return _filled([kind, place], 4 + EXTENTS)
        raise ValueError(f"there is no {text} among {results} and {texts}")

    def _parameter(self, name: str, text: str, default: Any) -> list[int]:
        self.kept.append(name)
        _, is_fixed, value = text.partition("=")
        if ":" in text:
            array = _Array.read(text)
            return [id(name), ARRAY, *self._form(array, [*map(self._symbol, array.own)])]
        if is_fixed and _is_symbol(value):
            kind, word = EXTENT, self._symbol(value)
        elif is_fixed:
            self.kept.append(sys.intern(literal_eval(value)) if "'" in value else literal_eval(value))
            kind, word = OBJECT, id(self.kept[-1])
        else:
            kind, word = NUMBER, _bits(default) if isinstance(default, float) else 0
        return [id(name), kind, *_filled([word], 4 + EXTENTS)]

    def _items(self, passed: list[str], texts: list[str], results: list[str]) -> list[int]:
        given = [(GIVEN, n, _Array.read(text)) for n, text in enumerate(texts) if ":" in text]
        returned = [(RETURNED, n, _Array.read(text)) for n, text in enumerate(results) if ":" in text]
        arrays = {array.name: (kind, place) for kind, place, array in (*given, *returned)}
        words: list[int] = []
        for text in passed:
            name, _, extents = text.rstrip(")").partition("(")
            number = name.removeprefix("1/")
            if extents:
                masks = [self._mask(letters) for letters in extents.split(",")]
                item = [*arrays[name], len(masks), *masks]
            elif number in texts:
                item = [VALUE if number == name else INVERSE, texts.index(number)]
            elif _is_symbol(name):
                item = [SYMBOL, self._symbol(name)]
            else:
                item = [CONSTANT, int(name) if name.isdigit() else _bits(float(name))]
            words += _filled(item, 3 + EXTENTS)
        return words


def _is_symbol(text: str) -> bool:
    return len(text) == 1 and text.isupper()


def _filled(words: list[int], length: int) -> list[int]:
    return words + [0] * (length - len(words))


def _bits(number: float) -> int:
    (bits,) = struct.unpack("<q", struct.pack("<d", number))
    return int(bits)


def _made(dispatcher: Any, kinds: tuple[Any, ...]) -> Any:
    dispatcher.compile(kinds)
    return dispatcher.overloads[kinds]


# -- C's side

_OF_PYTHON = (
    "PyObject_Vectorcall", "PyLong_AsSsize_t", "PyErr_Clear", "PyTuple_New", "PyTuple_SetItem", "Py_IncRef",
    "Py_DecRef", "PyEval_SaveThread", "PyEval_RestoreThread",
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
    both = array, number
    extents = (ctypes.c_int64 * 2).from_address(words[4])
    return bool(
        words[1] == id(np.ndarray)
        and words[2] == array.ctypes.data
        and words[3] & 0xFFFFFFFF == array.ndim
        and tuple(extents) == array.shape
        and words[7] == id(FLOAT)
        and words[8] & 0xFFFFFFFF == array.flags.num
        and ctypes.c_int64.from_address(id(both) + tuple.__basicsize__ + 8).value == id(number)
        and ctypes.c_double.from_address(id(number) + 16).value == number
        and ctypes.c_int64.from_address(id(number) + 8).value == id(float)
    )
