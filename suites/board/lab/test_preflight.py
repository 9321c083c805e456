"""Missing boards: found before any test runs, reported with what is missing, never counted as a test failure."""

from __future__ import annotations

import time

import pytest

from contracts.board import BoardSpec
from harness.lease import reservation
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

TWO = """
def test_on_a_board(board):
    assert board.client.echo(b"hi") == b"hi"
def test_without(): pass
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_without_any_usable_board_a_session_ends_with_75_and_what_is_missing(
    board_spec: BoardSpec, lab: Lab, workers: tuple[str, ...]
) -> None:
    assert board_spec.kind
    began = time.monotonic()
    done = lab.run(TWO, "--board", "rpi4", *workers)
    assert time.monotonic() - began < 5.0 * 3, "on a busy machine; the goal is 5 s"
    assert done.code == 75, done.text
    assert done.text.count("the console device /dev/serial/by-id/") == 1, "told once"
    assert "do: " in done.text
    assert "passed" not in done.text, "nothing was run"


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
def test_tests_of_a_kind_that_is_not_there_are_infra_at_once_and_others_run(
    board_spec: BoardSpec, lab: Lab, workers: tuple[str, ...]
) -> None:
    done = lab.run(TWO, "--board", board_spec.kind, "--board", "rpi4", *workers)
    assert done.code == 75, done.text
    assert "2 passed" in done.text
    assert "1 infra" in done.text
    rows = {row["id"].rpartition("::")[2]: row for row in done.document["tests"]}
    absent = rows["test_on_a_board[rpi4]"]
    assert (absent["verdict"], absent["kind"], len(absent["attempts"])) == ("infra", "rpi4", 1)
    assert "did not pass preflight" in absent["message"]
    assert rows[f"test_on_a_board[{board_spec.kind}]"]["verdict"] == "pass"


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_a_simulated_board_is_there_for_a_session_by_itself(
    board_spec: BoardSpec, lab: Lab, workers: tuple[str, ...]
) -> None:
    assert board_spec.kind
    done = lab.run(TWO, "--board", "rpi4-sim", *workers)
    assert done.code == 0, done.text
    assert "2 passed" in done.text


@pytest.mark.parametrize("workers", [(), ("-n", "1")], ids=["one process", "a worker"])
def test_boards_that_somebody_else_has_reserved_are_waited_for(
    board_spec: BoardSpec, lab: Lab, workers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(lab.folder / "leases"))
    monkeypatch.setenv("ASSAY_USER", "alice")
    reservation.reserve_all(board_spec.places, 8.0)
    monkeypatch.setenv("ASSAY_USER", "bob")
    done = lab.run(TWO, "--board", board_spec.kind, *workers)
    assert done.code == 0, done.text
    assert "reserved by alice" in done.text, "why nothing happens is said while it happens"


def test_boards_that_stay_reserved_are_the_labs_fault_after_the_leases_time_out(
    board_spec: BoardSpec, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(lab.folder / "leases"))
    monkeypatch.setenv("ASSAY_USER", "alice")
    reservation.reserve_all(board_spec.places, 3600.0)
    monkeypatch.setenv("ASSAY_USER", "bob")
    done = lab.run(TWO, "--board", board_spec.kind, "--lease-timeout", "1")
    assert done.code == 75, done.text
    row = done.rows["test_on_a_board"]
    assert row["verdict"] == "infra"
    assert "reserved by alice" in row["message"]
    assert done.rows["test_without"]["verdict"] == "pass"


def test_a_kernel_that_does_not_build_ends_the_session_before_a_lease(
    board_spec: BoardSpec, lab: Lab
) -> None:
    broken = """
import pytest
import harness.boards.standing
from contracts.errors import BuildError
def no_kernel(*_): raise BuildError("kernel.c: expected ';'")
@pytest.fixture(scope="session", autouse=True)
def broken_sources():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harness.boards.standing, "kernel_for", no_kernel)
        yield
def test_one(board): pass
def test_two(board): pass
"""
    done = lab.run(broken, "--board", board_spec.kind)
    assert done.code == 1, done.text
    assert "does not build" in done.text
    assert len(done.rows) == 1, "the second test is not begun"
    assert not list((lab.folder / "leases").glob("*.owner*"))
