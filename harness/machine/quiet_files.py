"""`Quiet` between the processes of one job: the same guarantee as `harness.machine.quiet`, with two lock files.

Busy processes hold `room` shared, a process that is alone holds it exclusively. Both first take `door` and hold it
while they wait for `room`, so that a stream of busy processes cannot overtake one that wants to be alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contracts.errors import InfraError

_POLL_S: Final = 0.005


class QuietFiles:
    """Many processes `busy`, or one `alone`. The locks are in `folder` and end with the process that holds them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def busy(self, timeout_s: float) -> Iterator[None]:
        """Work that may disturb a measurement. Raises InfraError after `timeout_s`."""
        with self._room(fcntl.LOCK_SH, timeout_s):
            yield

    @contextlib.contextmanager
    def alone(self, timeout_s: float) -> Iterator[None]:
        """Work that is measured. Raises InfraError after `timeout_s`."""
        with self._room(fcntl.LOCK_EX, timeout_s):
            yield

    def remove(self) -> None:
        """Remove the locks, after every process of the job has ended."""
        for name in ("door", "room"):
            with contextlib.suppress(OSError):
                self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"quiet-{name}.lock"

    @contextlib.contextmanager
    def _room(self, how: int, timeout_s: float) -> Iterator[None]:
        end_s = time.monotonic() + timeout_s
        with contextlib.ExitStack() as door:
            door.enter_context(self._lock("door", how, end_s, timeout_s))
            with self._lock("room", how, end_s, timeout_s):
                door.close()
                yield

    @contextlib.contextmanager
    def _lock(self, name: str, how: int, end_s: float, timeout_s: float) -> Iterator[None]:
        path = self._path(name)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InfraError(
                f"cannot create {path}", expected="a writable folder", seen=str(error)
            ) from error
        try:
            while True:
                try:
                    fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end_s:
                        raise InfraError(
                            "the other boards of this job did not become idle",
                            expected=f"the lock {path} within {timeout_s:.0f} s",
                            seen="another process holds it",
                            do="see the other boards' transcripts for what they wait for",
                        ) from None
                    time.sleep(_POLL_S)
            yield
        finally:
            os.close(descriptor)
