"""Leases: a board belongs to one process at a time, by a lock that ends with the process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from typing import Final, Self

from contracts.board import BoardSpec, Place
from contracts.errors import Cause, InfraError
from harness.lease import quarantine, reservation
from harness.lease.files import PlaceFiles, leases_folder, try_lock
from harness.lease.owner import Owner
from harness.lease.place_state import PlaceState, described, look, states

__all__ = ["Lease", "LeaseLost", "NoneUsable", "PlaceState", "acquire", "leases_folder", "states"]

DEFAULT_TIMEOUT_S: Final = 60.0
HEARTBEAT_S: Final = 1.0
_POLL_S: Final = 0.02
_POLL_MAX_S: Final = 0.5
_POLL_SHARE: Final = 10.0
_LOOK_S: Final = 1.0  # how often one who waits looks at why


class LeaseLost(InfraError):
    """The lease was taken by force: the board belongs to somebody else now."""

    usual_cause = Cause.OUTSIDE


class NoneUsable(InfraError):
    """Every place that could be leased is in quarantine: waiting would not help."""


class Lease:
    """One place of `spec`, held while the context (or the process) lasts. Made by `acquire`.

    `epoch` is above that of every earlier lease of the place; the board refuses a holder with a lower one. A process
    made by a bare fork does not hold it. A thread of its own says every second that the holder lives, and finds out
    when the place was taken by force.
    """

    def __init__(self, spec: BoardSpec, place: Place, files: PlaceFiles, fd: int, epoch: int) -> None:
        self.spec = spec
        self.place = place
        self.epoch = epoch
        self._files = files
        self._fd = fd
        self._lock = threading.Lock()  # the descriptor is not closed while the heartbeat uses it
        self._lost: LeaseLost | None = None
        self.on_lost: Callable[[], None] | None = None
        """Called once, from the heartbeat's thread, when the place was taken by force: let go of the board."""
        self._released = threading.Event()
        _HELD.add(self)
        threading.Thread(target=self._live, name="lease-heartbeat", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def lost(self) -> bool:
        """Whether somebody took the place by force, known a second later at most."""
        return self._lost is not None

    def check(self) -> None:
        """Raise LeaseLost when somebody took the place by force. Costs nothing."""
        if self._lost is not None:
            raise self._lost.renamed(self._lost.what)

    def check_now(self) -> None:
        """As `check`, by a look at the lock file: true at this moment, not a second ago."""
        with self._lock:
            ours = self._fd < 0 or _is_ours(self._fd)
        if not ours and self._lost is None:
            self._lose()
        self.check()

    def release(self) -> None:
        """Give the place back; may be called twice."""
        with self._lock:
            fd, self._fd = self._fd, -1
        self._released.set()
        _HELD.discard(self)
        if fd < 0:
            return
        try:
            # What cannot be tidied up misleads nobody: who looks, looks at the lock.
            with contextlib.suppress(InfraError), self._files.gate():
                if _is_ours(fd):
                    self._files.remove("owner")
                fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            os.close(fd)

    def _live(self) -> None:
        while not self._released.wait(HEARTBEAT_S):
            with self._lock:
                if self._fd < 0:
                    return
                ours = _is_ours(self._fd)
                if ours:
                    with contextlib.suppress(OSError):  # a full disk ends no lease: the lock does
                        self._files.beat(self._fd, self.epoch)
            if not ours:
                if self._lost is None:
                    self._lose()
                return

    def _lose(self) -> None:
        note: Owner | None = None
        with contextlib.suppress(InfraError):
            note = Owner.read(self._files.read("forced") or {})
        self._lost = LeaseLost(
            f"{self.place.name} was taken from us by force",
            expected=f"the lease of epoch {self.epoch} to last",
            seen=f"`{note.command}` by {note.who} at {note.since}, epoch {note.epoch}"
            if note is not None and note.epoch > self.epoch
            else f"its lock file {self._files.path('lock')} was removed",
            do="leave that board alone; run again for another one",
        )
        try:
            if self.on_lost is not None:
                self.on_lost()
        finally:
            with self._lock:
                if self._fd >= 0:  # tells who took the place that we let go of it
                    fcntl.flock(self._fd, fcntl.LOCK_UN)

    def forget(self) -> None:
        """In a forked child: the place stays with the parent."""
        fd, self._fd = self._fd, -1
        self._lock = threading.Lock()  # the parent's heartbeat may have held it
        self._released.set()
        self._lost = LeaseLost(
            f"{self.place.name} is leased by the process that forked this one",
            expected="the use of a lease in the process that took it",
            seen=f"process {os.getpid()}",
            do="take a lease in this process",
        )
        if fd >= 0:
            os.close(fd)


_HELD: Final[weakref.WeakSet[Lease]] = weakref.WeakSet()
"""Leases of this process, for a bare fork alone: a child's copy of a descriptor would keep the lock."""


def _forget_in_child() -> None:
    for lease in list(_HELD):
        lease.forget()
    _HELD.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _is_ours(fd: int) -> bool:
    return os.fstat(fd).st_nlink > 0  # by force, another file gets the name


def acquire(
    spec: BoardSpec,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    purpose: str = "",
    waiting: Callable[[str], None] | None = None,
    without: Collection[str] = frozenset(),
    places: Sequence[Place] | None = None,
    quarantined: bool = False,
) -> Lease:
    """Take a free place of `spec` (of `places`, where given), never one whose name is in `without`.

    Places in quarantine are left out (unless `quarantined`: a check of them), and those that others have reserved.
    While none is free, `waiting` is told why, whenever that changes. Who waits comes before who comes later; among
    those who wait, chance decides. Raises NoneUsable when only a lifted quarantine could help, InfraError after
    `timeout_s` seconds, with who holds the places.
    """
    folder = leases_folder()
    wanted = [
        (place, PlaceFiles.of(place, folder))
        for place in (spec.places if places is None else places)
        if place.name not in without
    ]
    if not wanted:
        raise InfraError(
            f"no other {spec.kind} is left",
            expected=f"one of {len(spec.places)} that was not tried yet",
            seen="none beside " + ", ".join(sorted(without)) if without else "no place in its board file",
            do="add a place to the lab, or mend the others",
        )
    end_s = time.monotonic() + timeout_s

    def attempt(*, polite: bool) -> Lease | None:
        for place, files in wanted:
            lease = _take(spec, place, files, purpose, polite=polite, quarantined=quarantined)
            if lease is not None:
                return lease
        return None

    lease = attempt(polite=timeout_s > 0)
    if lease is not None:
        return lease
    with contextlib.ExitStack() as stack:
        for _, files in wanted:
            _wait_at(files, stack)
        told: object = None
        look_s = 0.0
        pause_s = 2 * _POLL_S  # whoever waited before has looked again by then
        while True:
            if time.monotonic() >= look_s:
                found = [look(spec.kind, place, files) for place, files in wanted]
                if not quarantined:
                    _refuse_sick(spec, found)
                reason = [(state.place.name, state.state, state.owner, state.reason) for state in found]
                if waiting is not None and reason != told:
                    waiting(described(spec.kind, found))
                told = reason
                look_s = time.monotonic() + _LOOK_S
            left_s = end_s - time.monotonic()
            if left_s > 0:
                time.sleep(min(pause_s, left_s))
            began_s = time.monotonic()
            lease = attempt(polite=False)
            # The more of us wait, the longer an attempt takes, and the rarer it has to be.
            pause_s = min(_POLL_MAX_S, max(_POLL_S, _POLL_SHARE * (time.monotonic() - began_s)))
            if lease is not None:
                return lease
            if left_s <= 0:
                break
    found = [look(spec.kind, place, files) for place, files in wanted]
    raise InfraError(
        f"no {spec.kind} became free",
        expected=f"one of {len(wanted)} within {timeout_s:g} s",
        seen=described(spec.kind, found),
        do="wait for its holder, add places to the lab, or see `assay lease list`",
    )


def _take(
    spec: BoardSpec, place: Place, files: PlaceFiles, purpose: str, *, polite: bool, quarantined: bool
) -> Lease | None:
    """The place's lease, if it can be had at once; `polite`: and if nobody waits for it."""
    fd = files.open("lock")
    try:
        with files.gate() as gate:
            if not files.is_named(fd, "lock"):  # taken by force since it was opened
                return None
            if not try_lock(fd, fcntl.LOCK_EX) or not _may(place, files, polite, quarantined):
                return None
            epoch = files.raise_epoch(gate)
            files.beat(fd, epoch)
            files.write("owner", Owner.here(spec, place, purpose, epoch).document())
        lease = Lease(spec, place, files, fd, epoch)
        fd = -1
        return lease
    finally:
        if fd >= 0:
            os.close(fd)


def _may(place: Place, files: PlaceFiles, polite: bool, quarantined: bool) -> bool:
    if not quarantined and quarantine.of(place, files) is not None:
        return False
    reserved = reservation.of(place, files)
    if reserved is not None and not reserved.mine:
        return False
    if not polite:
        return True
    fd = files.open("wait")
    try:
        return try_lock(fd, fcntl.LOCK_EX)
    finally:
        os.close(fd)


def _wait_at(files: PlaceFiles, stack: contextlib.ExitStack) -> None:
    """Be seen as one who waits for the place, until `stack` or the process ends."""
    fd = files.open("wait")
    stack.callback(os.close, fd)
    with files.gate():
        try_lock(fd, fcntl.LOCK_SH)


def _refuse_sick(spec: BoardSpec, found: Sequence[PlaceState]) -> None:
    if all(state.state == "quarantined" for state in found):
        raise NoneUsable(
            f"every {spec.kind} that is left is in quarantine",
            expected="a place in working order",
            seen="; ".join(f"{state.place.name} since {state.since}: {state.reason}" for state in found),
            do=f"mend it, then lift the quarantine with `assay boards check {spec.kind}`",
        )
