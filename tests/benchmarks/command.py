"""`python -m benchmarks`, from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["benchmarks"]

ROOT = Path(__file__).parents[2]


def benchmarks(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """What became of the command, with these arguments; it has so many seconds."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
