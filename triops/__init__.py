"""triops: one model for NumPy, CuPy and JAX."""

from typing import TYPE_CHECKING

from triops.backends.threads import get_num_threads, set_num_threads
from triops.backends.warmup import warmup
from triops.models import Model, check_gradient, compile, compile_step, fix_random_seed
from triops.ops import (
    Ops,
    available_backends,
    get_current_ops,
    get_ops,
    ops_of,
    prefer_gpu,
    require_cpu,
    require_gpu,
    set_current_ops,
    to_numpy,
    use_ops,
)
from triops.ragged import Padded, Ragged

__version__ = "0.1.0"

__all__ = [
    "Model",
    "Ops",
    "Padded",
    "Ragged",
    "__version__",
    "accelerate_thinc",
    "available_backends",
    "check_gradient",
    "compile",
    "compile_step",
    "fix_random_seed",
    "get_current_ops",
    "get_num_threads",
    "get_ops",
    "ops_of",
    "prefer_gpu",
    "require_cpu",
    "require_gpu",
    "restore_thinc",
    "set_current_ops",
    "set_num_threads",
    "to_numpy",
    "use_ops",
    "warmup",
]

if TYPE_CHECKING:
    from triops.models.wrappers.accelerate_thinc import accelerate_thinc as accelerate_thinc
    from triops.models.wrappers.accelerate_thinc import restore_thinc as restore_thinc


def __getattr__(name: str) -> object:
    # Thinc is loaded when it is to be accelerated, and not before.
    if name in ("accelerate_thinc", "restore_thinc"):
        from triops.models.wrappers import accelerate_thinc

        return getattr(accelerate_thinc, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
