"""What a keeper and those who attach say to each other: JSON lines over a UNIX socket.

A request is `{"op": NAME, ...}`. Its answers are any number of `{"told": TEXT}` (progress), then one `{"ok": {...}}` or
`{"error": {...}}`. After `watch`, the keeper sends `{"dir": "<" or ">", "frame": HEX}` for every frame of the board.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypedDict

from contracts import errors
from contracts.errors import AssayError, Cause, InfraError, KernelFault, ProgramRejected, RequestRefused
from harness.kernel.build import KernelImage

SUFFIX: Final = "up"
"""Of the socket's name in the lease folder, after the place's identity."""

LINE_MAX: Final = 4 << 20
"""Bytes of one line: an upload in hexadecimal, with room."""

_CHUNK: Final = 1 << 16
_PARTS: Final = ("what", "expected", "seen", "do")


class _Text(TypedDict):
    """What every error of ours says beside what happened."""

    expected: str
    seen: str
    do: str


class Lines:
    """JSON lines over a connected socket. Not for several threads at once in one direction."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self._waiting = b""

    def send(self, value: dict[str, Any]) -> None:
        """Send one line. Raises OSError."""
        self.link.sendall(json.dumps(value, separators=(",", ":")).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """The next line; None at the end of the connection. Raises OSError (TimeoutError as the socket's time-out says)."""
        while b"\n" not in self._waiting:
            if len(self._waiting) > LINE_MAX:
                raise OSError(f"a line of more than {LINE_MAX} bytes")
            piece = self.link.recv(_CHUNK)
            if not piece:
                return None
            self._waiting += piece
        line, self._waiting = self._waiting.split(b"\n", 1)
        try:
            value = json.loads(line)
        except ValueError as error:
            raise OSError(f"not a line of JSON: {line[:80]!r}") from error
        if not isinstance(value, dict):
            raise OSError(f"not a JSON object: {line[:80]!r}")
        return value

    def close(self) -> None:
        """Close the connection; may be called twice, and wakes whoever waits on it."""
        with contextlib.suppress(OSError):
            self.link.shutdown(socket.SHUT_RDWR)
        self.link.close()


@contextlib.contextmanager
def short_path(path: Path) -> Iterator[str]:
    """A name of `path` that fits a socket address (107 bytes, unix(7)), however deep the folder lies."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def peer_pid(link: socket.socket) -> int:
    """The process at the other end of a connected UNIX socket (SO_PEERCRED, unix(7))."""
    found: tuple[int, int, int] = struct.unpack(
        "3i", link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    )
    return found[0]


def error_document(error: AssayError) -> dict[str, Any]:
    """An error of ours, with the names of its classes, so that the other side raises the nearest that it knows."""
    document: dict[str, Any] = {name: getattr(error, name) for name in _PARTS}
    document["classes"] = [known.__name__ for known in type(error).__mro__]
    if isinstance(error, InfraError):
        document["cause"] = error.cause.value
    for name in ("status", "detail", "stage", "reason", "report"):
        if hasattr(error, name):
            document[name] = getattr(error, name)
    return document


def error_of(document: dict[str, Any]) -> AssayError:
    """The error that a document tells."""
    what, expected, seen, do = (str(document.get(name, "")) for name in _PARTS)
    text: _Text = {"expected": expected, "seen": seen, "do": do}
    for name in document.get("classes", ()):
        known = getattr(errors, name, None)
        if known is RequestRefused:
            return RequestRefused(
                what, status=str(document.get("status", "")), detail=str(document.get("detail", "")), **text
            )
        if known is ProgramRejected:
            stage, reason = str(document.get("stage", "")), str(document.get("reason", ""))
            return ProgramRejected(what, stage=stage, reason=reason, **text)
        if known is KernelFault:
            return KernelFault(what, report=str(document.get("report", "")), **text)
        if isinstance(known, type) and issubclass(known, InfraError):
            return known(what, **text, cause=_cause_of(document))
        if isinstance(known, type) and issubclass(known, AssayError):
            return known(what, **text)
    return InfraError(what, **text, cause=_cause_of(document))


def _cause_of(document: dict[str, Any]) -> Cause | None:
    return next((cause for cause in Cause if cause.value == document.get("cause")), None)


def image_document(image: KernelImage) -> dict[str, Any]:
    """A kernel image as JSON has it."""
    return {
        "board": image.board,
        "variant": image.variant,
        "elf": str(image.elf),
        "img": str(image.img),
        "build_id": image.build_id.hex(),
        "size": image.size,
        "sha256": image.sha256.hex(),
    }


def image_of(document: dict[str, Any]) -> KernelImage:
    """The kernel image that a document tells. Raises KeyError or ValueError for another document."""
    return KernelImage(
        board=document["board"],
        variant=document["variant"],
        elf=Path(document["elf"]),
        img=Path(document["img"]),
        build_id=bytes.fromhex(document["build_id"]),
        size=int(document["size"]),
        sha256=bytes.fromhex(document["sha256"]),
    )
