"""`Quiet` between the processes of one job: the same promise as `harness.machine.quiet`, kept by two lock files.

The room is shared by who is busy and taken whole by who is alone; the door is taken first, by both, and held while
waiting for the room, so that one who wants to be alone is not overtaken for ever by a stream of busy ones.
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
    """Many processes `busy`, or one `alone`. Locks lie in `folder` and end with the process that holds them."""

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
        """Leave no lock behind, once every process of the job has ended."""
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
            raise InfraError(f"cannot make {path}", expected="a writable folder", seen=str(error)) from error
        try:
            while True:
                try:
                    fcntl.flock(descriptor, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() >= end_s:
                        raise InfraError(
                            "the other boards of this job did not come to rest",
                            expected=f"the lock {path} within {timeout_s:.0f} s",
                            seen="another process holds it",
                            do="see in the other boards' transcripts what they wait for",
                        ) from None
                    time.sleep(_POLL_S)
            yield
        finally:
            os.close(descriptor)
