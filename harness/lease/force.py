"""Taking a board by force: its holder notices and releases it; otherwise the board itself rejects the holder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from contracts.board import BoardSpec, Place
from harness.lease import Lease
from harness.lease.files import PlaceFiles, try_lock
from harness.lease.owner import Owner
from harness.lease.place_state import holder

LET_GO_S: Final = 3.0
"""A holder checks every second; one that has not released the board after this time is stopped or runs another Assay."""

_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Seizure:
    """A place taken by force: the new lease, and the previous holder (None: no holder)."""

    lease: Lease
    before: Owner | None
    old_fd: int

    def let_go(self, timeout_s: float = LET_GO_S) -> bool:
        """Wait until the previous holder has released the board; False if it did not within `timeout_s`."""
        if self.before is None:
            return True
        end_s = time.monotonic() + timeout_s
        while not try_lock(self.old_fd, fcntl.LOCK_SH):
            if time.monotonic() >= end_s:
                return False
            time.sleep(_POLL_S)
        return True


@contextlib.contextmanager
def seize(spec: BoardSpec, place: Place, purpose: str) -> Iterator[Seizure]:
    """Take a place from its holder, hold it, and release it afterwards.

    A new lock file replaces the old one: the holder keeps its lock on a file that is no longer used, and notices
    within a second. The epoch rises, so that the board rejects its sessions after a later one was opened. Raises
    InfraError if the folder cannot be written.
    """
    files = PlaceFiles.of(place)
    with contextlib.ExitStack() as stack:
        with files.gate() as gate:
            before = holder(files)
            old = files.open("lock")
            stack.callback(os.close, old)
            files.remove("lock.new")  # left by a process that was killed at this point
            with contextlib.ExitStack() as unless_held:
                new = files.open("lock.new")
                unless_held.callback(os.close, new)
                fcntl.flock(new, fcntl.LOCK_EX)
                epoch = files.raise_epoch(gate)
                files.beat(new, epoch)
                owner = Owner.here(spec, place, purpose, epoch)
                files.write("forced", owner.document())
                files.rename("lock.new", "lock")
                files.write("owner", owner.document())
                unless_held.pop_all()
        yield Seizure(stack.enter_context(Lease(spec, place, files, new, epoch)), before, old)
