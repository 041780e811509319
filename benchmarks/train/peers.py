"""Who is measured, and what each makes of a task; one whose library is missing is left out, with the reason."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.ops.peers import OURS
from benchmarks.report import load_each
from benchmarks.train.agreement import Trainer
from benchmarks.train.task import Problem, Task
from triops import get_ops

__all__ = ["OURS", "Peer", "load_peers", "reference_trainer"]


@dataclass(frozen=True)
class Peer:
    """One column of the table."""

    name: str
    version: str
    library: str  # whose function of a task it runs
    start: Callable[[Task, Problem], Trainer]
    compiles: bool = False  # its first step compiles a program


def load_peers() -> tuple[list[Peer], dict[str, str]]:
    """All that can be used here, triops-numpy first, and the reason for each other."""
    return load_each(
        {
            OURS: lambda: _triops("numpy", "step"),  # as the others, without the gradient of the batch
            "triops-jax": lambda: _triops("jax"),
            "triops-compiled": lambda: _triops("jax", "compiled"),
            "triops-step": lambda: _triops("jax", "step"),
            "thinc": _thinc,
            "torch": _torch,
            "torch-compile": _torch_compile,
            "jax-by-hand": _jax,
            "equinox": _equinox,
        }
    )


def reference_trainer(task: Task, problem: Problem) -> Trainer | None:
    """A run in float64: PyTorch's, or else that of triops itself."""
    try:
        from benchmarks.train.with_torch import TorchTrainer
    except ImportError:
        pass
    else:
        if task.torch is not None:
            return TorchTrainer(task, problem, "float64")
    if task.triops is None:
        return None
    from benchmarks.train.with_layers import triops_trainer

    return triops_trainer("numpy", task, problem, "float64")


def _triops(backend: str, how: str = "") -> Peer:
    from benchmarks.train.with_layers import triops_trainer

    ops = get_ops(backend, "cpu:0")
    versions = ", ".join(f"{name} {version}" for name, version in ops.backend.versions().items())
    return Peer(
        OURS if backend == "numpy" else f"triops-{how or backend}",
        versions,
        "triops",
        lambda task, problem: triops_trainer(backend, task, problem, how=how or "eager"),
        compiles=backend == "jax",
    )


def _thinc() -> Peer:
    import thinc

    from benchmarks.train.with_layers import thinc_trainer

    return Peer("thinc", thinc.__version__, "thinc", thinc_trainer)


def _torch() -> Peer:
    import torch

    from benchmarks.train.with_torch import TorchTrainer

    return Peer("torch", torch.__version__, "torch", TorchTrainer)


def _torch_compile() -> Peer:
    import torch
    from torch._inductor.cpp_builder import get_cpp_compiler

    from benchmarks.train.with_torch import TorchTrainer

    try:
        compiler = shutil.which(get_cpp_compiler())
    except Exception as error:  # the class has moved before
        raise ImportError(f"torch.compile finds no C++ compiler: {error}") from error
    if compiler is None:
        raise ImportError("torch.compile finds no C++ compiler")
    return Peer(
        "torch-compile",
        torch.__version__,
        "torch",
        lambda task, problem: TorchTrainer(task, problem, compiled=True),
        compiles=True,
    )


def _jax() -> Peer:
    import jax

    from benchmarks.train.with_jax import JaxTrainer

    return Peer("jax-by-hand", jax.__version__, "jax", JaxTrainer, compiles=True)


def _equinox() -> Peer:
    import equinox

    from benchmarks.train.with_equinox import EquinoxTrainer

    return Peer("equinox", equinox.__version__, "jax", EquinoxTrainer, compiles=True)
