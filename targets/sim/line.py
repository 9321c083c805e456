"""A serial line of the simulator: a pty that survives the board's power cycles; the simulator moves all bytes."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from pathlib import Path
from typing import Final

CHUNK: Final = 65536


class SerialLine:
    """A pty with a symbolic link `path` to it, the adapter's device file. Raw, without hang-up while connected."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self._slave = -1

    @property
    def plugged(self) -> bool:
        """Whether the device exists."""
        return self.master >= 0

    def plug(self) -> None:
        """Create the pty and its link."""
        if self.plugged:
            return
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self.master, False)
        partial = self.path.with_name(self.path.name + ".new")
        partial.symlink_to(os.ttyname(self._slave))
        partial.replace(self.path)

    def unplug(self) -> None:
        """Remove the device: processes that have it open see a hang-up."""
        self.path.unlink(missing_ok=True)
        master, slave, self.master, self._slave = self.master, self._slave, -1, -1
        for fd in (slave, master):
            if fd >= 0:
                os.close(fd)

    def take(self) -> bytes:
        """Bytes that the host has written."""
        try:
            return os.read(self.master, CHUNK)
        except (BlockingIOError, OSError):
            return b""

    def give(self, data: bytes) -> int:
        """Write to the host; returns the number of bytes written. Without a reader, a full pty accepts none."""
        try:
            return os.write(self.master, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def drop(self) -> None:
        """Drop pending bytes in both directions, like a line without power."""
        if not self.plugged:
            return
        with contextlib.suppress(termios.error):
            termios.tcflush(self._slave, termios.TCIOFLUSH)
        while self.take():
            pass
