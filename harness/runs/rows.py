"""JSON lines: in the file when `append` returns, on the disk soon after, so that no caller waits for the disk."""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from contracts.errors import InfraError

_CLOSE_S: Final = 60.0


class RowFile:
    """Rows of one file, appended by one process.

    A row survives the process's exit after `append`, and a power cut after the next run of the sync thread. The file
    is opened for each row, so that a removed or replaced file is noticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._error: OSError | None = None
        self._torn = False
        self._waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def append(self, row: Mapping[str, object]) -> None:
        """Append one row. Raises InfraError if it or an earlier one cannot be written."""
        line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
        line = b"\n" + line if self._torn else line  # an incomplete previous row must not damage this one
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                written = os.write(descriptor, line)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise self._broken(error) from error
        if self._thread is None:
            self._thread = threading.Thread(target=self._sync, name="rows", daemon=True)
            self._thread.start()
        self._waiting.put(descriptor)
        self._torn = written < len(line)
        if self._torn:
            raise self._broken(OSError(f"{written} of {len(line)} bytes written: no space left"))
        self._check()

    def close(self) -> None:
        """Wait until all rows are on the disk; may be called twice. Raises InfraError if they are not."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._waiting.put(None)
            thread.join(_CLOSE_S)
            if thread.is_alive():
                raise self._broken(OSError(f"the disk did not sync within {_CLOSE_S:g} s"))
        self._check()

    def _sync(self) -> None:
        """Sync what has been written; one sync covers all rows written in the meantime."""
        while (descriptor := self._waiting.get()) is not None:
            while not self._waiting.empty():
                later = self._waiting.get()
                if later is None:
                    self._waiting.put(None)
                    break
                os.close(descriptor)
                descriptor = later
            try:
                os.fsync(descriptor)
            except OSError as error:
                self._error = self._error or error
            finally:
                os.close(descriptor)

    def _check(self) -> None:
        if self._error is not None:
            raise self._broken(self._error) from self._error

    def _broken(self, error: OSError) -> InfraError:
        return InfraError(
            f"cannot write {self.path}",
            expected="a results folder that exists, with free space",
            seen=str(error),
            do="free space, restore the folder, or name another one with --results",
        )
