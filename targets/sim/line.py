"""A serial line of the simulator: a pty that outlives the board behind it, and everything on it moved by hand."""

from __future__ import annotations

import contextlib
import os
import termios
import tty
from pathlib import Path
from typing import Final

CHUNK: Final = 65536


class SerialLine:
    """A pty with a symbolic link `path` to it: the adapter's device file. Raw, and never hung up while plugged in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.master = -1
        self._slave = -1

    @property
    def plugged(self) -> bool:
        """Whether the device is there."""
        return self.master >= 0

    def plug(self) -> None:
        """Make the pty and its link."""
        if self.plugged:
            return
        self.master, self._slave = os.openpty()
        tty.setraw(self._slave, termios.TCSANOW)
        os.set_blocking(self.master, False)
        partial = self.path.with_name(self.path.name + ".new")
        partial.symlink_to(os.ttyname(self._slave))
        partial.replace(self.path)

    def unplug(self) -> None:
        """Take the device away: whoever has it open sees it hung up."""
        self.path.unlink(missing_ok=True)
        master, slave, self.master, self._slave = self.master, self._slave, -1, -1
        for fd in (slave, master):
            if fd >= 0:
                os.close(fd)

    def take(self) -> bytes:
        """What the host has written."""
        try:
            return os.read(self.master, CHUNK)
        except (BlockingIOError, OSError):
            return b""

    def give(self, data: bytes) -> int:
        """Write to the host; returns how many bytes went. With nobody reading, a full pty takes none."""
        try:
            return os.write(self.master, data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def drop(self) -> None:
        """Lose what lies on the line in both directions, as a line without power does."""
        if not self.plugged:
            return
        with contextlib.suppress(termios.error):
            termios.tcflush(self._slave, termios.TCIOFLUSH)
        while self.take():
            pass
