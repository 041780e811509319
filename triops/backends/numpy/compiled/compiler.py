"""Numba's compiler, without what takes time and gives nothing here: kernels are loops and branches over numbers
and arrays, and no more of Python; and most functions only become part of others, with which they are optimised
and written."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from numba.core import codegen, compiler, compiler_machinery, lowering, typed_passes

from triops.backends.numpy.compiled.frames import add_framed, can_be_framed

__all__ = ["KernelCompiler", "PartCompiler", "SumCompiler"]

# Each takes its time where it finds nothing, too. They are for closures, comprehensions, `with`, exceptions,
# None, literals and expressions of whole arrays; or they check and describe.
_UNUSED_PASSES = frozenset(
    {
        "WithLifting", "InlineClosureLikes", "RewriteSemanticConstants", "DeadBranchPrune",
        "RewriteDynamicRaises", "MakeFunctionToJitFunction", "InlineInlinables", "FindLiterallyCalls",
        "LiteralUnroll", "LiteralPropagationSubPipelinePass", "InlineOverloads", "NopythonRewrites",
        "NoPythonSupportedFeatureValidation", "AnnotateTypes", "DumpParforDiagnostics",
    }
)  # fmt: skip


class _KernelLibrary(codegen.JITCodeLibrary):  # type: ignore[misc]
    """The code of a kernel. It is optimised when all parts are in it, and not each function before."""

    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout


class _NoMachine:
    """A part is never run, so there is no address to put its environment at."""

    def set_env(self, env_name: str, env: Any) -> None:
        pass


class _PartLibrary(_KernelLibrary):
    """The code of a part, to be linked into that of others."""

    @property
    def codegen(self) -> Any:
        return _NoMachine()

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        return 0


class _Lower(lowering.Lower):  # type: ignore[misc]
    def create_cpython_wrapper(self, release_gil: bool = False) -> None:
        super().create_cpython_wrapper(release_gil=release_gil)
        if can_be_framed(self.fndesc):
            add_framed(self.context, self.library, self.fndesc)


@compiler_machinery.register_pass(mutates_CFG=True, analysis_only=False)
class _Lowering(typed_passes.NativeLowering):  # type: ignore[misc]
    """Numba's last step but one, which writes instructions."""

    _name = "kernel_lowering"
    lowering_class = _Lower


_pipelines: list[Any] = []  # the same for all


class KernelCompiler(compiler.Compiler):  # type: ignore[misc]
    """Numba's compiler, of a kernel."""

    library: ClassVar[Any] = _KernelLibrary

    def compile_extra(self, function: Any) -> Any:
        with _no_collection():
            return super().compile_extra(function)

    def define_pipelines(self) -> Any:
        state = self.state
        state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        if not _pipelines:
            _pipelines.extend(map(_shortened, super().define_pipelines()))
        return _pipelines


class SumCompiler(KernelCompiler):
    """Numba's compiler, of a sum over rows. What it writes to is none of the rows: code that has to look takes
    another loop, whose sums round otherwise, whenever two arrays lie next to each other."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()


class PartCompiler(KernelCompiler):
    """Numba's compiler, of a part."""

    library = _PartLibrary


def _shortened(passes: Any) -> Any:
    kept = compiler_machinery.PassManager("kernel")
    replaced = {typed_passes.NativeLowering: _Lowering}
    kept.passes += [
        (replaced.get(kind, kind), text) for kind, text in passes.passes if kind.__name__ not in _UNUSED_PASSES
    ]
    kept.finalize()
    return kept


@contextmanager
def _no_collection() -> Iterator[None]:
    """A compiler makes many objects and drops few: to look for these over and over takes a tenth of its time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
