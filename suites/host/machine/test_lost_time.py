"""Lost time is distinguished from work, from sleep, and from a wait for a processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from contracts.root import ROOT
from harness.machine import lost_time
from harness.machine.lost_time import LostTime

_STOPPED = """
import sys, time
from harness.machine.lost_time import LostTime
with LostTime() as lost:
    time.sleep(0.3)
    began_s = time.monotonic()
    print("stop me", flush=True)
    sys.stdin.readline()
    found = lost.since(began_s)
    print(found.seconds, lost.since(time.monotonic()).seconds, found.why, sep="|", flush=True)
"""


def test_a_process_that_was_stopped_knows_for_how_long() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _STOPPED], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        assert process.stdout.readline() == "stop me\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        process.send_signal(signal.SIGCONT)
        process.stdin.write("\n")
        process.stdin.flush()
        seconds, later, why = process.stdout.readline().strip().split("|")
    finally:
        process.kill()
        process.communicate(timeout=30)
    assert 0.7 < float(seconds) < 1.5
    assert float(later) < 0.05
    assert why.startswith("this process or machine did not run for ")


@pytest.fixture
def board_process() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "60"])
    yield process.pid
    process.kill()
    process.wait(30)


def test_a_boards_process_that_was_stopped_and_continued_is_seen(board_process: int) -> None:
    with LostTime(lambda: [board_process, 0]) as lost:
        time.sleep(0.2)
        began_s = time.monotonic()
        os.kill(board_process, signal.SIGSTOP)
        time.sleep(0.8)
        os.kill(board_process, signal.SIGCONT)
        stopped = lost.since(began_s)
        time.sleep(0.3)
        halfway = lost.since(began_s + 0.4)
    assert 0.5 < stopped.seconds < 1.0
    assert f"the board (process {board_process}) was stopped for " in stopped.why
    assert 0.2 < halfway.seconds < 0.6


def test_work_that_keeps_the_interpreter_to_itself_and_sleep_lose_nothing() -> None:
    with LostTime() as lost:
        began_s = time.monotonic()
        time.sleep(0.3)
        total = sum(range(40_000_000))  # one call: the watching thread gets no turn meanwhile
        assert total
        time.sleep(0.1)
        found = lost.since(began_s)
    assert found.seconds < 0.2, found
    assert found.asleep_s == 0.0
    assert not any(thread.name == "lost-time" for thread in threading.enumerate())


def _clocks(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    """What a suspended machine, or its hypervisor, does to the clocks cannot be done to a machine that runs tests."""
    clock_gettime = time.clock_gettime
    stolen_s = lost_time._stolen_s
    monkeypatch.setattr(lost_time, "_stolen_s", lambda: stolen_s() + seconds.get("stolen", 0.0))
    monkeypatch.setattr(
        time, "clock_gettime", lambda clock: clock_gettime(clock) + seconds.get("asleep", 0.0)
    )


def test_a_machine_that_slept_is_told_and_costs_no_time_of_the_monotonic_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with LostTime() as lost:
        began_s = time.monotonic()
        time.sleep(0.2)
        _clocks(monkeypatch, asleep=30.0)
        time.sleep(0.3)
        found = lost.since(began_s)
    assert 29.0 < found.asleep_s < 31.0
    assert found.seconds < 0.1
    assert found.any
    assert found.why.startswith("this machine slept for ")


def test_processors_that_were_given_to_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with LostTime() as lost:
        began_s = time.monotonic()
        time.sleep(0.2)
        _clocks(monkeypatch, stolen=30.0)
        time.sleep(0.3)
        found = lost.since(began_s)
        assert lost.since(time.monotonic()).seconds == pytest.approx(0.0, abs=0.02)
    assert 0.03 < found.seconds <= 0.5, "no more than the time between two looks"
    assert "the hypervisor gave this machine's processors to others" in found.why
