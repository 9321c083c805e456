"""A separate lab for `assay accept` as a user starts it."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites.board.robot.accept_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)
