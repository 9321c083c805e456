"""Leases: a board belongs to one process at a time, by a lock that the process holds while it lives."""

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
_LOOK_S: Final = 1.0  # how often a waiter checks the reason


class LeaseLost(InfraError):
    """The lease was taken by force: another process has the board now."""

    usual_cause = Cause.OUTSIDE


class NoneUsable(InfraError):
    """Every remaining place is in quarantine: waiting would not help."""


class Lease:
    """One place of `spec`, held while the context (or the process) lasts. Created by `acquire`.

    `epoch` is above that of every earlier lease of the place; the board rejects a holder with a lower one. A process
    created by a plain fork does not hold the lease. A separate thread writes a heartbeat every second and checks
    whether the place was taken by force.
    """

    def __init__(self, spec: BoardSpec, place: Place, files: PlaceFiles, fd: int, epoch: int) -> None:
        self.spec = spec
        self.place = place
        self.epoch = epoch
        self._files = files
        self._fd = fd
        self._lock = threading.Lock()  # prevents closing the descriptor while the heartbeat uses it
        self._lost: LeaseLost | None = None
        self.on_lost: Callable[[], None] | None = None
        """Called once, from the heartbeat's thread, when the place was taken by force: release the board."""
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
        """Whether the place was taken by force; true within a second of it."""
        return self._lost is not None

    def check(self) -> None:
        """Raise LeaseLost if the place was taken by force. Does no I/O."""
        if self._lost is not None:
            raise self._lost.renamed(self._lost.what)

    def check_now(self) -> None:
        """Like `check`, but reads the lock file, so that the result is current."""
        with self._lock:
            ours = self._fd < 0 or _is_ours(self._fd)
        if not ours and self._lost is None:
            self._lose()
        self.check()

    def release(self) -> None:
        """Release the place; may be called twice."""
        with self._lock:
            fd, self._fd = self._fd, -1
        self._released.set()
        _HELD.discard(self)
        if fd < 0:
            return
        try:
            # Files that cannot be removed do no harm: only the lock counts.
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
                    with contextlib.suppress(
                        OSError
                    ):  # the lease is the lock, so a full disk does not end it
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
            f"{self.place.name} was taken by force",
            expected=f"the lease of epoch {self.epoch}",
            seen=f"`{note.command}` by {note.who} at {note.since}, epoch {note.epoch}"
            if note is not None and note.epoch > self.epoch
            else f"its lock file {self._files.path('lock')} was removed",
            do="do not use that board; run again to lease another one",
        )
        try:
            if self.on_lost is not None:
                self.on_lost()
        finally:
            with self._lock:
                if self._fd >= 0:  # shows the new holder that this process released the place
                    fcntl.flock(self._fd, fcntl.LOCK_UN)

    def forget(self) -> None:
        """In a forked child: the place stays with the parent."""
        fd, self._fd = self._fd, -1
        self._lock = threading.Lock()  # the parent's heartbeat may hold the copied lock
        self._released.set()
        self._lost = LeaseLost(
            f"{self.place.name} is leased by the process that forked this one",
            expected="use of a lease in the process that acquired it",
            seen=f"process {os.getpid()}",
            do="acquire a lease in this process",
        )
        if fd >= 0:
            os.close(fd)


_HELD: Final[weakref.WeakSet[Lease]] = weakref.WeakSet()
"""Leases of this process, closed in a plain fork: a child's copy of the descriptor would keep the lock."""


def _forget_in_child() -> None:
    for lease in list(_HELD):
        lease.forget()
    _HELD.clear()


os.register_at_fork(after_in_child=_forget_in_child)


def _is_ours(fd: int) -> bool:
    return os.fstat(fd).st_nlink > 0  # after a forced release another file has the name


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
    """Lease a free place of `spec` (of `places`, if given), never one whose name is in `without`.

    Skips quarantined places (unless `quarantined`, for a health check) and places that others have reserved.
    While none is free, `waiting` is called with the reason whenever it changes. Waiters have priority over later
    callers; their order among each other is random. Raises NoneUsable if only a lifted quarantine could help,
    InfraError after `timeout_s` seconds, with the holders of the places.
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
            expected=f"one of {len(spec.places)} that was not used yet",
            seen="none except " + ", ".join(sorted(without)) if without else "no place in its board file",
            do="add a place to the lab, or repair the others",
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
        pause_s = 2 * _POLL_S  # by then every earlier waiter has tried again
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
            # The more processes wait, the longer an attempt takes, and the less often each may try.
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
    """The place's lease, if it is free; `polite`: only if no other process waits for it."""
    fd = files.open("lock")
    try:
        with files.gate() as gate:
            if not files.is_named(fd, "lock"):  # taken by force after it was opened
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
    """Register as a waiter for the place, until `stack` or the process ends."""
    fd = files.open("wait")
    stack.callback(os.close, fd)
    with files.gate():
        try_lock(fd, fcntl.LOCK_SH)


def _refuse_sick(spec: BoardSpec, found: Sequence[PlaceState]) -> None:
    if all(state.state == "quarantined" for state in found):
        raise NoneUsable(
            f"every remaining {spec.kind} is in quarantine",
            expected="a place in working order",
            seen="; ".join(f"{state.place.name} since {state.since}: {state.reason}" for state in found),
            do=f"repair it, then lift the quarantine with `assay boards check {spec.kind}`",
        )
