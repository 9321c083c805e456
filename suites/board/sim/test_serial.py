"""The raw console of a board of hardware: whatever lies in its TFTP folder boots, and nothing is put there."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.board import BoardSpec
from harness.boards.board import open_board
from harness.boards.rack import request
from harness.boards.serial_line import NotReceived, raw_console
from harness.config.keys import LabKey
from harness.kernel.build import KernelImage
from harness.lease import acquire


def test_a_board_boots_what_it_has_and_can_be_cycled(
    spec: BoardSpec, lab_file: Path, image: KernelImage, lab_key: LabKey
) -> None:
    with acquire(spec) as lease:
        assert lease.place.boot is not None
        folder = Path(lease.place.boot.options["folder"])
        for old in (folder / "kernel8.img", folder / "config.txt"):
            old.unlink(missing_ok=True)
        with raw_console(spec, lease, None) as line, pytest.raises(NotReceived, match="nothing at all"):
            line.expect("ready", 0.5)
        with open_board(spec, lab_key, image, lease=lease):
            pass
        with raw_console(spec, lease, None) as line:
            line.expect("ready", 20)
            line.power_cycle()
            line.expect("ready", 20)
            assert request(lab_file, f"{lease.place.name} state") == "on"
        assert request(lab_file, f"{lease.place.name} state") == "off"
