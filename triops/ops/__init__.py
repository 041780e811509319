"""What is computed: each operation once, with its meaning, its shapes, its errors and a formula that runs on
any backend. Nothing here imports an array framework, or knows about models."""

from triops.ops.ops import Ops
from triops.ops.select import (
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

__all__ = [
    "Ops",
    "available_backends",
    "get_current_ops",
    "get_ops",
    "ops_of",
    "prefer_gpu",
    "require_cpu",
    "require_gpu",
    "set_current_ops",
    "to_numpy",
    "use_ops",
]
