"""Ctrl-C, SIGTERM and SIGHUP: the first shuts down cleanly, the second ends the process at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""The exit code of a command that was interrupted by any of the signals."""

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that interrupt: Ctrl-C, a normal kill, and a terminal that was closed."""

_exit: Final = os._exit  # a test session replaces it while tests run
_SHOW_CURSOR: Final = b"\x1b[?25h"  # ECMA-48 private mode DECTCEM: a progress bar may have hidden it


def end_at_once() -> None:
    """End this process now. QEMU and Robot processes end with it; records keep what was appended so far."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    _exit(INTERRUPTED)


@contextlib.contextmanager
def on_signals(first: Callable[[signal.Signals], None]) -> Iterator[None]:
    """`first` is called for the first of SIGNALS, in the main thread; a second one ends the process at once.

    A SIGHUP that is ignored (nohup) stays ignored. Does nothing outside the main thread, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        if seen:
            end_at_once()
        seen = True
        first(signal.Signals(number))

    wanted = [number for number in SIGNALS if not (number == signal.SIGHUP and _is_ignored(number))]
    previous = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def _raise(number: signal.Signals) -> None:
    raise KeyboardInterrupt(number.name)


def interrupting() -> contextlib.AbstractContextManager[None]:
    """Inside, the first of SIGNALS raises KeyboardInterrupt, which releases boards while it unwinds."""
    return on_signals(_raise)


def interruptible(stop: threading.Event) -> contextlib.AbstractContextManager[None]:
    """Inside, the first of SIGNALS sets `stop`: the work ends between two steps, and the record is written."""
    return on_signals(lambda _number: stop.set())
