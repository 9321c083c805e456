"""Silent boards: a golden image shows who is at fault, and the report contains what was seen."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.board import BoardSpec, Place
from contracts.errors import BoardLost, InfraError, KernelError, KernelFault
from contracts.wire.events import Event
from contracts.wire.live import Provocation
from contracts.wire.session import ECHO, Echo
from harness.boards import standing as standing_board
from harness.boards.board import Board, open_board
from harness.channel.requester import EVENTS_KEPT
from harness.config.keys import LabKey
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import build_kernel
from harness.kernel.golden import golden_image
from harness.lease import Lease, LeaseLost, acquire, quarantine
from harness.lease.force import seize
from suites.board.triage.small_lab import SmallLab

ASKED_S = 0.6
MEMORY_MAX = 48 << 20  # bytes that a flood may use on the host


def told(board: Board, text: str) -> None:
    """Checks the common part of every report of a silent kernel."""
    assert "PROVOKE" in text
    golden = golden_image(board.spec).build_id.hex()[:8]
    assert f"golden image (build {golden}) answered on {board.lease.place.name}" in text
    if "registers" in board.spec.capabilities:
        assert "PC=ffff8000" in text
    else:
        assert "no registers" in text


@pytest.mark.parametrize(
    ("what", "says", "where"),
    [
        (Provocation.HANG, "the kernel hangs", "handle_PROVOKE"),
        (Provocation.FLOOD, "the kernel floods its line and does not answer", "uart_write"),
        (Provocation.FLOOD_OF_FRAMES, "the kernel floods its line and does not answer", ""),
        (Provocation.MID_FRAME, "the kernel stopped in the middle of a frame", "stop_in_mid_frame"),
    ],
)
def test_a_silent_kernel_is_to_blame_when_its_board_answers_with_the_golden_image(
    fresh_board: Board, what: Provocation, says: str, where: str
) -> None:
    with pytest.raises(KernelError, match=says) as caught:
        fresh_board.client.provoke(what, timeout_s=ASKED_S)
    told(fresh_board, str(caught.value))
    record = fresh_board.crash_record()
    told(fresh_board, record)
    assert says in record
    if "registers" in fresh_board.spec.capabilities:
        assert where in record
    assert quarantine.of(fresh_board.lease.place) is None

    assert fresh_board.target.pid == 0, "the board is left off"
    with pytest.raises(KernelError, match=f"was left off: .*{says}"):
        fresh_board.client.echo(b"anybody")
    with pytest.raises(KernelError, match="was left off"):
        fresh_board.check_alive()
    fresh_board.power_cycle()
    assert fresh_board.client.echo(b"alive again") == b"alive again"
    assert fresh_board.crash_record() != record


@pytest.mark.board_kinds("qemu-virt")
@pytest.mark.parametrize("what", [Provocation.FLOOD, Provocation.FLOOD_OF_FRAMES])
def test_a_flood_costs_the_host_neither_its_memory_nor_its_patience(
    fresh_board: Board, what: Provocation
) -> None:
    def memory() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    client = fresh_board.client
    before = memory()
    with pytest.raises(KernelError, match="floods"):
        client.provoke(what, timeout_s=3.0)
    assert memory() - before < MEMORY_MAX
    assert len(client.events) <= EVENTS_KEPT


def test_a_panic_is_told_by_the_kernel_itself_and_needs_no_triage(fresh_board: Board) -> None:
    pid = fresh_board.target.pid
    with pytest.raises(KernelFault, match="panic: provoked"):
        fresh_board.client.provoke(Provocation.PANIC)
    assert fresh_board.target.pid == pid
    assert "golden" not in fresh_board.crash_record()
    fresh_board.power_off()
    assert "panic: provoked" in fresh_board.crash_record(), "what it said outlives its power"


@pytest.mark.board_kinds("qemu-virt")
def test_a_kernel_that_never_says_hello_is_to_blame(
    board_spec: BoardSpec, lab_key: LabKey, lease: Lease
) -> None:
    spec = dataclasses.replace(board_spec, boot_timeout_s=1.0)
    image = kernel_for(spec, extra_defines={"ASSAY_PLANT_SILENCE": "1"})
    with (
        pytest.raises(KernelError, match="the kernel never reported that it listens") as caught,
        open_board(spec, lab_key, image, lease=lease),
    ):
        pass
    assert "golden image" in caught.value.seen
    assert "channel_init" in caught.value.seen, "registers, with names"


@pytest.mark.board_kinds("qemu-virt")
def test_a_kernel_that_never_says_hello_leaves_a_tests_report_its_crash_record(
    board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = dataclasses.replace(board_spec, boot_timeout_s=1.0)
    silent = functools.partial(kernel_for, extra_defines={"ASSAY_PLANT_SILENCE": "1"})
    monkeypatch.setattr(standing_board, "kernel_for", silent)
    with standing_board.StandingBoard(lab_key) as standing:
        with pytest.raises(KernelError, match="never reported that it listens"):
            standing.ready(spec, "release")
        assert standing.board is not None, "the report of a failure asks this one"
        record = standing.board.crash_record()
        assert "golden image" in record
        assert "channel_init" in record, "registers, with names"
        assert small_lab.starts == 2, "the board, its golden image"


@pytest.mark.board_kinds("qemu-virt")
def test_one_silence_is_looked_into_once(board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab) -> None:
    with open_board(board_spec, lab_key, build_kernel(board_spec.firmware, variant="testing")) as board:
        old = board.client
        with pytest.raises(KernelError, match="hangs"):
            old.provoke(Provocation.HANG, timeout_s=ASKED_S)
        assert small_lab.starts == 2, "the board, and its golden image"
        for ask in (lambda: old.echo(b""), lambda: board.client.echo(b"?"), board.pristine):
            with pytest.raises(KernelError, match="was left off"):
                ask()
        assert small_lab.starts == 2


@pytest.mark.board_kinds("qemu-virt")
@pytest.mark.parametrize(
    ("number", "says"), [(signal.SIGKILL, "SIGKILL"), (signal.SIGSTOP, "was stopped from outside")]
)
def test_a_process_that_was_ended_or_stopped_from_outside_is_no_case_for_a_triage(
    board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab, number: int, says: str
) -> None:
    spec = dataclasses.replace(board_spec, request_timeout_s=1.0)
    with open_board(spec, lab_key, build_kernel(spec.firmware)) as board:
        os.kill(board.pid, number)
        with pytest.raises(BoardLost, match=says):
            board.client.echo(b"?")
        assert small_lab.starts == 1
        assert quarantine.of(board.lease.place) is None


@pytest.mark.board_kinds("qemu-virt")
def test_a_board_that_was_taken_by_force_is_left_to_its_new_holder(
    board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab
) -> None:
    with (
        acquire(board_spec) as lease,
        open_board(
            board_spec, lab_key, build_kernel(board_spec.firmware, variant="testing"), lease=lease
        ) as board,
        seize(board_spec, lease.place, "a test"),
    ):
        end_s = time.monotonic() + 10
        while not lease.lost and time.monotonic() < end_s:
            time.sleep(0.05)
        with pytest.raises(LeaseLost, match="by force"):
            board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
    assert small_lab.starts == 1


@pytest.mark.board_kinds("qemu-virt")
def test_a_board_that_is_taken_by_force_while_its_golden_image_boots_is_not_called_sick(
    board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab
) -> None:
    spec = dataclasses.replace(board_spec, boot_timeout_s=2.0)
    image = build_kernel(spec.firmware, variant="testing")
    done = threading.Event()

    def take(place: Place) -> None:
        while small_lab.starts < 2 and not done.wait(0.01):
            pass
        with seize(spec, place, "a test"):
            done.wait(30)

    with open_board(spec, lab_key, image) as board:
        small_lab.sicken()  # like a board that its new holder has switched off
        other = threading.Thread(target=take, args=(board.lease.place,))
        other.start()
        try:
            with pytest.raises(LeaseLost, match="by force"):
                board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
        finally:
            done.set()
            other.join()
        assert small_lab.starts == 2
        assert quarantine.of(board.lease.place) is None


@contextlib.contextmanager
def starving(pid: int) -> Iterator[None]:
    """Gives a process almost no time on a core: busy processes with higher priority run there."""
    core = min(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.setpriority(os.PRIO_PROCESS, int(thread.name), 10)
        os.sched_setaffinity(int(thread.name), {core})
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            command = ["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]
            busy = stack.enter_context(subprocess.Popen(command))
            stack.callback(busy.kill)
        yield


@pytest.mark.board_kinds("qemu-virt")
@pytest.mark.parametrize("hangs", [False, True])
def test_a_board_that_gets_no_core_of_the_machine_is_slow_and_one_that_hangs_there_hangs(
    board_spec: BoardSpec, lab_key: LabKey, small_lab: SmallLab, hangs: bool
) -> None:
    spec = dataclasses.replace(board_spec, request_timeout_s=2.0 if hangs else 10.0)
    with open_board(spec, lab_key, build_kernel(spec.firmware, variant="testing")) as board:
        with starving(board.pid):
            if hangs:
                with pytest.raises(KernelError, match="the kernel hangs"):
                    board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
                return
            with pytest.raises(InfraError, match="answers late: this machine is too busy"):
                for _ in range(100):
                    board.client.request(ECHO, Echo(bytes(1000)), timeout_s=0.01)
        assert small_lab.starts == 1, "nobody switched it off"
        assert board.client.echo(b"still here") == b"still here"


@pytest.mark.board_kinds("qemu-virt")
def test_an_event_that_does_not_come_is_no_silence(board: Board) -> None:
    pid = board.pid
    with pytest.raises(KernelError, match="sent no ROLLBACK event, but it answers"):
        board.client.wait_event(Event.ROLLBACK, timeout_s=0.2)
    assert board.pid == pid
    assert board.client.echo(b"still here") == b"still here"


@pytest.mark.board_kinds("qemu-virt")
def test_without_a_golden_image_nobody_is_blamed(
    board_spec: BoardSpec, lab_key: LabKey, lease: Lease, tmp_path: Path
) -> None:
    image = build_kernel(board_spec.firmware, variant="testing")
    with open_board(board_spec, lab_key, image, lease=lease, golden=tmp_path) as board:
        with pytest.raises(InfraError, match="the cause cannot be determined") as caught:
            board.client.provoke(Provocation.HANG, timeout_s=ASKED_S)
        assert "golden.yaml" in str(caught.value)
        assert "handle_PROVOKE" in board.crash_record()
        assert quarantine.of(lease.place) is None
