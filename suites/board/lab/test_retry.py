"""A lab fault in a test: a retry on another board, one report with both attempts, and the final verdict."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from contracts.board import BoardSpec
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

ONCE = """
import os, pathlib, signal
import pytest

@pytest.fixture(scope="session")
def made():
    path = pathlib.Path(__file__).with_name("made")
    path.write_text(path.read_text() + "x" if path.exists() else "x")

def kill_once(board):
    flag = pathlib.Path(__file__).with_name("killed")
    if not flag.exists():
        flag.touch()
        os.kill(board.pid, signal.SIGKILL)

def test_before(board):
    assert board.client.echo(b"hi") == b"hi"

def test_loses_its_board(made, board):
    kill_once(board)
    assert board.client.echo(b"is anybody there") == b"is anybody there"
"""
AFTER = """
def test_finds_another(board):
    assert board.client.echo(b"hi") == b"hi"
"""
ALWAYS = """
import os, signal
def test_loses_its_board(board):
    os.kill(board.pid, signal.SIGKILL)
    board.client.echo(b"is anybody there")
def test_finds_another(board):
    assert board.client.echo(b"hi") == b"hi"
"""
HANGS_UP = """
import socket
def test_loses_its_board(board):
    board.client.echo(b"hi")
    board.client._link._port._socket.shutdown(socket.SHUT_RDWR)  # QEMU runs on, its line is dead
    board.client.echo(b"is anybody there")
def test_finds_another(board):
    assert board.client.echo(b"hi") == b"hi"
"""
TAKEN = """
import os, subprocess, sys, time
def take(board):
    by = "import sys; from harness.boards.registry import select_one; from harness.lease.force import seize\\n"
    by += "spec = select_one(sys.argv[1]); (place,) = (p for p in spec.places if p.name == sys.argv[2])\\n"
    by += "with seize(spec, place, 'urgent'): pass"
    subprocess.run([sys.executable, "-c", by, board.spec.kind, board.lease.place.name],
        env=os.environ | {"ASSAY_USER": "bob"}, check=True)
def test_asks_on(board):
    take(board)
    end_s = time.monotonic() + 5
    while time.monotonic() < end_s:
        board.client.echo(b"is anybody there")
def test_fails_for_that_reason(board):
    take(board)
    assert board.target is None
"""
BROKEN_QEMU = """#!/bin/sh
[ "$1" = --version ] && { echo "QEMU emulator version 9.2.0"; exit 0; }
echo "$0: error while loading shared libraries: libfdt.so.1: cannot open shared object file" >&2
exit 127
"""
XFAIL = """
import pytest
from contracts.errors import InfraError
@pytest.mark.xfail(reason="not built yet")
def test_expected_to_fail(board):
    raise InfraError("the lab is at fault all the same")
"""
PASSES_DEAD = """
import os, pathlib, signal, time
def test_does_not_notice(board):
    flag = pathlib.Path(__file__).with_name("killed")
    if not flag.exists():
        flag.touch()
        os.kill(board.pid, signal.SIGKILL)
        os.waitid(os.P_PID, board.pid, os.WEXITED | os.WNOWAIT)
        time.sleep(0.2)
