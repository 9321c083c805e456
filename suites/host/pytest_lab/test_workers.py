"""Workers that are stopped, or killed before they are up."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from harness.pytest_lab.workers import STOPPED_S

STOPS = """
import os, pathlib, signal, time
def test_stops():
    pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
    os.kill(os.getpid(), signal.SIGSTOP)
"""
OTHERS = "".join(f"def test_other_{number}(): pass\n" for number in range(6))
CONFTEST = """
import os, pathlib, signal, time
def pytest_WHERE():
    flag = pathlib.Path(__file__).with_name("flag")
    if os.environ.get("PYTEST_XDIST_WORKER") and not flag.exists():
        flag.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.NUMBER)
"""


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_stopped_worker_is_given_up_and_the_rest_of_its_queue_runs_elsewhere(user: Any) -> None:
    began = time.monotonic()
    done = user.run(STOPS + OTHERS, "-n", "2")
    assert done.code == 75, done.text
    assert STOPPED_S <= time.monotonic() - began < STOPPED_S + 60
    verdicts = done.verdicts
    assert verdicts.pop("test_stops") == "infra"
    assert set(verdicts.values()) == {"pass"}
    assert len(verdicts) == 6
    assert done.cases["test_stops"] == "error"
    assert "was given up while it ran test_inner.py::test_stops" in done.text
    assert "(SIGSTOP)" in done.text
    assert not alive(int((user.folder / "pid").read_text()))


def test_a_worker_that_is_stopped_and_goes_on_soon_is_kept(user: Any) -> None:
    goes_on = "    import subprocess; subprocess.Popen(['sh', '-c', f'sleep 2; kill -CONT {os.getpid()}'])\n"
    text = STOPS.replace("    os.kill(", goes_on + "    os.kill(")
    done = user.run(text + OTHERS, "-n", "2")
    assert done.code == 0, done.text
    assert set(done.verdicts.values()) == {"pass"}


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM", "SIGSTOP"])
@pytest.mark.parametrize("where", ["configure", "sessionstart", "collection"])
def test_a_worker_that_is_ended_while_it_starts_is_the_labs_fault_and_no_tests(
    user: Any, where: str, number: str
) -> None:
    (user.folder / "conftest.py").write_text(CONFTEST.replace("WHERE", where).replace("NUMBER", number))
    done = user.run(OTHERS, "-n", "2")
    assert done.code == 75, done.text
    assert "INTERNALERROR" not in done.text
    assert "did not start" in done.text
    assert ("stopped for" if number == "SIGSTOP" else number) in done.text
    assert len(done.verdicts) == 6
    assert set(done.verdicts.values()) == {"pass"}
    assert not alive(int((user.folder / "flag").read_text()))


def test_workers_that_are_killed_each_time_end_the_session_by_the_labs_fault(user: Any) -> None:
    conftest = (
        CONFTEST.replace("WHERE", "configure")
        .replace("NUMBER", "SIGKILL")
        .replace(" and not flag.exists()", "")
    )
    (user.folder / "conftest.py").write_text(conftest)
    done = user.run(OTHERS, "-n", "2", "--max-worker-restart=2")
    assert done.code == 75, done.text
    assert "INTERNALERROR" not in done.text
    assert "did not start" in done.text
    assert "6 passed" not in done.text


@pytest.mark.parametrize("delay_s", [0.0, 0.02, 0.05, 0.1])
def test_a_python_that_is_killed_before_it_is_a_worker(user: Any, delay_s: float) -> None:
    process = user.start(OTHERS, "-n", "1")
    killed = 0
    end = time.monotonic() + 60
    while not killed and time.monotonic() < end:
        for path in Path(f"/proc/{process.pid}/task").glob("*/children"):
            try:
                for child in path.read_text().split():
                    if b"sys.stdin.readline" in Path(f"/proc/{child}/cmdline").read_bytes():
                        time.sleep(delay_s)
                        os.kill(int(child), signal.SIGKILL)
                        killed = int(child)
                        break
            except OSError:
                continue
    done = user.finish(process)
    assert killed
    assert done.code == 75, done.text
    assert "INTERNALERROR" not in done.text
    assert "did not start" in done.text
    assert len(done.verdicts) == 6
