"""Ctrl-C typed on a real terminal, which sends SIGINT to everybody in its foreground group: it is the interruption."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process"), pytest.mark.timeout(300)]

CTRL_C = b"\x03"
WAIT_S = 120.0
WAITS = """
import pathlib, time
def test_a(board): assert board.client.echo(b"a") == b"a"
def test_waits(board):
    pathlib.Path(__file__).with_name("waits").touch()
    time.sleep(60)
def test_c(board): pass
"""


class Terminal:
    """A command in the foreground of a pseudo-terminal of its own; `text` is what it has shown."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.text = ""
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.chdir(ROOT)
            os.execve(command[0], command, environment)
        self._code: int | None = None

    def _read(self, timeout_s: float) -> bool:
        """Take what has been shown; False once nobody is left to show anything."""
        if select.select([self._master], [], [], timeout_s)[0]:
            try:
                self.text += os.read(self._master, 65536).decode("utf-8", "replace")
            except OSError:  # the last process has closed its end
                time.sleep(timeout_s)
                return False
        return True

    def wait(self, what: str, until: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not until():
            assert time.monotonic() < end, f"no {what}: {self.text}"
            assert self.code(0) is None, f"ended before {what}: {self.text}"
            self._read(0.02)

    def press(self, key: bytes) -> None:
        os.write(self._master, key)

    def code(self, timeout_s: float = 60.0) -> int | None:
        """The exit code, once it has ended."""
        end = time.monotonic() + timeout_s
        while self._code is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self._code = os.waitstatus_to_exitcode(status)
                while select.select([self._master], [], [], 0.2)[0] and self._read(0):
                    pass
            elif time.monotonic() >= end:
                break
            else:
                self._read(0.02)
        return self._code

    def close(self) -> None:
        if self._code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._master)


@pytest.fixture
def terminal(lab: Lab) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*arguments: str, module: str = "harness.cli") -> Terminal:
        opened.append(
            Terminal([sys.executable, "-m", module, *arguments], lab.environment() | {"TERM": "xterm"})
        )
        return opened[-1]

    yield start
    for one in opened:
        one.close()


def ends_interrupted(terminal: Terminal) -> None:
    terminal.press(CTRL_C)
    assert terminal.code() == 130, terminal.text
    assert "nterrupt" in terminal.text
    for word in ("Traceback", "INTERNALERROR", "find what ended it", "Exception ignored"):
        assert word not in terminal.text, terminal.text


def document(results: Path) -> dict[str, Any]:
    (path,) = results.glob("*/run.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def has_qemu(pid: int) -> bool:
    """Whether a QEMU runs below a process."""
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            if "qemu-system" in Path(f"/proc/{child}/cmdline").read_text() or has_qemu(int(child)):
                return True
    return False


@pytest.mark.parametrize("delay_s", [0.0, 0.07, 0.4])
def test_a_run(board_spec: BoardSpec, lab: Lab, terminal: Callable[..., Terminal], delay_s: float) -> None:
    at_work = terminal("run", "--board", board_spec.kind, "--results", str(lab.results))
    at_work.wait("first situation", lambda: bool(list(lab.results.glob("*/*/records.jsonl"))))
    time.sleep(delay_s)
    ends_interrupted(at_work)
    record = document(lab.results)
    assert record["run"]["interrupted"]
    (board,) = record["boards"]
    assert board["error"].startswith("interrupted by the user")
    assert not {row["verdict"] for row in board["stages"]} & {"fail", "infra"}


def test_a_run_that_still_builds(board_spec: BoardSpec, lab: Lab, terminal: Callable[..., Terminal]) -> None:
    macro = f"ASSAY_TEST_MARK={time.time_ns() & 0xFFFFFF}"  # a kernel that nobody has built yet
    at_work = terminal("run", "--board", board_spec.kind, "--results", str(lab.results), "--define", macro)
    at_work.wait("build", lambda: "building kernels" in at_work.text)
    ends_interrupted(at_work)
    assert document(lab.results)["run"]["interrupted"]


def test_an_acceptance(board_spec: BoardSpec, lab: Lab, terminal: Callable[..., Terminal]) -> None:
    at_work = terminal("accept", "--board", board_spec.kind, "--results", str(lab.results))
    at_work.wait("first verdict", lambda: bool(list(lab.results.glob("*/tests.jsonl"))))
    ends_interrupted(at_work)
    record = document(lab.results)
    assert (record["run"]["interrupted"], record["run"]["exit"]) == (True, 130)
    assert not {row["verdict"] for row in record["tests"]} & {"fail", "infra"}


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_a_session_of_tests(
    board_spec: BoardSpec, lab: Lab, terminal: Callable[..., Terminal], workers: tuple[str, ...]
) -> None:
    (lab.folder / "test_inner.py").write_text(WAITS)
    arguments = ["--board", board_spec.kind, "--results", str(lab.results), "--rootdir", str(lab.folder)]
    file = str(lab.folder / "test_inner.py")
    at_work = terminal("-p", "no:cacheprovider", *arguments, *workers, file, module="pytest")
    at_work.wait("test running", (lab.folder / "waits").exists)
    ends_interrupted(at_work)
    record = document(lab.results)
    assert record["run"]["interrupted"]
    assert {row["verdict"] for row in record["tests"]} <= {"pass"}


def test_a_console(board_spec: BoardSpec, terminal: Callable[..., Terminal]) -> None:
    at_work = terminal("console", board_spec.kind)
    at_work.wait("board", lambda: "is up; commands" in at_work.text)
    ends_interrupted(at_work)


def test_a_simulator(board_spec: BoardSpec, terminal: Callable[..., Terminal]) -> None:
    assert board_spec.kind
    at_work = terminal("sim")
    at_work.wait("lab file", lambda: "use it:" in at_work.text)
    ends_interrupted(at_work)


def test_a_replay(board_spec: BoardSpec, lab: Lab, terminal: Callable[..., Terminal]) -> None:
    chosen = ["--board", board_spec.kind, "--results", str(lab.results), "--situations", "3"]
    recorded = terminal("run", *chosen)
    assert recorded.code(WAIT_S) in (0, 76), recorded.text
    at_work = terminal("replay", "last", "--results", str(lab.results))
    at_work.wait("QEMU", lambda: has_qemu(at_work.pid))
    ends_interrupted(at_work)


def test_a_bench(board_spec: BoardSpec, terminal: Callable[..., Terminal]) -> None:
    assert board_spec.kind
    at_work = terminal("bench", "channel")
    at_work.wait("QEMU", lambda: has_qemu(at_work.pid))
    ends_interrupted(at_work)
