"""A session's record: one row per test as verdicts arrive, complete after Ctrl-C, readable after a killed controller."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from harness.runs.record import DEFAULT_RESULTS, read_lines
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

WAIT_S = 60.0
THREE = """
import pathlib, time
def test_one(board):
    assert board.client.echo(b"on the record") == b"on the record"
def test_two(testing_board):
    pathlib.Path(__file__).with_name("pid").write_text(str(testing_board.pid))
def test_waits(testing_board):
    pathlib.Path(__file__).with_name("waits").touch()
    time.sleep(60)
"""
BREAKS = """
import pathlib, shutil
def test_one(board): pass
def test_breaks(board):
    (results,) = pathlib.Path(__file__).with_name("results").iterdir()
    shutil.rmtree(results)
    results.write_text("a file where the folder was")
def test_three(board): pass
def test_four(board): VERDICT
"""


def _wait(for_what: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not for_what():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def _under_way(lab: Lab, *arguments: str) -> subprocess.Popen[str]:
    process: subprocess.Popen[str] = lab.start(THREE, *arguments)
    try:
        _wait((lab.folder / "waits").exists)
        _wait(lambda: any(len(read_lines(path)) == 2 for path in lab.results.glob("*/tests.jsonl")))
    except BaseException:
        process.kill()
        raise
    return process


def _rows(lab: Lab) -> list[dict[str, Any]]:
    (path,) = lab.results.glob("*/tests.jsonl")
    return read_lines(path)


def test_a_session_is_recorded_row_by_row_with_transcripts(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(THREE, "--board", board_spec.kind, "-k", "one or two", "--seed", "7")
    assert done.code == 0, done.text
    assert f"results: {done.folder}" in done.text
    run = done.document["run"]
    assert (run["job"], run["seed"], run["exit"], run["verdict"], run["interrupted"]) == (
        "tests",
        7,
        0,
        "pass",
        False,
    )
    assert done.document["tests"] == _rows(lab)
    one = done.rows["test_one"]
    assert (one["kind"], one["verdict"], one["attempts"][0]["place"]) == (
        board_spec.kind,
        "pass",
        "qemu-virt-0",
    )
    assert len(one["build_id"]) == 40
    assert one["build_id"] != done.rows["test_two"]["build_id"]
    frames = [json.loads(line) for line in (done.folder / one["transcript"]).read_text().splitlines()]
    assert any(bytes.fromhex(frame["payload"]).endswith(b"on the record") for frame in frames)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_an_interrupted_session_frees_its_boards_and_writes_its_record(
    board_spec: BoardSpec, lab: Lab, number: signal.Signals, workers: tuple[str, ...]
) -> None:
    process = _under_way(lab, "--board", board_spec.kind, *workers)
    pid = int((lab.folder / "pid").read_text())
    assert _alive(pid)
    process.send_signal(number)
    done = lab.finish(process)
    assert done.code == 130, done.text
    run = done.document["run"]
    assert (run["interrupted"], run["exit"]) == (True, 130)
    assert [row["verdict"] for row in done.document["tests"]] == ["pass", "pass"]
    _wait(lambda: not _alive(pid))
    again = lab.run(
        "def test_gets_the_same(lease): assert lease.place.name == 'qemu-virt-0'", "--board", "qemu-virt"
    )
    assert again.code == 0, again.text


def test_ctrl_c_on_a_terminal_reaches_qemu_too_and_still_ends_with_130(
    board_spec: BoardSpec, lab: Lab
) -> None:
    process = _under_way(lab, "--board", board_spec.kind)
    os.killpg(process.pid, signal.SIGINT)
    done = lab.finish(process)
    assert done.code == 130, done.text
    assert len(done.document["tests"]) == 2


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_the_record_of_a_killed_controller_can_be_read(
    board_spec: BoardSpec, lab: Lab, workers: tuple[str, ...]
) -> None:
    process = _under_way(lab, "--board", board_spec.kind, *workers)
    pid = int((lab.folder / "pid").read_text())
    process.kill()
    lab.finish(process)
    (path,) = lab.results.glob("*/tests.jsonl")
    with path.open("ab") as file:
        file.write(b'{"id": "torn in the middle of a')
    assert [row["verdict"] for row in read_lines(path)] == ["pass", "pass"]
    _wait(lambda: not _alive(pid))


@pytest.mark.parametrize(("verdict", "code"), [("pass", 75), ("assert False", 1)])
def test_a_results_folder_that_breaks_ends_with_75_and_says_what_was_lost(
    board_spec: BoardSpec, lab: Lab, verdict: str, code: int
) -> None:
    done = lab.run(BREAKS.replace("VERDICT", verdict), "--board", board_spec.kind)
    assert done.code == code, done.text
    assert "is incomplete" in done.text
    for word in ("the row of test_inner.py::test_three", "run.json", "--results", "transcript"):
        assert word in done.text, word
    assert ("4 passed" if code == 75 else "1 failed, 3 passed") in done.text, "verdicts are still shown"


def test_a_results_folder_that_cannot_be_made_ends_the_session_before_it_begins(
    board_spec: BoardSpec, lab: Lab
) -> None:
    (lab.folder / "file").touch()
    done = lab.run(
        THREE, "--board", board_spec.kind, "-k", "one", "--results", str(lab.folder / "file" / "below")
    )
    assert done.code == 75, done.text
    assert "cannot write" in done.text


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_session_without_board_tests_leaves_nothing_unless_asked(
    board_spec: BoardSpec, lab: Lab, workers: tuple[str, ...]
) -> None:
    assert board_spec.kind
    done = lab.run("def test_host(): pass", *workers)
    assert done.code == 0, done.text
    assert [row["kind"] for row in done.document["tests"]] == [None], "--results was given"
    before = set(DEFAULT_RESULTS.glob("*"))
    done = lab.run("def test_host(): pass", *workers, results=False)
    assert done.code == 0, done.text
    assert "results:" not in done.text
    left = [path.name for path in set(DEFAULT_RESULTS.glob("*")) - before if _is_of(path, lab.folder)]
    assert not left


def _is_of(run: Path, folder: Path) -> bool:
    """Whether a session in `folder` created a run's folder: other sessions may run on this machine."""
    try:
        return str(folder) in (run / "run.json").read_text()
    except OSError:
        return False


def test_a_test_that_takes_too_long_fails(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(
        THREE, "--board", board_spec.kind, "-k", "waits", "--timeout", "3", "--timeout-method", "signal"
    )
    assert done.code == 1, done.text
    row = done.rows["test_waits"]
    assert (row["verdict"], len(row["attempts"])) == ("fail", 1)
    assert "Timeout" in row["message"]
