"""A board that stays up for hand work, whatever happens to the process that keeps it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import dpkt
import pytest

from contracts.errors import KernelError, RequestRefused
from contracts.root import ROOT
from contracts.wire.live import Provocation
from harness.keeper.board import attached
from harness.keeper.find import boards_up, meant, up_for
from suites.board.keeper.bench import Bench

BOARD = "qemu-virt-0"


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").glob("*/children")
        for child in task.read_text().split()
    ]


def gone(pid: int, timeout_s: float = 10.0) -> bool:
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def keeper(bench: Bench) -> int:
    holder = bench.held(BOARD)
    assert holder is not None
    return int(holder["pid"])


def test_a_board_stays_up_from_load_to_rollback_and_is_free_after_down(bench: Bench) -> None:
    source = str(bench.folder / "count.c")
    assert "is up: build" in bench.assay("up", "qemu-virt")
    assert "is up already" in bench.assay("up", BOARD)
    holder = bench.held(BOARD)
    assert holder is not None
    assert holder["purpose"] == "assay up"
    (qemu,) = children(holder["pid"])

    loaded = bench.json("bpf", "load", source, "--board", BOARD, "--workload", "flood")
    replay = loaded["replay"]
    assert replay["packets"] == replay["calls"] == sum(replay["verdicts"].values()) > 100
    assert replay["committed"]
    assert replay["verdicts"]["drop"] > 0
    (program,) = bench.json("bpf", "list", "--board", "qemu-virt")
    assert (program["name"], program["state"], program["handle"]) == ("count", "committed", loaded["handle"])

    (talkers,) = bench.json("bpf", "maps", "talkers", "--board", BOARD)
    entries = {entry["key"]: entry["value"] for entry in talkers["entries"]}
    assert entries[17]["packets"] == replay["verdicts"]["drop"]
    assert entries[17]["kind"] == "FLOOD"
    assert sum(value["packets"] for value in entries.values()) == replay["packets"]
    assert f"17: {{.packets = {entries[17]['packets']}, .bytes = 0, .kind = FLOOD}}" in bench.assay(
        "bpf", "maps", "--board", BOARD
    )

    said = bench.assay("bpf", "trace", "--board", BOARD, "--workload", "flood")
    assert said == ""  # it prints nothing, and is committed already
    assert bench.json("telemetry", BOARD)["rx_packets"] == 2 * replay["packets"]
    assert "STATUS OK" in bench.assay("console", BOARD, typed="status\nquit\n")

    assert "rolled back" in bench.assay("bpf", "rollback", "--board", BOARD)
    (program,) = bench.json("bpf", "list", "--board", BOARD)
    assert program["state"] == "rolled back (request)"
    assert "no map 'talker' on the board (did you mean 'talkers'?)" in bench.assay(
        "bpf", "maps", "talker", "--board", BOARD, code=4
    )
    bench.assay("bpf", "unload", "count", "--board", BOARD)
    assert bench.json("bpf", "list", "--board", BOARD) == []

    assert "is down" in bench.assay("down", "qemu-virt")
    assert gone(qemu)
    assert bench.held(BOARD) is None
    assert "is not up" in bench.assay("down", BOARD)
    assert "is not up" in bench.assay("bpf", "list", "--board", BOARD, code=4)


def test_a_capture_is_replayed_through_a_program(bench: Bench) -> None:
    capture = bench.folder / "mine.pcapng"
    with capture.open("wb") as file:
        writer = dpkt.pcapng.Writer(file)
        for number in range(900):  # more than a board's buffer holds at once
            frame = bytes(12) + b"\x08\x00\x45" + bytes(8) + bytes([17 if number % 3 else 6]) + bytes(1400)
            writer.writepkt(frame, 1.0 + number / 1e4)
    loaded = bench.json(
        "bpf", "load", str(bench.folder / "count.c"), "--board", "qemu-virt", "--workload", str(capture)
    )  # on a board that is taken for this command alone
    assert loaded["replay"]["packets"] == loaded["replay"]["calls"] == 900
    assert loaded["replay"]["verdicts"] == {"pass": 300, "drop": 600, "tx": 0, "aborted": 0}
    assert bench.held(BOARD) is None
    capture.write_text("no capture")
    said = bench.assay(
        "bpf",
        "load",
        str(bench.folder / "count.c"),
        "--board",
        "qemu-virt",
        "--workload",
        str(capture),
        code=4,
    )
    assert "mine.pcapng is no capture that can be replayed" in said


def test_a_board_that_is_up_and_idle_is_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.assay("up", BOARD)
    (qemu,) = children(keeper(bench))

    def ticks() -> int:
        fields = Path(f"/proc/{qemu}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    monkeypatch.setenv("ASSAY_LEASES", bench.environment["ASSAY_LEASES"])
    spec = meant(BOARD, [])
    up = up_for(BOARD, spec)
    assert up is not None
    with attached(up.socket, spec) as board:
        before, before_ticks = board.client.status(), ticks()
        time.sleep(1.0)
        after, after_ticks = board.client.status(), ticks()
        assert after.frames_received == before.frames_received + 1  # the second question itself
        assert after_ticks - before_ticks <= 2
        with pytest.raises(RequestRefused, match="a loaded program"):
            board.client.unload(77)


def test_several_commands_use_one_board_at_the_same_time(bench: Bench) -> None:
    bench.assay("up", BOARD)
    source = str(bench.folder / "count.c")
    watching = bench.start("telemetry", BOARD, "--watch", "--workload", "hotport", "--every", "0.1", "--json")
    assert watching.stdout is not None
    looks: list[dict[str, Any]] = []

    def look_until(met: Callable[[dict[str, Any]], bool]) -> None:
        for line in watching.stdout or ():
            looks.append(json.loads(line))
            if met(looks[-1]):
                return
        pytest.fail(f"the watcher ended: {watching.communicate(timeout=10)[1]}")

    try:
        look_until(lambda look: look["rx_packets"] > 0)
        assert looks[-1]["verdict_drop"] == 0
        loaded = bench.json("bpf", "load", source, "--board", BOARD)
        look_until(lambda look: look["verdict_drop"] > 0)
        bench.assay("bpf", "rollback", "--board", BOARD)
        bench.assay("bpf", "unload", str(loaded["handle"]), "--board", BOARD)
        dropped = bench.json("telemetry", BOARD)["verdict_drop"]
        seen = len(looks) + 2
        look_until(lambda _look: len(looks) >= seen)
        assert bench.json("telemetry", BOARD)["verdict_drop"] == dropped
        watching.send_signal(signal.SIGINT)
        assert watching.wait(timeout=30) == 130
    finally:
        watching.kill()
        watching.communicate(timeout=10)
    counts = [look["rx_packets"] for look in looks]
    assert all(later > earlier for earlier, later in pairwise(counts))


@pytest.mark.parametrize("recovers", ["up", "down"])
def test_a_killed_keeper_frees_its_board_and_leaves_nothing_running(bench: Bench, recovers: str) -> None:
    bench.assay("up", BOARD)
    pid = keeper(bench)
    (qemu,) = children(pid)
    os.kill(pid, signal.SIGKILL)
    assert gone(qemu)
    assert bench.held(BOARD) is None
    assert "is not up" in bench.assay("bpf", "list", "--board", BOARD, code=4)
    bench.assay(recovers, BOARD)
    if recovers == "up":
        assert keeper(bench) != pid
        assert bench.json("telemetry", BOARD)["rx_packets"] == 0
    bench.assay("down", BOARD)
    assert not list((bench.folder / "leases").glob("*.up"))


def test_a_keeper_that_hangs_is_told_and_down_ends_it(bench: Bench) -> None:
    bench.assay("up", BOARD)
    pid = keeper(bench)
    (qemu,) = children(pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        text = bench.assay("telemetry", BOARD, code=75)
        assert f"nothing from pid {pid}: it was stopped or hangs" in text
        assert "is down" in bench.assay("down", BOARD)
    finally:
        if not gone(pid, 0.1):
            os.kill(pid, signal.SIGKILL)
    assert gone(qemu)
    assert bench.held(BOARD) is None


def test_a_kernel_that_dies_is_told_and_a_power_cycle_brings_it_back(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.assay("up", BOARD, "--variant", "testing")
    bench.assay("bpf", "load", str(bench.folder / "count.c"), "--board", BOARD)
    monkeypatch.setenv("ASSAY_LEASES", bench.environment["ASSAY_LEASES"])
    spec = meant(BOARD, [])
    (up,) = boards_up()
    with attached(up.socket, spec) as board:
        with pytest.raises(KernelError, match="panic: provoked"):
            board.client.provoke(Provocation.PANIC)
        assert "PANIC" in board.crash_record().upper()
    bench.assay("telemetry", BOARD, code=1)
    assert "is on again" in bench.assay("power", "cycle", BOARD)
    assert bench.json("telemetry", BOARD)["rx_packets"] == 0
    assert bench.json("bpf", "list", "--board", BOARD) == []
    assert bench.assay("power", "off", BOARD)
    assert bench.assay("power", "state", BOARD) == "off\n"
    assert "its power is off" in bench.assay("telemetry", BOARD, code=4)
    bench.assay("up", BOARD)
    assert bench.assay("power", "state", BOARD) == "on\n"
    bench.assay("down", BOARD)


def test_a_board_taken_by_force_ends_its_keeper(bench: Bench) -> None:
    bench.assay("up", BOARD)
    pid = keeper(bench)
    assert "its holder has released it" in bench.assay("lease", "release", BOARD, "--force")
    assert gone(pid)
    assert bench.held(BOARD) is None


def test_a_kind_of_which_two_are_up_has_to_be_named(bench: Bench) -> None:
    bench.assay("up", BOARD)
    bench.assay("up", "qemu-virt-1")
    assert "several boards of qemu-virt are up" in bench.assay("bpf", "list", "--board", "qemu-virt", code=4)
    assert bench.json("bpf", "list", "--board", "qemu-virt-1") == []
    bench.assay("down", "qemu-virt-1")
    assert "did you mean 'qemu-virt-" in bench.assay("up", "qemu-virt-9", code=4)


def test_tests_use_the_board_that_is_up_and_leave_it_up(bench: Bench) -> None:
    bench.assay("up", BOARD)
    pid = keeper(bench)
    file = bench.folder / "test_kept.py"
    file.write_text(
        "def test_one(board):\n"
        "    assert board.client.echo(b'x') == b'x'\n"
        f"    assert board.lease.place.name == {BOARD!r}\n"
        "def test_anew(fresh_board):\n"
        "    fresh_board.power_cycle()\n"
        "    assert fresh_board.hello.flags & 1\n"
        "def test_cannot(lease): ...\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(bench.folder)]
    command += ["--board", BOARD, "--keep", "--results", str(bench.folder / "results"), str(file)]
    done = subprocess.run(
        command, cwd=ROOT, env=bench.environment, text=True, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed, 1 skipped" in done.stdout
    assert list((bench.folder / "results").glob("*/transcripts/*test_one*.jsonl"))
    assert keeper(bench) == pid
    assert bench.json("telemetry", BOARD)["rx_packets"] == 0
    workers = subprocess.run(
        [*command, "-n", "2"],
        cwd=ROOT,
        env=bench.environment,
        text=True,
        capture_output=True,
        timeout=100,
        check=False,
    )
    assert workers.returncode == 4
    assert "--keep uses one board" in workers.stdout + workers.stderr
    bench.assay("down", BOARD)
