"""The builtin function that stands before methods of `Ops`: to check arguments, make arrays for results, and
have Numba look at them takes several times as long as a small kernel. A plan says what it does; see `plan`.

Where the arguments are plain arrays whose shapes fit it makes the results' arrays, calls the kernel, and returns.
Where anything is otherwise it calls the method, with the arguments as they came.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.core import types

from triops.backends.numpy.compiled.jit import called, compiled, source_of
from triops.backends.numpy.compiled.memory import call, inverse, load, load_half, room, store

__all__ = [
    "AGAIN", "ARGUMENT", "ARRAY", "AS_IT_IS", "AT", "CONSTANT", "ENTRY", "EXTENT", "EXTENTS", "GIVEN", "INVERSE",
    "NUMBER", "OBJECT", "RESULTS", "RETURNED", "SYMBOL", "SYMBOLS", "UNKNOWN", "VALUE", "WORDS", "Head", "enter",
]  # fmt: skip

# Where things are in objects of CPython and NumPy.
_TYPE, _NUMBER = 8, 16
_DATA, _NDIM, _EXTENTS, _DTYPE, _FLAGS = 16, 24, 32, 56, 64
_COUNT, _ITEMS = 16, tuple.__basicsize__  # of a tuple
_CARRAY = 0x1 | 0x100 | 0x400  # contiguous, aligned, writeable

SYMBOLS = 8  # of extents in a plan; the first is the product of all leading ones
UNKNOWN = -1
EXTENTS, RESULTS, WORDS = 3, 4, 32  # at most: of an array after the leading ones, of a call, for a kernel
_MOST_LEADING = 8
_LEAST_FREE = 4096  # entries from which other threads of Python may run meanwhile
_INFINITE = 0x7FF0000000000000  # the bits of infinity: those of numbers above 0 are from 1 to before it


class Head(NamedTuple):
    """Where the first words of a plan are. The known symbols follow; then, each where the head says, the forms of
    the results, the parameters, and what the kernel is given."""

    loop: int
    method: int
    least: int
    most: int
    positional: int
    limit: int
    limit_of_leading: int
    size: int
    results: int
    result_forms: int
    parameters: int
    arguments: int
    items: int
    array_type: int
    float_type: int
    int_type: int
    call_method: int
    as_extent: int
    forget_error: int
    make_tuple: int
    set_item: int
    hold: int
    drop: int
    save: int
    restore: int


AT = Head(*range(0, 8 * len(Head._fields), 8))
THE_FIRST = 2  # what a kernel returns where the result is the first argument, as it is
ARRAY, OBJECT, EXTENT, NUMBER = range(4)  # kinds of parameters
GIVEN, RETURNED, VALUE, INVERSE, SYMBOL, CONSTANT = range(6)  # kinds of what the kernel is given; two are arrays
AS_IT_IS, AGAIN, ARGUMENT = range(3)  # in a maker's place: a result is an object, an earlier one, an argument
_SYMBOLS_AT = 8 * len(AT)
_FORM = 8 * (4 + EXTENTS)  # of an array: maker, dtype, whether it has leading extents, how many others, which
_PARAMETER = 16 + _FORM  # name, kind, and a form, an object, a symbol, or a number for where none is given
_ITEM = 8 * (3 + EXTENTS)  # kind, value or place, how many extents, which each
_LEADING, _LEADING_COUNT = 8 * SYMBOLS, 8 * (SYMBOLS + 1)  # after the symbols: where they are, and how many

_symbols = room(SYMBOLS + 2)
_results = room(RESULTS)
_extents = room(_MOST_LEADING + EXTENTS)
_arguments = room(WORDS)


@called
def agrees(extent: int, symbol: int) -> Any:
    """Whether an extent is what is known of it; if nothing was, it is known from now on."""
    if load(symbol) == UNKNOWN:
        store(symbol, extent)
    return load(symbol) == extent


@called
def fits(array: int, form: int, plan: int, symbols: int) -> Any:
    """Whether an object is an array of that form."""
    if (
        load(array + _TYPE) != load(plan + AT.array_type)
        or load(array + _DTYPE) != load(form + 8)
        or load_half(array + _FLAGS) & _CARRAY != _CARRAY
    ):
        return False
    leading = load_half(array + _NDIM) - load(form + 24)
    extents = load(array + _EXTENTS)
    if load(form + 16) == 0:
        if leading != 0:
            return False
    elif load(symbols + _LEADING_COUNT) == UNKNOWN:
        if leading < 0 or leading > _MOST_LEADING:
            return False
        product = 1
        for i in range(leading):
            product *= load(extents + 8 * i)
        store(symbols, product)
        store(symbols + _LEADING, extents)
        store(symbols + _LEADING_COUNT, leading)
    else:
        if leading != load(symbols + _LEADING_COUNT):
            return False
        first = load(symbols + _LEADING)
        for i in range(leading):
            if load(extents + 8 * i) != load(first + 8 * i):
                return False
    fit = True
    for i in range(load(form + 24)):
        fit = fit and agrees(load(extents + 8 * (leading + i)), symbols + 8 * load(form + 32 + 8 * i))
    return fit


@called
def product_of(mask: int, symbols: int) -> int:
    """Of the symbols with a bit in the mask, divided by what is above these bits."""
    product = 1
    for i in range(SYMBOLS):
        if mask >> i & 1:
            product *= load(symbols + 8 * i)
    divisor = mask >> SYMBOLS
    return product // divisor if divisor > 1 else product


@called
def new_result(form: int, plan: int, args: int, results: int, symbols: int) -> Any:
    """An array of that form, 0 where there is no memory for it; or what is there already, once more."""
    maker, dtype = load(form), load(form + 8)
    if maker <= ARGUMENT:
        result = dtype if maker == AS_IT_IS else load((results if maker == AGAIN else args) + 8 * dtype)
        call(load(plan + AT.hold), (result,))
        return result
    extents, count = _extents(), 0
    if load(form + 16) != 0:
        count = load(symbols + _LEADING_COUNT)
        first = load(symbols + _LEADING)
        for i in range(count):
            store(extents + 8 * i, load(first + 8 * i))
    for i in range(load(form + 24)):
        store(extents + 8 * count, product_of(load(form + 32 + 8 * i), symbols))
        count += 1
    call(load(plan + AT.hold), (dtype,))  # NumPy takes a reference from its caller
    return call(maker, (count, extents, dtype, 0))


@called
def drop_all(results: int, count: int, plan: int) -> None:
    for i in range(count):
        call(load(plan + AT.drop), (load(results + 8 * i),))


@called
def is_number(value: int, plan: int) -> Any:
    """Whether an object is a float of Python above 0, and finite."""
    if load(value + _TYPE) != load(plan + AT.float_type):
        return False
    bits = load(value + _NUMBER)
    return bits > 0 and bits < _INFINITE


@called
def is_extent(value: int, plan: int, symbol: int) -> Any:
    """Whether an object is an int of Python that agrees with what is known."""
    if load(value + _TYPE) != load(plan + AT.int_type):
        return False
    extent = call(load(plan + AT.as_extent), (value,))
    if extent < 0:
        call(load(plan + AT.forget_error), ())
        return False
    return agrees(extent, symbol)


@called
def are_named(names: int, plan: int, count: int) -> Any:
    """Whether the arguments after the first `count` are given by name, and in order."""
    fit, wanted = True, plan + load(plan + AT.parameters) + _PARAMETER * count
    for i in range(load(names + _COUNT)):
        fit = fit and load(names + _ITEMS + 8 * i) == load(wanted + _PARAMETER * i)
    return fit


@called
def all_fit(plan: int, args: int, count: int, symbols: int) -> Any:
    """Whether arguments are of the plan's form."""
    for i in range(SYMBOLS):
        store(symbols + 8 * i, load(plan + _SYMBOLS_AT + 8 * i))
    store(symbols + _LEADING_COUNT, UNKNOWN)
    fit = True
    for i in range(count):
        parameter = plan + load(plan + AT.parameters) + _PARAMETER * i
        value, kind, form = load(args + 8 * i), load(parameter + 8), parameter + 16
        if not fit:
            break
        if kind == ARRAY:
            fit = fits(value, form, plan, symbols)
        elif kind == OBJECT:
            fit = value == load(form)
        elif kind == EXTENT:
            fit = is_extent(value, plan, symbols + 8 * load(form))
        else:
            fit = is_number(value, plan)
    return fit


