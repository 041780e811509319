"""Python in a process of its own, for what a process does only once: imports, environment, devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

__all__ = ["HIDE", "run_python"]

ROOT = Path(__file__).parents[1]

# As if the named packages were not installed: no finder finds them.
HIDE = """
import sys

class Without:
    def __init__(self, finder, hidden):
        self.finder, self.hidden = finder, hidden

    def find_spec(self, name, *args):
        return None if name.partition(".")[0] in self.hidden else self.finder.find_spec(name, *args)

def hide(*names):
    sys.meta_path[:] = [Without(finder, names) for finder in sys.meta_path]
"""


def run_python(code: str, *, path: Path | None = None, **environment: str) -> str:
    """What the code prints, without the last newline. It must end without an error; what it raised shows.

    path: a folder whose packages come before the installed ones.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "TRIOPS_BACKEND"}
    places = [str(place) for place in (path, ROOT) if place]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=inherited | {"PYTHONPATH": os.pathsep.join(places)} | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
