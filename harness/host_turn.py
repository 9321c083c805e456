"""One host stage at a time on a machine: taken before any stopwatch starts, so that stages do not disturb each other."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from contracts.errors import InfraError

TURN_TIMEOUT_S: Final = 300.0
SLOW_TURN_TIMEOUT_S: Final = 3600.0
"""For turns in which a model that promises no latency writes: minutes an attempt."""


@contextlib.contextmanager
def host_turn(timeout_s: float = TURN_TIMEOUT_S) -> Iterator[None]:
    """Hold the machine's turn. Freed by the kernel when the holder dies. Raises InfraError after `timeout_s`."""
    path = Path(tempfile.gettempdir()) / f"assay-host-turn-{os.getuid()}.lock"
    try:
        with FileLock(path, timeout=timeout_s, poll_interval=0.01, thread_local=False):
            yield
    except Timeout as error:
        raise InfraError(
            "the machine's turn for host stages did not come",
            expected=f"the lock {path} within {timeout_s:.0f} s",
            seen="another run holds it",
            do="wait for the other run, or end it",
        ) from error
