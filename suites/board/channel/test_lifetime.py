"""Boards that end: killed, powered off, faulted, hung; and the two types of console."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from contracts.board import REGISTERS, BoardSpec
from contracts.errors import BoardLost, InfraError, KernelError, KernelFault
from contracts.trace import Trace, TracePacket
from contracts.wire.live import Provocation
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board, open_board
from harness.config.keys import LabKey
from harness.kernel.build import build_kernel
from harness.lease import Lease


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def keep_asking(board: Board) -> None:
    for _ in range(1000):
        board.client.echo(b"?")


def keep_uploading(board: Board, data: bytes) -> None:
    for _ in range(1000):
        board.client.upload(BlobKind.WORKLOAD, data)


@pytest.mark.needs("process")
def test_qemu_killed_in_mid_request_is_a_lost_board_and_quickly_so(fresh_board: Board) -> None:
    killer = threading.Timer(0.3, os.kill, (fresh_board.pid, signal.SIGKILL))
    killer.start()
    data = bytes(250_000)
    began = time.monotonic()
    with pytest.raises(BoardLost, match="SIGKILL"):
        keep_uploading(fresh_board, data)
    killer.join()
    assert time.monotonic() - began < fresh_board.spec.request_timeout_s + 1


@pytest.mark.needs("process")
def test_qemu_asked_to_end_from_outside_is_a_lost_board(fresh_board: Board) -> None:
    os.kill(fresh_board.pid, signal.SIGTERM)
    with pytest.raises(BoardLost, match="killed from outside"):
        keep_asking(fresh_board)


@pytest.mark.needs("process")
def test_qemu_aborting_is_the_kernels_fault(fresh_board: Board) -> None:
    os.kill(fresh_board.pid, signal.SIGABRT)
    with pytest.raises(KernelError, match="SIGABRT"):
        keep_asking(fresh_board)


@pytest.mark.needs("process")
def test_a_guest_that_ends_its_machine_is_the_kernels_fault(fresh_board: Board) -> None:
    fresh_board.client.power_off()
    with pytest.raises(KernelError, match="terminated the machine"):
        keep_asking(fresh_board)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (Provocation.DATA_ABORT, "Data Abort"),
        (Provocation.UNDEFINED, "Undefined"),
        (Provocation.STACK_OVERFLOW, "stack overflow"),
    ],
)
def test_a_fault_is_reported_with_registers_and_names(
    fresh_board: Board, what: Provocation, says: str
) -> None:
    with pytest.raises(KernelFault) as caught:
        fresh_board.client.provoke(what)
    report = caught.value.report
    assert says in report
    assert "ELR_EL1 0xffff8000" in report
    assert "x30 0xffff8000" in report
    assert "handle_PROVOKE" in fresh_board.crash_record() or "fall" in fresh_board.crash_record()
    with pytest.raises(KernelFault):
        fresh_board.client.status()
    fresh_board.power_cycle()
    assert fresh_board.client.echo(b"alive again") == b"alive again"


def test_a_hang_is_the_kernels_fault_and_shows_where(fresh_board: Board) -> None:
    with pytest.raises(KernelError, match="the kernel hangs") as caught:
        fresh_board.client.provoke(Provocation.HANG, timeout_s=1.0)
    where = "handle_PROVOKE" if REGISTERS in fresh_board.spec.capabilities else "the golden image"
    assert where in caught.value.seen
    assert where in fresh_board.crash_record()
    fresh_board.power_cycle()
    assert fresh_board.client.echo(b"alive again") == b"alive again"


def test_a_release_kernel_does_not_know_how_to_hurt_itself(board: Board) -> None:
    from contracts.errors import RequestRefused

    with pytest.raises(RequestRefused) as caught:
        board.client.provoke(Provocation.DATA_ABORT)
    assert caught.value.status == "UNKNOWN_MESSAGE"


@pytest.mark.needs("process")
def test_a_board_over_a_pty(board_spec: BoardSpec, lab_key: LabKey, lease: Lease) -> None:
    spec = dataclasses.replace(board_spec, console="pty")
    image = build_kernel(spec.firmware, variant="release")
    with open_board(spec, lab_key, image, lease=lease) as board:
        assert board.target.console_url.startswith("/dev/")
        assert board.client.echo(bytes(range(256))) == bytes(range(256)), "no byte is special on the line"
        board.client.upload(BlobKind.WORKLOAD, bytes(range(256)) * 64)
        assert board.client.status().crc_errors == 0


@pytest.mark.needs("process")
def test_nothing_is_left_of_a_board(board_spec: BoardSpec, lab_key: LabKey, lease: Lease) -> None:
    image = build_kernel(board_spec.firmware, variant="release")
    with open_board(board_spec, lab_key, image, lease=lease) as board:
        pid = board.pid
        socket = Path(board.target.console_url.removeprefix("unix://"))
        assert alive(pid)
        assert socket.exists()
    assert not alive(pid)
    assert not socket.parent.exists()
    board.power_off()
    with pytest.raises(BoardLost, match="is off"):
        board.client.status()


def test_a_kernel_that_is_no_kernel_ends_with_a_message(
    board_spec: BoardSpec, lab_key: LabKey, lease: Lease, tmp_path: Path
) -> None:
    real = build_kernel(board_spec.firmware, variant="release")
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x00\x00\x00\x14" * 64)  # a branch to itself
    spec = dataclasses.replace(board_spec, boot_timeout_s=1.0)
    image = dataclasses.replace(real, elf=junk, img=junk)
    with pytest.raises((KernelError, InfraError)) as caught, open_board(spec, lab_key, image, lease=lease):
        pass
    assert caught.value.seen


def test_the_transcript_holds_every_frame(
    board_spec: BoardSpec, lab_key: LabKey, lease: Lease, tmp_path: Path
) -> None:
    path = tmp_path / "transcript.jsonl"
    image = build_kernel(board_spec.firmware, variant="release")
    with open_board(board_spec, lab_key, image, lease=lease, transcript=path) as board:
        board.client.echo(b"on the record")
        board.client.upload_trace(Trace((TracePacket(0, bytes(60)),)))
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["message"] for row in rows[:3]] == ["LOG", "HELLO", "HELLO"]
    assert {row["dir"] for row in rows} == {"<", ">"}
    echoed = [row for row in rows if row["message"] == "ECHO"]
    assert [row["kind"] for row in echoed] == ["REQUEST", "RESPONSE"]
    assert bytes.fromhex(echoed[1]["payload"]).endswith(b"on the record")
    assert echoed[1]["status"] == "OK"
    assert echoed[0]["sequence"] == echoed[1]["sequence"]


def test_a_full_disk_under_the_transcript_is_an_error_that_says_so(
    board_spec: BoardSpec, lab_key: LabKey, lease: Lease
) -> None:
    image = build_kernel(board_spec.firmware, variant="release")
    with (
        pytest.raises(InfraError, match=r"transcript /dev/full cannot be written"),
        open_board(board_spec, lab_key, image, lease=lease, transcript=Path("/dev/full")) as board,
    ):
        keep_asking(board)


@pytest.mark.needs("process")
def test_an_idle_board_executes_nothing(board: Board) -> None:
    """Virtual time does not advance without traffic: QEMU uses no processor time."""

    def processor_ticks() -> int:
        fields = Path(f"/proc/{board.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    board.client.echo(b"")
    time.sleep(0.2)
    before = processor_ticks()
    time.sleep(1.0)
    assert processor_ticks() - before <= 3, "ticks of 10 ms in a second of idleness"
