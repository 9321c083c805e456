"""Safe reading of external files: only ordinary files, with a size limit, without waiting for the other end of a pipe."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from contracts.errors import ConfigError

_CHUNK: Final = 1 << 20
_KINDS: Final = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe (FIFO)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


def open_plain(path: Path) -> int:
    """A descriptor for reading an ordinary file. Raises OSError, and ConfigError for any other type of file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in a name from a file
        raise FileNotFoundError(str(error)) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "not an ordinary file")
    raise ConfigError(f"{path} cannot be read", expected="an ordinary file", seen=kind, do="check the path")


def read_plain(path: Path, most: int) -> bytes:
    """The bytes of an ordinary file of at most `most` bytes.

    Raises OSError like `open`, and ConfigError for a pipe, a folder, a device, or a larger file.
    """
    descriptor = open_plain(path)
    try:
        parts: list[bytes] = []
        left = most + 1
        while left > 0 and (part := os.read(descriptor, min(left, _CHUNK))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(descriptor)
    if left <= 0:
        raise ConfigError(
            f"{path} cannot be read",
            expected=f"a file of at most {most:,} bytes",
            seen="a larger file",
            do="check the path",
        )
    return b"".join(parts)


def tail_plain(path: Path, most: int) -> tuple[bytes, int]:
    """The last `most` bytes of an ordinary file, and its size. Raises like `read_plain`."""
    descriptor = open_plain(path)
    try:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, most, max(0, size - most)), size
    finally:
        os.close(descriptor)
