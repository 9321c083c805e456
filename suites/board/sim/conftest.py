"""A simulator of two boards for the tests of this folder, independent of the session's board types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from harness.boards.rack import simulator
from harness.boards.registry import select_one
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage


@pytest.fixture(scope="session")
def lab_file() -> Iterator[Path]:
    with simulator([select_one("rpi4-sim", lab=[])], instances=2) as running:
        yield running.lab_file


@pytest.fixture
def spec(lab_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoardSpec:
    """The board type with the simulator's places, and separate leases."""
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    return select_one("rpi4-sim", lab=lab_file)


@pytest.fixture(scope="session")
def image() -> KernelImage:
    """The release kernel of an `rpi4`."""
    return kernel_for(select_one("rpi4", lab=[]))
