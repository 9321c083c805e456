"""A lock file with the kernel's own queue: a waiter is woken, does not poll, and is not overtaken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

_GIVE_UP_LOOK_S: Final = 0.05


class GivenUp(Exception):
    """`give_up` returned True: the lock is no longer wanted."""


@contextlib.contextmanager
def file_lock(
    path: Path,
    timeout_s: float,
    *,
    give_up: Callable[[], bool] | None = None,
    waiting: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold `path` (flock(2)), which is created if missing and is kept; the kernel frees it when the holder dies.

    `waiting` is called once if another process holds it. Raises TimeoutError after `timeout_s` seconds, GivenUp soon
    after `give_up` first returns True, OSError for a path that cannot be opened.
    """
    end_s = time.monotonic() + timeout_s
    while True:
        fd = _open(path)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
                waiting = None
            _Waiter(fd).wait(end_s, give_up)
        if os.fstat(fd).st_nlink:
            break
        os.close(fd)  # its holder removed it: another file has the name
    try:
        yield
    finally:
        fcntl.flock(fd, fcntl.LOCK_UN)  # closing is not enough: a fork in another thread has a copy
        os.close(fd)


def _open(path: Path) -> int:
    """A descriptor; does not follow a symbolic link, which any user can create in `/tmp`."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


class _Waiter:
    """A thread that waits for a lock without a timeout, and a caller that waits for the thread with one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._guard = threading.Lock()
        self._done = threading.Event()
        self._left = False
        self._error: OSError | None = None

    def wait(self, end_s: float, give_up: Callable[[], bool] | None) -> None:
        """Return with the lock held, or raise with the descriptor closed (by the thread, once it gets the lock)."""
        threading.Thread(target=self._take, name="file-lock", daemon=True).start()
        try:
            while not self._done.is_set():
                left_s = end_s - time.monotonic()
                if left_s <= 0:
                    raise TimeoutError
                if give_up is not None and give_up():
                    raise GivenUp
                self._done.wait(left_s if give_up is None else min(left_s, _GIVE_UP_LOOK_S))
            if self._error is not None:
                raise self._error
        except BaseException:
            with self._guard:
                self._left = True
                if self._done.is_set():
                    os.close(self._fd)
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        with self._guard:
            if self._left:
                os.close(self._fd)
            self._done.set()
