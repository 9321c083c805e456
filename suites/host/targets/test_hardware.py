"""A hardware board with an unreliable switch: it is off at the end, or the holder gets an error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.board import BoardSpec, DriverSpec, Place
from contracts.errors import InfraError
from targets.drivers import make_target
from targets.hardware import HardwareBoard


@pytest.fixture
def console() -> Iterator[str]:
    far, near = os.openpty()
    try:
        yield os.ttyname(near)
    finally:
        os.close(near)
        os.close(far)


@pytest.fixture
def board(spec: BoardSpec, console: str, program: Callable[..., Path], tmp_path: Path) -> HardwareBoard:
    """A board whose switch writes every call into `calls`, and fails once per remaining line in `deaf`."""
    script = program(
        f"echo $1 >> {tmp_path}/calls; [ -s {tmp_path}/deaf ] || exit 0; sed -i 1d {tmp_path}/deaf; exit 1"
    )
    power = DriverSpec("command", {"on": [str(script), "on"], "off": [str(script), "off"], "off_s": 0.0})
    place = Place("bench", console=console, power=power, boot=DriverSpec("direct"))
    target = make_target(spec, place, tmp_path / "kernel.elf", tmp_path / "kernel8.img")
    assert isinstance(target, HardwareBoard)
    return target


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().split()


def test_a_switch_that_does_not_hear_once_is_asked_again(board: HardwareBoard, tmp_path: Path) -> None:
    with board:
        board.go()
        (tmp_path / "deaf").write_text("once\n")
    assert calls(tmp_path) == ["off", "on", "off", "off"]
    board.stop()
    assert len(calls(tmp_path)) == 4


def test_a_board_that_stays_on_is_told_and_switched_off_by_the_next_call(
    board: HardwareBoard, tmp_path: Path
) -> None:
    board.start()
    board.go()
    (tmp_path / "deaf").write_text("once\ntwice\n")
    with pytest.raises(InfraError, match="bench: power off: the power command failed"):
        board.stop()
    board.stop()
    assert calls(tmp_path) == ["off", "on", "off", "off", "off"]
