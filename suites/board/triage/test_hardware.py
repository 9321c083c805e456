"""Triage with hardware drivers, on a simulator: no registers, a power switch that may fail, a kernel that stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.board import BoardSpec, DriverSpec
from contracts.errors import InfraError, KernelError
from contracts.wire.live import Provocation
from harness.boards.board import open_board
from harness.boards.health import check_place
from harness.boards.rack import request, simulator
from harness.boards.registry import select_one
from harness.config.keys import LabKey
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.lease import NoneUsable, acquire, quarantine

ASKED_S = 0.6


@pytest.fixture(scope="module")
def lab_file() -> Iterator[Path]:
    """A simulated board, independent of the session's board types."""
    with simulator([select_one("rpi4-sim", lab=[])], instances=1) as running:
        yield running.lab_file


@pytest.fixture
def spec(lab_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoardSpec:
    """Its board type, with short time-outs and this test's own leases."""
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    spec = select_one("rpi4-sim", lab=lab_file)
    (place,) = spec.places
    assert place.power is not None
    options = {name: value for name, value in place.power.options.items() if name != "state"}
    power = DriverSpec(place.power.driver, options | {"timeout_s": 1.0})  # a switch that cannot be asked
    return dataclasses.replace(
        spec,
        boot_timeout_s=5.0,
        request_timeout_s=1.0,
        places=(dataclasses.replace(place, power=power),),
    )


@pytest.fixture(scope="module")
def testing_kernel() -> KernelImage:
    """A kernel that can be provoked."""
    return kernel_for(select_one("rpi4", lab=[]), "testing")


def test_a_hang_on_hardware_is_the_kernels_and_says_why_there_are_no_registers(
    spec: BoardSpec, lab_key: LabKey, testing_kernel: KernelImage
) -> None:
    with open_board(spec, lab_key, testing_kernel) as board:
        with pytest.raises(KernelError, match="the kernel hangs") as caught:
            board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
        assert "no registers of board" in caught.value.seen
        assert "golden image" in board.crash_record()
        board.power_cycle()
        assert board.client.echo(b"alive again") == b"alive again"
        assert board.hello.build_id == testing_kernel.build_id, "the golden image does not stay"


def test_a_supply_that_does_not_obey_in_a_triage_puts_the_place_into_quarantine(
    spec: BoardSpec, lab_key: LabKey, testing_kernel: KernelImage, lab_file: Path
) -> None:
    (place,) = spec.places
    try:
        with (
            pytest.raises(InfraError, match="power off"),  # asked once more at the end: it is still on
            open_board(spec, lab_key, testing_kernel) as board,
        ):
            request(lab_file, f"{place.name} switch fail")
            with pytest.raises(InfraError, match=r"the board itself is sick: .*power off") as caught:
                board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
            assert "is now in quarantine" in str(caught.value)
        with pytest.raises(NoneUsable):
            acquire(spec, timeout_s=0.0)
        assert check_place(spec, place).quarantine == "stays"
    finally:
        request(lab_file, f"{place.name} switch work")
    found = check_place(spec, place)
    assert (found.state, found.quarantine) == ("fit", "lifted"), found.what


def test_an_adapter_that_is_away_is_missing_and_not_sick(spec: BoardSpec, lab_file: Path) -> None:
    (place,) = spec.places
    request(lab_file, f"{place.name} unplug")
    try:
        found = check_place(spec, place)
    finally:
        request(lab_file, f"{place.name} plug")
    assert (found.state, found.quarantine) == ("missing", ""), found.what
    assert quarantine.of(place) is None


def test_a_board_that_keeps_its_kernel_is_asked_with_that(
    spec: BoardSpec, lab_key: LabKey, testing_kernel: KernelImage
) -> None:
    with open_board(spec, lab_key, testing_kernel):
        pass
    (place,) = spec.places
    direct = dataclasses.replace(spec, places=(dataclasses.replace(place, boot=DriverSpec("direct")),))
    with open_board(direct, lab_key, testing_kernel) as board:
        with pytest.raises(KernelError, match="the kernel hangs") as caught:
            board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
        assert "the kernel on the board" in caught.value.seen
    found = check_place(direct, direct.places[0])
    assert (found.state, found.quarantine) == ("fit", ""), found.what
    assert "hello from the kernel on the board" in found.what
