"""A board belongs to one process at a time, and every wait reports its reason."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from contracts.errors import InfraError
from contracts.root import ROOT
from harness.lease import Lease, acquire, states
from harness.lease.files import PlaceFiles, leases_folder

MakeSpec = Callable[..., BoardSpec]
StartHolder = Callable[..., Any]


def until(holds: object, timeout_s: float = 20.0) -> bool:
    """Whether `holds()` becomes true in time."""
    assert callable(holds)
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        if holds():
            return True
        time.sleep(0.01)
    return False


def test_two_processes_never_hold_one_board(make_spec: MakeSpec, start_holder: StartHolder) -> None:
    spec = make_spec(1)
    holder = start_holder(spec, purpose="a long suite")
    about = holder.said()
    with pytest.raises(InfraError) as caught:
        acquire(spec, timeout_s=0.1)
    text = str(caught.value)
    assert "no bench became free" in text
    assert f"the only bench is held: bench-0 by {states(spec)[0].owner} since " in text
    assert f"pid {about['pid']}" in text
    assert "a long suite" in text
    assert "assay lease list" in text


def test_a_lease_is_given_to_the_one_who_waits_and_the_reason_is_told_whenever_it_changes(
    make_spec: MakeSpec, start_holder: StartHolder
) -> None:
    spec = make_spec(2)
    first, second = start_holder(spec), start_holder(spec)
    held = {holder.said()["place"]: holder for holder in (first, second)}
    waiter = start_holder(spec)
    why = waiter.said()["waiting"]
    assert why.startswith("all 2 bench are held: bench-0 by ")
    assert f"pid {first.process.pid}" in why
    assert f"pid {second.process.pid}" in why
    held["bench-1"].ask("release")
    assert waiter.said()["place"] == "bench-1"


def test_a_killed_holder_gives_its_board_back_at_once(make_spec: MakeSpec, start_holder: StartHolder) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    about = holder.said()
    holder.kill()
    assert states(spec)[0].state == "free"
    with acquire(spec, timeout_s=0) as lease:
        assert lease.epoch > about["epoch"]


@pytest.mark.parametrize("what", ["fork", "start"])
def test_a_child_of_a_killed_holder_does_not_keep_the_board(
    make_spec: MakeSpec, start_holder: StartHolder, what: str
) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    holder.said()
    child = holder.ask(what)["pid"]
    holder.kill()
    try:
        os.kill(child, 0)
        acquire(spec, timeout_s=5).release()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_forked_child_is_told_that_the_lease_is_its_parents(
    make_spec: MakeSpec, start_holder: StartHolder
) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    holder.said()
    forked = holder.ask("fork")
    try:
        assert "leased by the process that forked this one" in forked["check"]
        assert holder.ask("check") == {"lost": ""}
        assert states(spec)[0].state == "held"
    finally:
        os.kill(forked["pid"], signal.SIGKILL)


def test_epochs_rise_through_releases_and_damage(make_spec: MakeSpec, leases: Path) -> None:
    spec = make_spec(1)
    epochs = []

    def again() -> None:
        with acquire(spec, timeout_s=0) as lease:
            epochs.append(lease.epoch)

    again()
    again()
    for damage in (b"", b"not a number, and longer than one", b"-7", b"99999999999"):
        (leases / "bench-0.epoch").write_bytes(damage)
        again()
        assert states(spec)[0].epoch == epochs[-1]
    assert epochs == sorted(set(epochs))


def test_a_lost_folder_does_not_begin_again_with_epochs_that_a_board_has_seen(
    make_spec: MakeSpec, leases: Path
) -> None:
    spec = make_spec(1)
    with acquire(spec) as lease:
        before = lease.epoch
    shutil.rmtree(leases)
    assert until(lambda: time.time() >= before + 1)
    with acquire(spec) as lease:
        assert lease.epoch > before


def test_a_damaged_epoch_file_does_not_hide_the_epoch_of_the_present_holder(
    make_spec: MakeSpec, leases: Path
) -> None:
    spec = make_spec(1)
    (leases / "bench-0.epoch").write_text("4000000000")
    with acquire(spec) as lease:
        assert lease.epoch == 4_000_000_001
        (leases / "bench-0.epoch").write_text("")
        assert states(spec)[0].epoch == 4_000_000_001


def test_used_up_epochs_are_told(make_spec: MakeSpec, leases: Path) -> None:
    (leases / "bench-0.epoch").write_text(str(2**32 - 1))
    with pytest.raises(InfraError, match="used up"):
        acquire(make_spec(1), timeout_s=0)


def test_the_tried_ones_are_left_out_and_none_left_is_said_at_once(make_spec: MakeSpec) -> None:
    spec = make_spec(2)
    with acquire(spec, without=frozenset({"bench-0"})) as lease:
        assert lease.place.name == "bench-1"
    with acquire(spec, places=spec.places[1:]) as lease:
        assert lease.place.name == "bench-1"
    with pytest.raises(InfraError, match="no other bench is left"):
        acquire(spec, without=frozenset({"bench-0", "bench-1"}))


def test_who_has_just_released_does_not_overtake_who_waits(make_spec: MakeSpec) -> None:
    spec = make_spec(1)
    lease = acquire(spec)
    waits = threading.Event()
    order: list[str] = []

    def other() -> None:
        with acquire(spec, waiting=lambda _: waits.set()):
            order.append("waited")

    thread = threading.Thread(target=other)
    thread.start()
    assert waits.wait(30)
    time.sleep(0.1)
    lease.release()
    with acquire(spec):
        order.append("came again")
    thread.join(30)
    assert order == ["waited", "came again"]


def test_looking_is_never_in_the_way_of_taking(make_spec: MakeSpec) -> None:
    spec = make_spec(1)
    stop = threading.Event()
    seen: set[str] = set()

    def look() -> None:
        while not stop.is_set():
            seen.update(state.state for state in states(spec))

    lookers = [threading.Thread(target=look) for _ in range(2)]
    acquire(spec).release()
    for looker in lookers:
        looker.start()
    try:
        for _ in range(100):
            acquire(spec, timeout_s=0).release()
    finally:
        stop.set()
        for looker in lookers:
            looker.join(30)
    assert seen == {"free", "held"}


def test_a_place_that_was_never_used_is_free_and_looking_makes_no_file(
    make_spec: MakeSpec, leases: Path
) -> None:
    assert [state.state for state in states(make_spec(3))] == ["free"] * 3
    assert list(leases.iterdir()) == []


@pytest.mark.parametrize("content", ["", '{"pid": "12", "us', "[]", '{"pid": "twelve", "user": 7}'])
def test_a_damaged_owner_file_leaves_the_lock_to_tell_who_it_is(
    make_spec: MakeSpec, start_holder: StartHolder, leases: Path, content: str
) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    holder.said()
    (leases / "bench-0.owner").write_text(content)
    (state,) = states(spec)
    assert state.state == "held"
    assert state.owner in (
        f"pid {holder.process.pid}",
        "an unknown holder",
    )  # the latter in another pid namespace
    with pytest.raises(InfraError, match="the only bench is held: bench-0 by "):
        acquire(spec, timeout_s=0)
    holder.kill()
    with acquire(spec, timeout_s=0):
        assert states(spec)[0].owner.endswith(f"pid {os.getpid()}")


def test_what_a_killed_writer_left_is_cleared_away(make_spec: MakeSpec, leases: Path) -> None:
    for suffix in ("owner.new", "lock.new"):
        (leases / f"bench-0.{suffix}").write_text("half")
    with acquire(make_spec(1), timeout_s=0, purpose="next"):
        assert json.loads((leases / "bench-0.owner").read_text())["purpose"] == "next"


def test_a_folder_that_cannot_be_made_is_the_labs_fault(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "file" / "leases"))
    with pytest.raises(InfraError, match="ASSAY_LEASES"):
        acquire(make_spec(1))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a link of somebody else's")
def test_a_link_that_somebody_else_laid_in_our_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = 424242
    link = Path(f"/tmp/assay-leases-{stranger}")
    os.chown(tmp_path, stranger, -1)
    monkeypatch.delenv("ASSAY_LEASES", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    link.symlink_to(tmp_path)  # of root's, to a folder of the user's own
    try:
        with pytest.raises(InfraError, match="belongs to another user"):
            leases_folder()
    finally:
        link.unlink()


def test_a_folder_that_became_unwritable_is_the_labs_fault_and_waits_for_nothing(
    make_spec: MakeSpec, leases: Path
) -> None:
    (leases / "bench-0.lock").mkdir()
    with pytest.raises(InfraError, match=r"bench-0\.lock"):
        acquire(make_spec(1))


def test_a_full_disk_is_told_and_leaves_no_lease_behind(
    make_spec: MakeSpec, leases: Path, start_holder: StartHolder
) -> None:
    spec = make_spec(1)
    limited = "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    site = leases.parent / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(limited)
    root = ROOT
    holder = start_holder(spec, {"PYTHONPATH": f"{site}{os.pathsep}{root}"})
    # Its output is a pipe, to which the limit does not apply.
    assert "free space on that disk" in holder.said()["error"]
    assert states(spec)[0].state == "free"
    acquire(spec, timeout_s=0).release()


def test_another_process_that_stopped_in_mid_change_is_named(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(1)
    acquire(spec).release()
    monkeypatch.setattr("harness.lease.files.GATE_TIMEOUT_S", 0.1)
    with PlaceFiles.of(spec.places[0]).gate(), pytest.raises(InfraError, match="are stuck"):
        states(spec)


def test_the_files_of_a_shared_folder_are_everybodys(make_spec: MakeSpec, leases: Path) -> None:
    leases.chmod(0o770)
    before = os.umask(0o077)
    try:
        with acquire(make_spec(1)):
            modes = {path.name: path.stat().st_mode & 0o777 for path in leases.iterdir()}
    finally:
        os.umask(before)
    assert set(modes) == {f"bench-0.{suffix}" for suffix in ("epoch", "lock", "owner", "wait")}
    assert set(modes.values()) == {0o660}


def test_a_hundred_waiters_all_get_their_turn(make_spec: MakeSpec) -> None:
    spec = make_spec(4)
    holding = threading.Semaphore(4)

    def one(number: int) -> int:
        with acquire(spec, timeout_s=60):
            assert holding.acquire(blocking=False), "a fifth holder of four boards"
            holding.release()
        return number

    with ThreadPoolExecutor(100) as pool:
        assert sorted(pool.map(one, range(100))) == list(range(100))


def test_a_lease_can_be_released_twice_and_its_heartbeat_ends_with_it(make_spec: MakeSpec) -> None:
    spec = make_spec(1)
    lease: Lease = acquire(spec)
    lease.release()
    lease.release()
    assert until(lambda: not [t for t in threading.enumerate() if t.name == "lease-heartbeat"])
