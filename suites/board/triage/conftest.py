"""Each test of triage and health has a separate lab."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites.board.triage.small_lab import SmallLab


@pytest.fixture
def small_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallLab:
    """Leases, quarantine and QEMU of this test only."""
    lab = SmallLab.make(tmp_path / "lab")
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    return lab