"""


@pytest.mark.parametrize("after", [AFTER, ""], ids=["in the middle", "the last test of the session"])
@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_board_that_is_lost_once_gives_one_retried_test_and_nothing_else_differs(
    board_spec: BoardSpec, lab: Lab, after: str, workers: tuple[str, ...]
) -> None:
    report = lab.folder / "junit.xml"
    done = lab.run(ONCE + after, "--board", board_spec.kind, "--junitxml", str(report), *workers)
    assert done.code == 0, done.text
    assert f"{3 if after else 2} passed" in done.text
    assert "retried on another board" in done.text
    rows = done.rows
    first, second = rows.pop("test_loses_its_board")["attempts"]
    assert (first["verdict"], second["verdict"]) == ("infra", "pass")
    assert first["place"] != second["place"]
    assert "SIGKILL" in first["message"]
    assert min(first["epoch"], second["epoch"]) > 0
    assert all(row["verdict"] == "pass" and len(row["attempts"]) == 1 for row in rows.values())
    assert (lab.folder / "made").read_text() == "xx", "every fixture was torn down and made again"
    (suite,) = ET.parse(report).iter("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        str(3 if after else 2),
        "0",
        "0",
    )
    properties = {(p.get("name"), p.get("value")) for p in suite.iter("property")}
    assert ("verdict", "pass") in properties
    assert ("place", second["place"]) in properties
    assert any(name == "attempts" and "attempt 1: infra" in str(value) for name, value in properties)


def test_boards_that_die_by_themselves_on_two_places_are_the_tests_own_fault(
    board_spec: BoardSpec, lab: Lab
) -> None:
    done = lab.run(HANGS_UP, "--board", board_spec.kind)
    assert done.code == 1, done.text
    assert "1 failed, 1 passed" in done.text
    row = done.rows["test_loses_its_board"]
    assert row["verdict"] == "fail"
    assert len({attempt["place"] for attempt in row["attempts"]}) == 2
    assert "passed preflight" in row["message"]
    assert "last frames" in done.text
    assert "> ECHO" in done.text
    assert "powered on again" in done.text, "the next test has a board that is on"


def test_a_board_killed_from_outside_twice_stays_the_labs_fault(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(ALWAYS, "--board", board_spec.kind)
    assert done.code == 75, done.text
    row = done.rows["test_loses_its_board"]
    assert [attempt["verdict"] for attempt in row["attempts"]] == ["infra", "infra"]
    assert len({attempt["place"] for attempt in row["attempts"]}) == 2
    assert "SIGKILL" in row["message"]


def test_a_board_taken_by_force_twice_stays_the_labs_fault_and_names_who_took_it(
    board_spec: BoardSpec, lab: Lab
) -> None:
    done = lab.run(TAKEN, "--board", board_spec.kind)
    assert done.code == 75, done.text
    for row in done.rows.values():
        assert [attempt["verdict"] for attempt in row["attempts"]] == ["infra", "infra"], row
        assert all("by bob pid" in attempt["message"] for attempt in row["attempts"]), row


def test_a_qemu_that_cannot_start_here_is_the_machines_fault_once_in_its_own_words(
    board_spec: BoardSpec, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = lab.folder / "qemu-system-aarch64"
    broken.write_text(BROKEN_QEMU)
    broken.chmod(0o755)
    monkeypatch.setenv("ASSAY_QEMU", str(broken))
    done = lab.run(AFTER, "--board", board_spec.kind)
    assert done.code == 75, done.text
    (row,) = done.rows.values()
    assert [attempt["verdict"] for attempt in row["attempts"]] == ["infra"]
    assert "libfdt.so.1: cannot open shared object file" in row["message"]


def test_the_labs_fault_is_no_expected_failure(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(XFAIL, "--board", board_spec.kind)
    assert "xfailed" not in done.text
    assert len(done.rows["test_expected_to_fail"]["attempts"]) == 2
    assert done.code == 75, done.text


def test_a_test_that_passes_although_its_board_was_killed_runs_again(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(PASSES_DEAD, "--board", board_spec.kind)
    assert done.code == 0, done.text
    (row,) = done.rows.values()
    assert [attempt["verdict"] for attempt in row["attempts"]] == ["infra", "pass"]


def test_a_lease_that_does_not_come_is_infra_and_tried_once(board_spec: BoardSpec, lab: Lab) -> None:
    held = """
import time
from harness.lease import acquire
from harness.boards.registry import select_one
spec = select_one("qemu-virt")
leases = [acquire(spec) for _ in spec.places]
def test_waits(lease): pass
"""
    done = lab.run(held, "--board", board_spec.kind, "--lease-timeout", "1")
    assert done.code == 75, done.text
    assert "1 infra" in done.text
    (row,) = done.rows.values()
    assert (row["verdict"], [attempt["place"] for attempt in row["attempts"]]) == ("infra", [None])
    assert "assay: waiting" in done.text, "why nothing happens is said while it happens"


BUSY = """
from contracts.errors import MachineBusy
def test_waits_for_a_core(board):
    raise MachineBusy("board qemu-virt answers late: this machine is too busy")
"""


def test_a_machine_that_is_too_busy_is_given_no_second_try_to_run(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(BUSY, "--board", board_spec.kind)
    (row,) = done.document["tests"]
    assert (row["verdict"], len(row["attempts"])) == ("infra", 1)
    assert done.code == 75, done.text
