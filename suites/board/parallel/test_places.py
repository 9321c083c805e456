"""Places are capacity: no worker waits for a board while another test could run, and every test runs once."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from harness.boards.registry import select
from harness.lease import acquire, quarantine, states
from suites.board.user_session import Lab, Session

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

WAITS = "assay: waiting"
USES = """
import time, pytest
@pytest.mark.parametrize("n", range(5))
def test_uses(board, n):
    assert board.client.echo(b"hi") == b"hi"
def test_pair(board_pair):
    first, second = board_pair
    assert first.lease.place != second.lease.place
def test_none(): pass
"""
LOSES = """
import os, pathlib, signal, time, pytest
def test_loses_its_board(board):
    flag = pathlib.Path(__file__).with_name("killed")
    if not flag.exists():
        flag.touch()
        os.kill(board.pid, signal.SIGKILL)
    assert board.client.echo(b"hi") == b"hi"
@pytest.mark.parametrize("n", range(3))
def test_keeps_its_board(board, n):
    time.sleep(2)
"""
SLOW = """
import time
def test_one(board):
    time.sleep(60)
def test_two(board):
    time.sleep(60)
def test_three(board): pass
def test_four(board): pass
"""


@pytest.fixture
def leases(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process and the session share the lab's leases."""
    monkeypatch.setenv("ASSAY_LEASES", str(lab.folder / "leases"))


def passed(done: Session) -> list[str]:
    """Ids of the tests in the order in which they ended; all passed."""
    assert done.code == 0, done.text
    rows = done.document["tests"]
    assert {row["verdict"] for row in rows} == {"pass"}
    ids = [row["id"] for row in rows]
    assert len(set(ids)) == len(ids)
    return ids


@contextlib.contextmanager
def held(spec: BoardSpec, count: int) -> Iterator[ExitStack]:
    """Another lab that holds that many places; it releases them when the yielded stack closes."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(acquire(spec, timeout_s=0, purpose="another lab"))
        yield stack


@pytest.mark.usefixtures("leases")
def test_a_kind_with_two_places_left_runs_its_pair_with_four_workers_and_nobody_waits(
    board_spec: BoardSpec, lab: Lab
) -> None:
    with held(board_spec, board_spec.instances - 2):
        done = lab.run(USES, "--board", board_spec.kind, "-n", "4")
    assert len(passed(done)) == 7
    assert WAITS not in done.text


@pytest.mark.usefixtures("leases")
def test_a_second_try_waits_for_no_other_worker(board_spec: BoardSpec, lab: Lab) -> None:
    with held(board_spec, board_spec.instances - 2):
        done = lab.run(LOSES, "--board", board_spec.kind, "-n", "2")
    assert len(passed(done)) == 4
    (row,) = [row for row in done.document["tests"] if "loses" in row["id"]]
    assert [told["verdict"] for told in row["attempts"]] == ["infra", "pass"]
    assert WAITS not in done.text


@pytest.mark.usefixtures("leases")
def test_more_workers_than_tests_is_no_harm(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run("def test_one(board): pass\ndef test_two(): pass", "--board", board_spec.kind, "-n", "4")
    assert len(passed(done)) == 2


@pytest.mark.usefixtures("leases")
def test_other_kinds_come_first_while_another_lab_holds_one_and_the_wait_is_told(
    board_spec: BoardSpec, lab: Lab
) -> None:
    (other,) = select(["qemu-rpi4"])
    with held(board_spec, board_spec.instances) as places:
        process = lab.start(USES, "--board", board_spec.kind, "--board", other.kind, "-n", "2")
        rows = 0
        for _ in range(600):  # the other kind's tests all end while this one's places are held
            found = list(lab.results.glob("*/tests.jsonl"))
            rows = len(found[0].read_text().splitlines()) if found else 0
            if rows == 7 or process.poll() is not None:
                break
            time.sleep(0.1)
        places.close()
        done = lab.finish(process)
    ids = passed(done)
    assert rows == 7, done.text
    assert len(ids) == 13
    assert not any(board_spec.kind in nodeid for nodeid in ids[:7])
    assert WAITS in done.text
    assert "another lab" in done.text


@pytest.mark.usefixtures("leases")
def test_a_kind_in_quarantine_is_infra_at_once_and_holds_no_other_kind_up(
    board_spec: BoardSpec, lab: Lab
) -> None:
    (other,) = select(["qemu-rpi4"])
    for place in board_spec.places:
        quarantine.put(place, "a test put it there")
    done = lab.run(USES, "--board", board_spec.kind, "--board", other.kind, "-n", "2")
    assert done.code == 75, done.text
    verdicts = {row["id"].rpartition("::")[2]: row["verdict"] for row in done.document["tests"]}
    assert len(verdicts) == 13
    for name, verdict in verdicts.items():
        assert verdict == ("infra" if board_spec.kind in name else "pass"), name
    assert WAITS not in done.text


@pytest.mark.usefixtures("leases")
@pytest.mark.parametrize("everybody", [False, True], ids=["the controller", "the process group"])
def test_an_interrupt_ends_the_workers_frees_their_boards_and_says_what_was_not_run(
    board_spec: BoardSpec, lab: Lab, everybody: bool
) -> None:
    process = lab.start(SLOW, "--board", board_spec.kind, "-n", "2")
    pids: list[int] = []
    for _ in range(600):
        pids = [state.holder.pid for state in states(board_spec) if state.holder is not None]
        if len(pids) == 2 or process.poll() is not None:
            break
        time.sleep(0.1)
    assert len(pids) == 2
    (os.killpg if everybody else os.kill)(process.pid, signal.SIGINT)
    began = time.monotonic()
    done = lab.finish(process)
    assert done.code == 130, done.text
    assert time.monotonic() - began < 60  # execnet gives a worker 5 s to end, and kills it after 10
    assert "tests did not run" in done.text
    assert done.document["run"]["interrupted"]
    assert all(state.state == "free" for state in states(board_spec))
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
