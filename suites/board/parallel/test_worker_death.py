"""A worker that dies while it holds a board: its QEMU ends, its place is free, its test has one verdict, others run."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from harness.lease import acquire
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

DEATHS = """
import os, signal, pathlib, pytest
HERE = pathlib.Path(__file__).parent
@pytest.mark.parametrize("n", range(4))
def test_before(board, n):
    assert board.client.echo(b"hi") == b"hi"
def test_is_killed(board):
    (HERE / "killed").write_text(f"{board.pid} {board.lease.place.name}")
    os.kill(os.getpid(), signal.SIGKILL)
def test_exits(board):
    os._exit(7)
@pytest.fixture
def dies_late(board):
    yield
    os.abort()
def test_dies_in_its_teardown(dies_late):
    pass
@pytest.mark.parametrize("n", range(4))
def test_after(testing_board, n):
    assert testing_board.client.echo(b"hi") == b"hi"
def test_without_a_board():
    pass
"""
SAID = {
    "test_is_killed": ("infra", "killed from outside", "SIGKILL"),
    "test_exits": ("fail", "crashed", "exited with code 7"),
    "test_dies_in_its_teardown": ("fail", "crashed", "SIGABRT"),
}


def test_each_death_is_one_tests_verdict_and_every_other_test_runs_once(
    board_spec: BoardSpec, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(lab.folder / "leases"))
    with ExitStack() as others:
        held = [others.enter_context(acquire(board_spec, timeout_s=0)) for _ in board_spec.places[1:]]
        report = lab.folder / "junit.xml"
        done = lab.run(DEATHS, "--board", board_spec.kind, "-n", "2", "--junitxml", str(report))
        with acquire(board_spec, timeout_s=0) as lease:  # free, although its last holders never released it
            only = lease.place.name
    assert done.code == 1, done.text
    rows = done.document["tests"]
    assert max(Counter(row["id"] for row in rows).values()) == 1
    assert len(rows) == 12
    for row in rows:
        name = row["id"].rpartition("::")[2].partition("[")[0]
        if name not in SAID:
            assert row["verdict"] == "pass", row
            continue
        verdict, *words = SAID[name]
        assert (row["verdict"], row["kind"]) == (verdict, board_spec.kind)
        for word in (f"worker {row['worker']}", "expected:", "seen:", "do:", *words):
            assert word in row["message"]
        assert row["message"] in done.text
    assert "2 failed" in done.text
    assert "1 infra" in done.text
    cases = list(ET.parse(report).iter("testcase"))
    assert len(cases) == len(rows)
    assert [error.get("type") for case in cases for error in case.iter("error")] == ["infra"]
    assert sum(1 for case in cases for _ in case.iter("failure")) == 2
    pid, place = (lab.folder / "killed").read_text().split()
    assert not Path(f"/proc/{pid}").exists(), "the dead worker's QEMU runs on"
    assert place == only
    assert only not in {lease.place.name for lease in held}


DIES_AFTER = """
import os, pathlib, signal, time, pytest
HERE = pathlib.Path(__file__).parent
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logfinish(nodeid):
    if "PYTEST_XDIST_WORKER" in os.environ and nodeid.endswith("test_two") and not (HERE / "died").exists():
        (HERE / "died").write_text("")
        time.sleep(0.3)  # until the controller has its reports
        os.kill(os.getpid(), signal.SIGKILL)
"""
FOUR = "".join(f"def test_{name}(): pass\n" for name in ("one", "two", "three", "four"))


def test_a_worker_that_dies_once_its_test_has_its_verdict_takes_it_back_from_nobody(lab: Lab) -> None:
    (lab.folder / "conftest.py").write_text(DIES_AFTER)
    done = lab.run(FOUR, "-n", "2")
    assert (lab.folder / "died").exists()
    assert done.code == 0, done.text
    assert "4 passed" in done.text
