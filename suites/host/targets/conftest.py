"""Shared by driver tests: programs to run, a hardware board type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.board import BoardSpec, Place


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Path]:
    """Make an executable shell script."""

    def make(text: str, name: str = "switch") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return make


@pytest.fixture
def spec() -> BoardSpec:
    """A hardware board type."""
    return BoardSpec(
        kind="bench",
        firmware="qemu-rpi4",
        tags=(),
        places=(Place("bench-0"),),
        console="serial",
        baud=921600,
        boot_timeout_s=5.0,
        request_timeout_s=1.0,
        uart_hz=48_000_000,
    )
