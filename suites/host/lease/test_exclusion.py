"""No two processes ever hold one board, and every lease has a higher epoch than earlier ones."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from contracts.board import BoardSpec, Place
from contracts.errors import InfraError
from contracts.root import ROOT
from harness.lease import Lease, NoneUsable, acquire, quarantine, reservation, states
from harness.lease.force import seize

MakeSpec = Callable[..., BoardSpec]

# Acquires leases as fast as it can. Checks exclusion independently: with its own flock on a file per place.
WORKER = """
import fcntl, os, random, sys, time
from contracts.board import BoardSpec, Place
from harness.lease import acquire
folder, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
rng = random.Random(seed)
spec = BoardSpec("bench", "bench", (), (Place("bench-0"), Place("bench-1")), "unix", 115200, 10.0, 5.0)
log = os.open(folder + "/log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
end = time.monotonic() + seconds
while time.monotonic() < end:
    with acquire(spec, timeout_s=60) as lease:
        fd = os.open(folder + "/" + lease.place.name, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.write(log, b"two hold " + lease.place.name.encode() + b"\\n")
        os.write(log, f"{lease.place.name} {lease.epoch}\\n".encode())
        time.sleep(rng.random() * 0.003)
        os.close(fd)
"""


def test_many_processes_some_of_them_killed_never_share_a_board(tmp_path: Path) -> None:
    rng = random.Random(1)
    running: list[subprocess.Popen[bytes]] = []

    def start(seed: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORKER, str(tmp_path), str(seed), "2.0"]
        process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path)
        running.append(process)
        return process

    workers = [start(seed) for seed in range(6)]
    log = tmp_path / "log"
    end_s = time.monotonic() + 30
    while time.monotonic() < end_s and not (log.exists() and log.stat().st_size > 200):
        time.sleep(0.05)
    for _ in range(4):
        time.sleep(0.3)
        victim = rng.choice(workers)
        victim.kill()
        workers.remove(victim)
    for process in running:
        process.wait(60)
    assert {process.returncode for process in workers} == {0}
    lines = log.read_text().splitlines()
    assert not [line for line in lines if line.startswith("two")]
    for place in ("bench-0", "bench-1"):
        epochs = [int(line.split()[1]) for line in lines if line.startswith(place)]
        assert len(epochs) > 10
        assert all(before < after for before, after in itertools.pairwise(epochs))


@contextmanager
def _user(name: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSAY_USER", name)
        yield


PLACES = st.integers(0, 2)
USERS = st.sampled_from(["alice", "bob"])


class Lab(RuleBasedStateMachine):
    """Three boards, two users; after every step the folder's state is compared with a model of a few sets."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.patch = pytest.MonkeyPatch()
        self.patch.setenv("ASSAY_LEASES", self.folder.name)
        places = tuple(Place(f"bench-{number}") for number in range(3))
        self.spec = BoardSpec("bench", "bench", (), places, "unix", 115200, 10.0, 5.0)
        self.held: dict[int, Lease] = {}
        self.sick: set[int] = set()
        self.reserved: dict[int, str] = {}
        self.epochs = [0, 0, 0]
        self.ghosts: list[Lease] = []

    @rule(user=USERS, without=st.sets(PLACES, max_size=2))
    def take(self, user: str, without: set[int]) -> None:
        usable = [n for n in range(3) if n not in without and self.reserved.get(n, user) == user]
        free = [n for n in usable if n not in self.sick and n not in self.held]
        names = frozenset(f"bench-{n}" for n in without)
        with _user(user):
            if free:
                self._got(acquire(self.spec, timeout_s=0, without=names), free[0])
                return
            with pytest.raises(InfraError) as caught:
                acquire(self.spec, timeout_s=0, without=names)
        only_sick = all(n in self.sick for n in range(3) if n not in without)
        assert isinstance(caught.value, NoneUsable) == only_sick

    def _got(self, lease: Lease, number: int) -> None:
        assert lease.place.name == f"bench-{number}"
        assert lease.epoch > self.epochs[number]
        self.epochs[number] = lease.epoch
        self.held[number] = lease

    @rule(number=PLACES)
    def release(self, number: int) -> None:
        lease = self.held.pop(number, None)
        if lease is not None:
            lease.release()

    @rule(number=PLACES)
    def force(self, number: int) -> None:
        with seize(self.spec, self.spec.places[number], "force") as taken:
            assert (taken.before is not None) == (number in self.held)
            assert taken.lease.epoch > self.epochs[number]
            self.epochs[number] = taken.lease.epoch
        ghost = self.held.pop(number, None)
        if ghost is not None:
            self.ghosts.append(ghost)

    @rule()
    def a_ghost_gives_up(self) -> None:
        if self.ghosts:
            self.ghosts.pop(0).release()

    @rule(number=PLACES)
    def sicken(self, number: int) -> None:
        quarantine.put(self.spec.places[number], "sick")
        self.sick.add(number)

    @rule(number=PLACES)
    def heal(self, number: int) -> None:
        assert quarantine.lift(self.spec.places[number]) == (number in self.sick)
        self.sick.discard(number)

    @rule(number=PLACES, user=USERS)
    def reserve(self, number: int, user: str) -> None:
        with _user(user):
            if self.reserved.get(number, user) == user:
                reservation.reserve(self.spec.places[number], 600)
                self.reserved[number] = user
            else:
                with pytest.raises(InfraError):
                    reservation.reserve(self.spec.places[number], 600)

    @rule(number=PLACES)
    def unreserve(self, number: int) -> None:
        ended = reservation.unreserve(self.spec.places[number], force=True)
        assert (ended.user if ended else None) == self.reserved.pop(number, None)

    @invariant()
    def the_folder_says_so(self) -> None:
        for number, state in enumerate(states(self.spec)):
            expected = (
                "quarantined" if number in self.sick
                else "held" if number in self.held
                else "reserved" if number in self.reserved
                else "free"
            )  # fmt: skip
            assert state.state == expected
            assert state.epoch == self.epochs[number]
            assert (state.holder is not None) == (number in self.held)
            owner = (
                json.loads(Path(self.folder.name, f"bench-{number}.owner").read_text())
                if state.holder
                else None
            )
            assert owner is None or owner["epoch"] == self.epochs[number]

    def teardown(self) -> None:
        for lease in [*self.held.values(), *self.ghosts]:
            lease.release()
        self.patch.undo()
        self.folder.cleanup()


def test_any_order_of_what_people_and_processes_do_keeps_the_rules() -> None:
    run_state_machine_as_test(Lab, settings=settings(max_examples=25, stateful_step_count=25, deadline=None))
