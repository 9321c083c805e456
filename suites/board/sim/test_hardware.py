"""A simulated hardware board: console, power and netboot with the drivers of a real one."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import serial

from contracts.board import BoardSpec, DriverSpec, Place
from contracts.errors import BoardLost, ConfigError, InfraError, KernelError, RequestRefused
from contracts.measurement import Clock
from harness.boards.board import open_board
from harness.boards.preflight import check, unusable
from harness.boards.rack import request
from harness.boards.registry import select_one
from harness.bpf.samples import tally_by_lookup
from harness.bpf.seal import seal
from harness.channel.client import ChannelClient, closing
from harness.config.keys import LabKey
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.lease import LeaseLost, acquire
from harness.lease.force import seize
from harness.loop.pipeline import guest_clock


def tftp(place: Place) -> Path:
    assert place.boot is not None
    return Path(place.boot.options["folder"])


def log(lab_file: Path, place: Place) -> str:
    return (lab_file.parent / place.name / "log").read_text()


def one(spec: BoardSpec, **power: Any) -> BoardSpec:
    """The board type with only its first place, and some power options changed."""
    place = spec.places[0]
    assert place.power is not None
    options = dict(place.power.options) | power
    return replace(spec, places=(replace(place, power=DriverSpec(place.power.driver, options)),))


def test_a_board_boots_what_was_laid_and_speaks_over_the_pty(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, lab_file: Path
) -> None:
    assert not unusable(check([spec]))
    with open_board(spec, lab_key, image) as board:
        place = board.lease.place
        assert board.hello.build_id == image.build_id
        assert board.hello.cores == 4
        with pytest.raises(ConfigError, match="is not a process"):
            _ = board.pid
        assert board.client.echo(b"over the line") == b"over the line"
        assert (tftp(place) / "kernel8.img").read_bytes() == image.img.read_bytes()
        assert "init_uart_clock=48000000" in (tftp(place) / "config.txt").read_text()
        with pytest.raises(InfraError, match="no registers of board"):
            board.registers()
    assert log(lab_file, place).splitlines()[-1].endswith("power off")


def test_the_line_outlives_power_cycles_and_brings_nothing_of_an_earlier_life(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage
) -> None:
    spec = one(spec)
    device = Path(spec.places[0].console).readlink()
    with serial.Serial(str(device), timeout=0) as bystander, open_board(spec, lab_key, image) as board:
        nonces = {board.hello.board_nonce}
        for _ in range(3):
            board.client.send_raw(b"\x01half a frame")
            board.power_cycle()
            nonces.add(board.hello.board_nonce)
            stats = board.client.status()
            assert (stats.crc_errors, stats.malformed) == (0, 0)
        assert len(nonces) == 4
        assert Path(spec.places[0].console).readlink() == device
        assert bystander.in_waiting >= 0, "whoever had the device open still has"


def test_a_kernel_that_was_not_built_here_is_not_tested(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage
) -> None:
    with open_board(spec, lab_key, image) as board:
        place = board.lease.place
    direct = replace(spec, places=(replace(place, boot=DriverSpec("direct")),))
    with open_board(direct, lab_key, image) as board:
        assert board.client.echo(b"what it has") == b"what it has"
    testing = kernel_for(spec, "testing")
    with pytest.raises(InfraError, match="runs a different kernel"), open_board(direct, lab_key, testing):
        pass


def test_an_adapter_that_is_pulled_out_is_a_lost_board_and_comes_back(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, lab_file: Path
) -> None:
    spec = one(spec)
    name = spec.places[0].name
    with open_board(spec, lab_key, image) as board:
        puller = threading.Timer(0.2, request, (lab_file, f"{name} unplug"))
        puller.start()
        began_s = time.monotonic()
        with pytest.raises(BoardLost, match="its console disappeared"):
            for _ in range(10_000):
                board.client.echo(bytes(500))
        assert time.monotonic() - began_s < spec.request_timeout_s + 2
        puller.join()
        with pytest.raises(BoardLost, match="is missing"):
            board.power_cycle()
        request(lab_file, f"{name} plug")
        board.power_cycle()
        assert board.client.echo(b"back") == b"back"


def test_preflight_misses_an_adapter_that_is_away(spec: BoardSpec, lab_file: Path) -> None:
    spec = one(spec)
    request(lab_file, f"{spec.places[0].name} unplug")
    try:
        assert "is missing" in unusable(check([spec]))[spec.kind]
    finally:
        request(lab_file, f"{spec.places[0].name} plug")
    assert not unusable(check([spec]))


@pytest.mark.parametrize(
    ("how", "says"), [("fail", "exit code 1; it printed: the relay does not answer"), ("hang", "was killed")]
)
def test_a_power_program_that_fails_or_hangs_is_the_labs_fault(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, lab_file: Path, how: str, says: str
) -> None:
    spec = one(spec, timeout_s=1.0)
    name = spec.places[0].name
    request(lab_file, f"{name} switch {how}")
    try:
        with pytest.raises(InfraError) as caught, open_board(spec, lab_key, image):
            pass
    finally:
        request(lab_file, f"{name} switch work")
    assert caught.value.what.startswith(f"board {name}: power off")
    assert says in caught.value.seen
    with open_board(spec, lab_key, image) as board:
        request(lab_file, f"{name} switch {how}")
        try:
            with pytest.raises(InfraError, match="power off"):
                board.power_cycle()
        finally:
            request(lab_file, f"{name} switch work")
        board.power_cycle()
        assert board.client.echo(b"on again") == b"on again"


def test_a_switch_that_fails_at_the_end_takes_no_verdict_from_a_kernel_that_failed(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, lab_file: Path
) -> None:
    spec = one(spec)
    name = spec.places[0].name
    try:
        with pytest.raises(KernelError, match="answers wrongly") as caught, open_board(spec, lab_key, image):
            request(lab_file, f"{name} switch fail")
            raise KernelError("the kernel answers wrongly")
    finally:
        request(lab_file, f"{name} switch work")
    assert "the power command failed" in "".join(caught.value.__notes__)


def test_a_supply_that_fails_is_told_from_a_kernel_that_hangs(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, lab_file: Path
) -> None:
    spec = replace(one(spec), request_timeout_s=1.0)
    with open_board(spec, lab_key, image) as board:
        request(lab_file, f"{spec.places[0].name} cut")
        with pytest.raises(BoardLost, match="lost its power"):
            board.client.echo(b"?")


def test_a_qemu_killed_behind_the_line_is_a_supply_that_failed(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage, lab_file: Path
) -> None:
    spec = replace(one(spec), request_timeout_s=1.0)
    with open_board(spec, lab_key, image) as board:
        pid = int(log(lab_file, spec.places[0]).strip().rpartition("pid ")[2])
        os.kill(pid, 9)
        with pytest.raises(BoardLost, match="lost its power"):
            board.client.echo(b"?")
    assert "QEMU ended: SIGKILL" in log(lab_file, spec.places[0])


def test_a_console_that_another_program_holds_is_left_to_it(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage
) -> None:
    spec = one(spec)
    with serial.Serial(spec.places[0].console, exclusive=True):
        assert "is held" in unusable(check([spec]))[spec.kind]
        with pytest.raises(BoardLost, match="cannot be opened"), open_board(spec, lab_key, image):
            pass


def test_two_names_for_one_device_meet_in_one_lock(spec: BoardSpec) -> None:
    (place,) = one(spec).places
    other = replace(spec, kind="twin", places=(Place("twin-0", console=str(Path(place.console).resolve())),))
    with acquire(one(spec), purpose="a test"), pytest.raises(InfraError, match="held"):
        acquire(other, timeout_s=0.2)
    acquire(other, timeout_s=1).release()


def test_a_stale_holder_is_refused_by_the_board_itself(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage
) -> None:
    spec = one(spec)
    place = spec.places[0]
    with acquire(spec, purpose="the first") as first, open_board(spec, lab_key, image, lease=first) as stale:
        assert stale.client.echo(b"mine") == b"mine"
        with seize(spec, place, "by force") as seizure:
            assert seizure.lease.epoch > first.epoch
            assert seizure.let_go()
            with pytest.raises(LeaseLost):
                stale.client.echo(b"still mine?")
            with open_board(spec, lab_key, image, lease=seizure.lease) as board:
                assert board.client.echo(b"taken") == b"taken"
                board.client.close()
                # A holder that does not check its lease is rejected by the board.
                port = serial.Serial(place.console, timeout=0.2, write_timeout=5)
                with closing(ChannelClient(port, name="stale", timeout_s=5)) as client:
                    assert client.hello().epoch == seizure.lease.epoch
                    with pytest.raises(RequestRefused) as caught:
                        client.open_session(lab_key.channel, first.epoch)
                assert caught.value.status == "STALE_EPOCH"


def test_the_figures_are_those_of_the_qemu_behind_the_line(
    spec: BoardSpec, lab_key: LabKey, image: KernelImage
) -> None:
    sealed = seal(tally_by_lookup(), lab_key, seed=3)
    found = []
    for kind in (spec, select_one("qemu-rpi4", lab=[])):
        with open_board(kind, lab_key, image) as board:
            assert guest_clock(board) is Clock.VIRTUAL
            loaded = board.client.load(sealed)
            found.append((loaded, board.client.read_code(loaded.handle)))
    assert found[0] == found[1], "to the instruction"
    with open_board(replace(spec, capabilities=frozenset()), lab_key, image) as board:
        assert guest_clock(board) is Clock.HARDWARE, "what a real board counts is never judged as virtual"
