"""A board taken by force: the holder notices, releases it, and does no harm afterwards."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from harness.lease import LeaseLost, acquire, states
from harness.lease.force import seize

MakeSpec = Callable[..., BoardSpec]
StartHolder = Callable[..., Any]


def test_a_holder_finds_out_within_a_second_and_is_told_by_whom(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(1)
    monkeypatch.setenv("ASSAY_USER", "alice")
    lease = acquire(spec)
    let_go = threading.Event()
    lease.on_lost = let_go.set
    lease.check()
    monkeypatch.setenv("ASSAY_USER", "bob")
    with seize(spec, spec.places[0], "needs it") as taken:
        assert taken.before is not None
        assert taken.before.user == "alice"
        assert taken.lease.epoch > lease.epoch
        assert taken.let_go()
        assert let_go.is_set()
        assert lease.lost
        with pytest.raises(LeaseLost) as caught:
            lease.check()
        assert f"by bob pid {os.getpid()}" in caught.value.seen
        assert f"epoch {taken.lease.epoch}" in caught.value.seen
        lease.release()
        assert states(spec)[0].owner == f"bob pid {os.getpid()}", (
            "the old holder leaves the new one's files alone"
        )
    assert states(spec)[0].state == "free"


def test_a_holder_in_another_process_loses_its_lease(make_spec: MakeSpec, start_holder: StartHolder) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    about = holder.said()
    with seize(spec, spec.places[0], "test") as taken:
        assert taken.let_go()
    assert "was taken by force" in holder.ask("check")["lost"]
    after = start_holder(spec).said()
    assert after["epoch"] > taken.lease.epoch > about["epoch"]


def test_a_stopped_holder_does_not_let_go_but_finds_out_once_it_runs_again(
    make_spec: MakeSpec, start_holder: StartHolder
) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    holder.said()
    holder.signal(signal.SIGSTOP)
    with seize(spec, spec.places[0], "test") as taken:
        assert not taken.let_go(0.2)
    with acquire(spec, timeout_s=0) as lease:
        holder.signal(signal.SIGCONT)
        assert taken.lease.epoch < lease.epoch
        while not holder.ask("check")["lost"]:
            pass
        holder.ask("release")
        assert states(spec)[0].epoch == lease.epoch
        assert states(spec)[0].state == "held"


def test_one_who_waits_gets_a_board_that_was_taken_by_force(
    make_spec: MakeSpec, start_holder: StartHolder
) -> None:
    spec = make_spec(1)
    holder, waiter = start_holder(spec), None
    holder.said()
    waiter = start_holder(spec)
    assert "waiting" in waiter.said()
    with seize(spec, spec.places[0], "test"):
        pass
    while "waiting" in (said := waiter.said()):
        pass
    assert said["place"] == "bench-0"


def test_a_free_board_can_be_seized_too(make_spec: MakeSpec) -> None:
    spec = make_spec(1)
    with seize(spec, spec.places[0], "test") as taken:
        assert taken.before is None
        assert taken.let_go(0)
    acquire(spec, timeout_s=0).release()


def test_a_removed_lock_file_ends_the_lease_of_its_holder(make_spec: MakeSpec, leases: Path) -> None:
    spec = make_spec(1)
    lost = threading.Event()
    with acquire(spec) as lease:
        lease.on_lost = lost.set
        (leases / "bench-0.lock").unlink()
        assert lost.wait(20)
        with pytest.raises(LeaseLost, match="was removed"):
            lease.check()
