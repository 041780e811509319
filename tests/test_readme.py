"""The README's Python is run as it stands, block after block, in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_README = Path(__file__).parent.parent / "README.md"
_BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_readme_runs(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    blocks = _BLOCK.findall(_README.read_text(encoding="utf-8"))
    assert len(blocks) >= 4
    # A block that chooses for the process is not to choose for the next one.
    program = "import triops\n" + "\ntriops.set_current_ops('numpy')\n".join(blocks)
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    environment.pop("TRIOPS_BACKEND", None)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[0 1 1 0]"
    assert (tmp_path / "model.triops").exists()
