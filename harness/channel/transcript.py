"""The transcript of a channel: every frame as one JSON line, to read or to replay a failure."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Final, TextIO

from contracts.errors import InfraError
from contracts.wire.events import Event
from contracts.wire.frames import FrameKind, Status
from contracts.wire.messages import MESSAGES
from contracts.wire.uploads import BLOB_WRITE
from harness.channel.frames import Frame

_NAMES: Final = {message.number: message.name for message in MESSAGES}


def message_name(frame: Frame) -> str:
    """The name of a frame's message (`HELLO`, `ROLLBACK`, ...), or its number in hex."""
    number = frame.header.message
    if frame.header.kind == FrameKind.EVENT:
        return Event(number).name if number in list(Event) else f"{number:#x}"
    return _NAMES.get(number, f"{number:#x}")


def status_name(number: int) -> str:
    """The name of a response status, or its number."""
    return Status(number).name if number in list(Status) else str(number)


SIZE_MAX: Final = 64 << 20
"""Bytes: a kernel that floods its line must not fill the disk."""
FULL: Final = "TRANSCRIPT_FULL"


class Transcript:
    """A JSON-lines file: `t` seconds since its start, `dir` ">" to the board or "<" from it, then the frame.

    When it reaches `size_max` bytes, it ends with a row with the message `TRANSCRIPT_FULL`.
    """

    def __init__(self, path: Path, *, size_max: int = SIZE_MAX) -> None:
        self.path = path
        self._room = size_max
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._error: InfraError | None = None
        self._file: TextIO | None = None
        try:
            self._file = path.open("a", encoding="ascii")
        except OSError as error:
            raise self._broken(error) from error

    def _broken(self, error: OSError) -> InfraError:
        return InfraError(
            f"transcript {self.path} cannot be written",
            expected="a writable file on a disk with free space",
            seen=str(error),
            do="free space, or name another results folder",
        )

    def check(self) -> None:
        """Raise the InfraError of an earlier write, if one failed."""
        if self._error is not None:
            raise self._error

    def record(self, direction: str, frame: Frame) -> None:
        """Append one frame. Also called from the reader thread, so a failure is stored for `check`."""
        header = frame.header
        row: dict[str, object] = {
            "t": round(time.monotonic() - self._began, 6),
            "dir": direction,
            "kind": FrameKind(header.kind).name if header.kind in list(FrameKind) else header.kind,
            "message": message_name(frame),
            "sequence": header.sequence,
            "session": header.session,
        }
        if header.kind == FrameKind.RESPONSE and len(frame.payload) >= 2:
            row["status"] = status_name(int.from_bytes(frame.payload[:2], "little"))
        row["payload"] = frame.payload.hex()
        line = json.dumps(row, separators=(",", ":")) + "\n"
        with self._lock:
            if self._file is None or self._error is not None or self._room < 0:
                return
            self._room -= len(line)
            if self._room < 0:
                line = json.dumps(row | {"message": FULL, "payload": ""}, separators=(",", ":")) + "\n"
            try:
                self._file.write(line)
                if header.message != BLOB_WRITE.number:
                    self._file.flush()
            except OSError as error:
                self._error = self._broken(error)

    def close(self) -> None:
        """Close the file; may be called twice. Raises the InfraError of a write that failed."""
        with self._lock:
            file, self._file = self._file, None
            if file is not None:
                try:
                    file.close()
                except OSError as error:
                    self._error = self._error or self._broken(error)
        self.check()
