"""Signals to a test session, from its first line to its last: 130, no traceback, a record if there is one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WAIT_S = 60.0
WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
WAITS = """
import pathlib, time
def test_a(): pass
def test_waits(WHAT):
    pathlib.Path(__file__).with_name("waits").touch()
    time.sleep(60)
def test_c(): pass
def test_d(): pass
"""
SLOW_FILE = "import pathlib, time\npathlib.Path(__file__).with_name('waits').touch()\ntime.sleep(60)\ndef test_a(): pass"


def wait(what: str, until: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not until():
        assert time.monotonic() < end, f"no {what} within {WAIT_S} s"
        time.sleep(0.02)


def clean(text: str) -> bool:
    return not any(word in text for word in ("Traceback", "INTERNALERROR", "Exception ignored"))


@WORKERS
@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
@pytest.mark.parametrize("everybody", [True, False], ids=["to the group", "to the controller"])
def test_a_signal_in_a_test_ends_the_session_with_its_record(
    user: Any, workers: tuple[str, ...], number: signal.Signals, everybody: bool
) -> None:
    if everybody and workers and number == signal.SIGTERM:
        pytest.skip("a worker that SIGTERM reaches was ended from outside")
    process = user.start(WAITS.replace("WHAT", ""), *workers)
    wait("test running", (user.folder / "waits").exists)
    (os.killpg if everybody else os.kill)(process.pid, number)
    done = user.finish(process)
    assert done.code == 130, done.text
    assert clean(done.text), done.text
    run = done.document["run"]
    assert (run["interrupted"], run["exit"]) == (True, 130)
    assert "test_waits" not in done.verdicts
    assert set(done.verdicts.values()) <= {"pass"}
    assert set(done.cases) == set(done.verdicts)
    assert "did not run" in done.text


@pytest.mark.parametrize(
    "caught", ["except BaseException: pass", "except BaseException: raise ValueError('other')"]
)
def test_an_interruption_that_a_test_catches_ends_the_session_after_it(user: Any, caught: str) -> None:
    sleeps = "    try: time.sleep(60)\n    " + caught
    process = user.start(WAITS.replace("WHAT", "").replace("    time.sleep(60)", sleeps))
    wait("test running", (user.folder / "waits").exists)
    process.send_signal(signal.SIGINT)
    done = user.finish(process)
    assert done.code == 130, done.text
    assert done.document["run"]["interrupted"]
    assert "test_c" not in done.verdicts


@WORKERS
def test_a_second_signal_ends_the_session_and_its_workers_at_once(
    user: Any, workers: tuple[str, ...]
) -> None:
    stubborn = "    try: time.sleep(60)\n    finally: pathlib.Path(__file__).with_name('ends').touch(); time.sleep(60)"
    process = user.start(WAITS.replace("WHAT", "").replace("    time.sleep(60)", stubborn), *workers)
    wait("test running", (user.folder / "waits").exists)
    os.killpg(process.pid, signal.SIGINT)
    wait("tear-down running", (user.folder / "ends").exists)
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    done = user.finish(process)
    assert done.code == 130
    assert time.monotonic() - began < 5
    assert clean(done.text), done.text
    wait("end of every worker", lambda: not members(process.pid))


def members(group: int) -> list[int]:
    """Processes of a process group that have not ended."""
    out = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, owner = path.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(owner) == group and state != "Z":
            out.append(int(path.parent.name))
    return out


@WORKERS
@pytest.mark.parametrize("everybody", [True, False], ids=["to the group", "to the controller"])
def test_a_signal_while_tests_are_collected(user: Any, workers: tuple[str, ...], everybody: bool) -> None:
    process = user.start(SLOW_FILE, *workers)
    wait("file running", (user.folder / "waits").exists)
    (os.killpg if everybody else os.kill)(process.pid, signal.SIGINT)
    done = user.finish(process)
    assert done.code == 130, done.text
    assert clean(done.text), done.text


CONFTESTS = {
    "conftest": "touch()",
    "configure": "def pytest_configure(): touch()",
    "session's start": "def pytest_sessionstart(): touch()",
    "end": "def pytest_sessionfinish(): touch()",
    "unconfigure": "def pytest_unconfigure(): touch()",
}
TOUCH = """
import os, pathlib, time
def touch():
    if "PYTEST_XDIST_WORKER" not in os.environ:
        pathlib.Path(__file__).with_name("waits").touch()
        time.sleep(60)
"""


@WORKERS
@pytest.mark.parametrize("where", CONFTESTS)
def test_a_signal_at_each_step_of_a_session(user: Any, workers: tuple[str, ...], where: str) -> None:
    (user.folder / "conftest.py").write_text(TOUCH + CONFTESTS[where])
    process = user.start("def test_a(): pass", *workers)
    wait("step running", (user.folder / "waits").exists)
    os.killpg(process.pid, signal.SIGINT)
    done = user.finish(process)
    assert done.code == 130, done.text
    assert clean(done.text), done.text
    if where == "conftest":
        assert "interrupted before the session began" in done.text


def test_a_signal_while_workers_are_started(user: Any) -> None:
    for delay_s in (0.0, 0.3, 0.6, 0.9):
        process = user.start("def test_a(): pass", "-n", "4")
        wait("worker", lambda process=process: len(members(process.pid)) > 1)  # type: ignore[misc]
        time.sleep(delay_s)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        done = user.finish(process)
        assert done.code == 130, done.text
        assert clean(done.text), done.text


@pytest.mark.parametrize("redirection", ["| head -1", ">&-", ">/dev/full", "2>&-", ">&- 2>&- <&-"])
@WORKERS
def test_a_session_goes_on_without_its_output(user: Any, workers: tuple[str, ...], redirection: str) -> None:
    text = "import sys, subprocess\ndef test_a(): print('x' * 100000)\ndef test_b(capfd): subprocess.run(['echo', 'b'])\n"
    command = user.command(text + "def test_c(): assert False", "-rA", *workers)
    line = f'"$@" {redirection}; exit ${{PIPESTATUS[0]}}'
    found = subprocess.run(
        ["bash", "-c", line, "bash", *command],
        cwd=user.folder,
        env=user.environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    done = user.left(found.returncode, found.stdout + found.stderr)
    assert done.code == 1, done.text
    assert clean(done.text), done.text
    assert done.verdicts == {"test_a": "pass", "test_b": "pass", "test_c": "fail"}
    assert done.document["run"]["exit"] == 1
    assert len(done.cases) == 3