@called
def put_arguments(plan: int, args: int, count: int, results: int, symbols: int, at: int) -> None:
    """What the kernel is given, word after word."""
    for i in range(load(plan + AT.arguments)):
        item = plan + load(plan + AT.items) + _ITEM * i
        kind, value = load(item), load(item + 8)
        if kind <= RETURNED:
            array = load((args if kind == GIVEN else results) + 8 * value)
            store(at, load(array + _DATA))
            for k in range(load(item + 16)):
                at += 8
                store(at, product_of(load(item + 24 + 8 * k), symbols))
        elif kind == CONSTANT:
            store(at, value)
        elif kind == SYMBOL:
            store(at, load(symbols + 8 * value))
        else:
            default = plan + load(plan + AT.parameters) + _PARAMETER * value + 16
            number = load(load(args + 8 * value) + _NUMBER if value < count else default)
            store(at, inverse(number) if kind == INVERSE else number)
        at += 8


def enter_kernel(plan_array: int, args: int, count: int, names: int) -> Any:
    plan = load(plan_array + _DATA)
    symbols, results, arguments = _symbols(), _results(), _arguments()
    whole = count + load(names + _COUNT) if names != 0 else count
    fit = whole >= load(plan + AT.least) and whole <= load(plan + AT.most) and count <= load(plan + AT.positional)
    fit = fit and (names == 0 or are_named(names, plan, count)) and all_fit(plan, args, whole, symbols)
    size = product_of(load(plan + AT.size), symbols) if fit else 0
    if size == 0 or size >= load(plan + AT.limit) or load(symbols) >= load(plan + AT.limit_of_leading):
        return call(load(plan + AT.call_method), (load(plan + AT.method), args, count, names))
    made, wanted = 0, load(plan + AT.results)
    for i in range(wanted):
        result = new_result(plan + load(plan + AT.result_forms) + _FORM * i, plan, args, results, symbols)
        if result == 0:
            drop_all(results, made, plan)
            return 0
        store(results + 8 * i, result)
        made += 1
    put_arguments(plan, args, whole, results, symbols, arguments)
    if size < _LEAST_FREE:
        refused = call(load(plan + AT.loop), (arguments,))
    else:
        thread = call(load(plan + AT.save), ())
        refused = call(load(plan + AT.loop), (arguments,))
        call(load(plan + AT.restore), (thread,))
    if refused != 0:
        drop_all(results, made, plan)
        if refused == THE_FIRST:
            call(load(plan + AT.hold), (load(args),))
            return load(args)
        return call(load(plan + AT.call_method), (load(plan + AT.method), args, count, names))
    if made == 1:
        return load(results)
    together = call(load(plan + AT.make_tuple), (made,))
    if together == 0:
        drop_all(results, made, plan)
        return 0
    for i in range(made):
        call(load(plan + AT.set_item), (together, i, load(results + 8 * i)))
    return together


enter: Any = compiled(*source_of(enter_kernel), globals(), no_cfunc_wrapper=False)
ENTRY = (types.int64,) * 4
