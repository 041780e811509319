"""The page of the examples names every script, with options that it has."""

from __future__ import annotations

import re
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples"
COMMANDS = re.findall(r"`python examples/(\w+\.py)([^`]*)`", (FOLDER / "README.md").read_text("utf-8"))


def test_every_script_is_there_once() -> None:
    assert sorted(script for script, _ in COMMANDS) == sorted(path.name for path in FOLDER.glob("*.py"))


def test_scripts_have_the_options() -> None:
    for script, arguments in COMMANDS:
        source = (FOLDER / script).read_text("utf-8")
        for option in re.findall(r"--[\w-]+", arguments):
            assert f'"{option}"' in source, (script, option)
