"""Ctrl-C of a long command: the first asks for an orderly end, the second ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

from rich.console import Console

INTERRUPTED: Final = 130
"""The exit code of a command that was interrupted."""


@contextlib.contextmanager
def interruptible(console: Console, stop: threading.Event) -> Iterator[None]:
    """Ctrl-C or SIGTERM sets `stop`; a second one ends the process at once (boards end with it, the record stays)."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            console.show_cursor()
            os._exit(INTERRUPTED)
        stop.set()

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
