"""A user's own test session, with its files."""

from __future__ import annotations

from pathlib import Path

import pytest

from suites.board.user_session import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A user's folder."""
    return Lab(tmp_path)
