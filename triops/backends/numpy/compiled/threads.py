"""Which threads compiled kernels may use.

Of Numba's threading layers only TBB survives both a fork and two threads entering it at once: OpenMP kills a
forked child, and the workqueue aborts the process. Numba finds the `tbb` package only if its library is in the
process already. Where TBB is missing kernels run on one thread.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from functools import cache

from triops.backends.threads import get_num_threads

__all__ = ["kernel_threads", "load_tbb"]

_LIBRARY = "libtbb.so.12"


def kernel_threads() -> int:
    """How many threads a kernel may use now."""
    return get_num_threads() if load_tbb() else 1


@cache
def load_tbb() -> bool:
    """Load TBB, from the `tbb` package or from the system; returns whether Numba can use it."""
    for path in (*_packaged(), _LIBRARY):
        try:
            ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        break
    try:
        from numba.np.ufunc import tbbpool  # type: ignore[attr-defined]  # noqa: F401
    except ImportError:
        return False
    return True


def _packaged() -> list[str]:
    try:
        files = importlib.metadata.files("tbb") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [str(file.locate().resolve()) for file in files if file.name.startswith(_LIBRARY)]  # type: ignore[attr-defined]
