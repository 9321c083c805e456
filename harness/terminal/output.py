"""Standard output that may close, fill up or be missing: a working command continues without it, a list ends."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TextIO, cast

CLOSED: Final = 141
"""The exit code of a list whose reader is gone: what a shell reports for SIGPIPE (128 + 13)."""

UNWRITABLE: Final = 75
"""The exit code of a list that could not be written for another reason, such as a full disk."""


class OutputClosed(SystemExit):
    """The reader of this list is gone, or the list cannot be written; carries the exit code."""


class Outlet:
    """A standard stream. What it cannot write is dropped, and its descriptor then leads to /dev/null.

    While `only_lists`, a failed write ends the command (OutputClosed). Everything else is passed to the stream.
    """

    def __init__(self, stream: TextIO, descriptor: int, *, only_lists: bool = False) -> None:
        self.only_lists = only_lists
        self._stream = stream
        self._descriptor = descriptor
        self._told = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write what can be written. Raises OutputClosed while `only_lists`."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self._lose(error)
            return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write the buffered output. Raises OutputClosed while `only_lists`."""
        try:
            self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        with suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._descriptor)  # also for output still in the stream's buffer, and children
            os.close(nowhere)
        with suppress(OSError, ValueError):
            self._stream.flush()
        gone = isinstance(error, OSError) and error.errno == errno.EPIPE
        if self._told:
            return
        self._told = True
        if not gone and self._descriptor == 1:
            goes_on = "nothing more is shown" if self.only_lists else "the command continues without it"
            with suppress(OSError, ValueError, AttributeError):
                sys.stderr.write(f"assay: standard output cannot be written ({error}): {goes_on}\n")
        if self.only_lists:
            raise OutputClosed(CLOSED if gone else UNWRITABLE)


def guard_output(*, only_lists: bool = False) -> None:
    """Make standard output and standard error Outlets, even if missing; called once, before anything is written.

    A closed descriptor from 0 to 2 is opened on /dev/null: otherwise the next file would get its number, and every
    print would write to that file.
    """
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        os.set_inheritable(number, True)
    sys.stdin = sys.stdin or _nowhere("r")
    sys.stdout = _outlet(sys.stdout, 1, only_lists=only_lists)
    sys.stderr = _outlet(sys.stderr, 2, only_lists=False)
    # The original streams are also set, for code that uses them.
    real: Any = sys
    real.__stdout__ = real.__stdout__ or sys.stdout
    real.__stderr__ = real.__stderr__ or sys.stderr


def keep_going() -> None:
    """From now on this command works: it ends with its own exit code, whether its output is read or not."""
    if isinstance(sys.stdout, Outlet):
        sys.stdout.only_lists = False


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _nowhere(mode: str) -> TextIO:
    return cast("TextIO", Path(os.devnull).open(mode, encoding="utf-8"))


def _outlet(stream: Any, descriptor: int, *, only_lists: bool) -> TextIO:
    if isinstance(stream, Outlet):
        return cast("TextIO", stream)
    return cast("TextIO", Outlet(stream or _nowhere("w"), descriptor, only_lists=only_lists))
