"""One host stage at a time on a machine: taken before any stopwatch starts, so that stages do not disturb each other."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from contracts.errors import InfraError

TURN_TIMEOUT_S: Final = 300.0
SLOW_TURN_TIMEOUT_S: Final = 3600.0
"""For turns in which a model that promises no latency writes: minutes an attempt."""


class TurnGivenUp(Exception):
    """`give_up` said that the turn is no longer wanted."""


@contextlib.contextmanager
def host_turn(
    timeout_s: float = TURN_TIMEOUT_S, give_up: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Hold the machine's turn. Freed by the kernel when the holder dies.

    Raises InfraError after `timeout_s`, TurnGivenUp soon after `give_up` first says True.
    """
    path = Path(tempfile.gettempdir()) / f"assay-host-turn-{os.getuid()}.lock"
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=timeout_s, poll_interval=0.01, cancel_check=give_up)
    except Timeout as error:
        if give_up():
            raise TurnGivenUp from error
        raise InfraError(
            "the machine's turn for host stages did not come",
            expected=f"the lock {path} within {timeout_s:.0f} s",
            seen="another run holds it",
            do="wait for the other run, or end it",
        ) from error
    try:
        yield
    finally:
        lock.release()
