"""Every test here starts with nothing chosen, and leaves the process's choice as it was."""

from __future__ import annotations

import pytest

from triops.ops import select


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIOPS_BACKEND", raising=False)
    monkeypatch.setattr(select, "_for_process", None)
