"""Functions that others call where they are, instead of with a copy that would be optimised and written with each
of them. Code on disk knows them by name, and is loaded after what it calls."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from llvmlite import binding

__all__ = ["Link", "link", "links_of", "may_be_linked", "restore"]

Link = tuple[str, tuple[Any, ...]]
"""The name of a function, and the types of its arguments."""

_functions: dict[str, Any] = {}
_symbols: dict[str, Link] = {}


def may_be_linked(dispatcher: Any) -> None:
    """From now on a function is found by its name."""
    _functions[dispatcher.py_func.__name__] = dispatcher


def link(name: str, arguments: tuple[Any, ...]) -> str:
    """The symbol by which code finds a function, which is compiled or loaded if it was not yet."""
    digest = hashlib.blake2b(repr(arguments).encode(), digest_size=8).hexdigest()
    symbol = f"triops.{name}.{digest}"
    if symbol not in _symbols:
        dispatcher = _functions[name]
        dispatcher.compile(arguments)
        made = dispatcher.overloads[arguments]
        binding.add_symbol(symbol, made.library.get_pointer_to_function(made.fndesc.llvm_func_name))
        _symbols[symbol] = name, arguments
    return symbol


def links_of(library: Any) -> list[Link]:
    """What the code of a library calls by its symbol."""
    names = (function.name for function in library._final_module.functions if function.is_declaration)
    return [_symbols[name] for name in names if name in _symbols]


def restore(links: Iterable[Link]) -> None:
    for name, arguments in links:
        link(name, arguments)
