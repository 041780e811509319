"""Functions that only become part of others. Numba would optimise each of them and write its machine code, though
it is the function around them that runs: that one is optimised as a whole, once."""

from __future__ import annotations

from typing import Any

from numba.core import codegen, compiler

__all__ = ["PartCompiler"]


class _NoMachine:
    """A part is never run, so there is no address to put its environment at."""

    def set_env(self, env_name: str, env: Any) -> None:
        pass


class _PartLibrary(codegen.JITCodeLibrary):  # type: ignore[misc]
    """The code of a part, to be linked into that of others."""

    @property
    def codegen(self) -> Any:
        return _NoMachine()

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class PartCompiler(compiler.Compiler):  # type: ignore[misc]
    """Numba's compiler, of a part."""

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = _PartLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()
