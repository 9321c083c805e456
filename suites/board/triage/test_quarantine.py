"""Sick boards: quarantined by a triage or a check, released only by a passing check."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.errors import InfraError
from contracts.root import ROOT
from contracts.wire.live import Provocation
from harness.boards.board import open_board
from harness.boards.health import Health, check_place, check_places
from harness.config.keys import LabKey
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import build_kernel
from harness.kernel.golden import GOLDEN, golden_image, pin
from harness.lease import NoneUsable, acquire, quarantine
from suites.board.triage.small_lab import SmallLab


def hurried(spec: BoardSpec, places: int = 1) -> BoardSpec:
    """The board type with short time-outs and few places."""
    return dataclasses.replace(spec, boot_timeout_s=1.0, request_timeout_s=1.0, places=spec.places[:places])


def assay(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.usefixtures("small_lab")
def test_every_kind_is_fit_with_its_golden_image(board_spec: BoardSpec) -> None:
    found = check_place(board_spec, board_spec.places[0])
    assert (found.state, found.quarantine) == ("fit", ""), found.what
    assert "32 KiB up" in found.what


@pytest.mark.board_kinds("qemu-virt")
def test_a_board_whose_golden_image_is_silent_is_kept_out_of_use_until_a_check_passes(
    board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab
) -> None:
    spec = hurried(board_spec)
    (place,) = spec.places
    image = build_kernel(spec.firmware, variant="testing")
    with open_board(spec, lab_key, image) as board:
        small_lab.sicken()
        with pytest.raises(InfraError, match="the board itself is sick") as caught:
            board.client.provoke(Provocation.HANG, timeout_s=0.6)
        assert f"{place.name} is now in quarantine" in str(caught.value)
        assert "assay boards check" in caught.value.do
        assert "golden image does not answer" in board.crash_record()
        with pytest.raises(InfraError, match="was left off"):
            board.client.echo(b"")
        with pytest.raises(InfraError, match="is in quarantine"):
            board.power_cycle()
    with pytest.raises(NoneUsable, match="quarantine"):
        acquire(spec, timeout_s=0.0)

    listed = assay("boards", "--board", spec.kind)
    assert listed.returncode == 0, listed.stderr
    (row,) = [line for line in listed.stdout.splitlines() if line.startswith(f"{place.name} ")]
    assert "quarantined" in row

    found = check_place(spec, place)
    assert (found.state, found.quarantine) == ("sick", "stays")

    small_lab.heal()
    checked = assay("boards", "check", spec.kind)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    (row,) = [line for line in checked.stdout.splitlines() if line.startswith(f"{place.name} ")]
    assert "fit" in row
    assert "lifted" in row
    with open_board(spec, lab_key, image) as board:
        assert board.client.echo(b"back in use") == b"back in use"


@pytest.mark.board_kinds("qemu-virt")
def test_a_check_finds_a_sick_board_by_itself(board_spec: BoardSpec, small_lab: SmallLab) -> None:
    spec = hurried(board_spec, places=2)
    small_lab.sicken()
    found = sorted(check_places([spec]), key=lambda health: health.place)
    assert [(health.state, health.quarantine) for health in found] == [("sick", "put")] * 2
    reason = quarantine.of(spec.places[1])
    assert reason is not None
    assert "does not answer" in reason.reason

    small_lab.heal()
    assert [health.quarantine for health in check_places([spec])] == ["lifted"] * 2
    assert quarantine.of(spec.places[1]) is None


@pytest.mark.usefixtures("small_lab")
@pytest.mark.board_kinds("qemu-virt")
def test_a_board_that_says_hello_and_then_hangs_fails_its_check(
    board_spec: BoardSpec, tmp_path: Path
) -> None:
    spec = hurried(board_spec)
    image = kernel_for(spec, extra_defines={"ASSAY_PLANT_HANG": "1"})
    golden = tmp_path / "golden"
    pin([dataclasses.replace(image, board=golden_image(spec).board)], "0" * 40, golden)
    found = check_place(spec, spec.places[0], golden=golden)
    assert (found.state, found.quarantine) == ("sick", "put")
    assert "does not answer ECHO" in found.what
    assert check_place(spec, spec.places[0], golden=GOLDEN).quarantine == "lifted"


@pytest.mark.board_kinds("qemu-virt")
def test_a_place_that_somebody_holds_is_not_checked_and_that_is_said(
    board_spec: BoardSpec, small_lab: SmallLab
) -> None:
    spec = hurried(board_spec)
    with acquire(spec, purpose="a long measurement"):
        checked: Health = check_place(spec, spec.places[0], wait_s=0.1)
    assert (checked.state, checked.quarantine) == ("busy", "")
    assert "a long measurement" in checked.what
    assert small_lab.starts == 0
