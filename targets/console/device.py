"""A serial device of this machine: `/dev/serial/by-id/...`, or a pty that another process holds open."""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from contracts.errors import BoardLost, Cause
from targets.processes import descriptors, serves
from targets.protocols import Port
from targets.serial import open_port

BY_ID: Final = Path("/dev/serial/by-id")


def _devices() -> str:
    """The connected serial adapters, as text."""
    try:
        names = sorted(path.name for path in BY_ID.iterdir())
    except OSError:
        names = []
    return ", ".join(names) or "none"


def users_of(path: Path) -> str:
    """The other processes with the device open that this user can see: `pid 12 (picocom)`, or an empty string.

    Locks do not show this: a program that takes no lock can still read and write, root even despite TIOCEXCL. The
    process that serves a pty (has its other end) does not count.
    """
    real = os.path.realpath(path)
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with suppress(OSError):
            links = descriptors(process)
            if real in links.values() and not serves(process, links, real):
                found.append(f"pid {process.name} ({(process / 'comm').read_text().strip()})")
    return ", ".join(found)


def _by(path: Path) -> str:
    users = users_of(path)
    return f" by {users}" if users else ""


class Device:
    """A console at a path. It is locked while it is open, by pyserial (flock(2))."""

    def __init__(self, address: str) -> None:
        self.path = Path(address)

    def present(self) -> bool:
        """Whether the path is a character device."""
        try:
            return stat.S_ISCHR(self.path.stat().st_mode)
        except OSError:
            return False

    def check(self) -> None:
        """Raise BoardLost for a device that is missing, forbidden or held. Sends and reads nothing."""
        if not self.present():
            what = "is not a serial device" if self.path.exists() else "is missing"
            raise BoardLost(
                f"the console device {self.path} {what}",
                expected="the serial adapter of this board",
                seen=f"connected: {_devices()}",
                do=f"check the adapter's cable and power, and `ls {BY_ID}`; then check `console` of this place in the "
                "board or lab file",
                cause=Cause.LAB,
            )
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError as error:
            raise BoardLost(
                f"the console device {self.path} may not be opened",
                expected="permission to read and write it",
                seen=str(error),
                do="add this user to the device's group (often `dialout`), and log in again",
                cause=Cause.LAB,
            ) from error
        except OSError as error:
            raise BoardLost(
                f"the console device {self.path} cannot be opened",
                expected="a serial line that no other process holds",
                seen=f"{error}{_by(self.path)}",
                do="end the process that holds it, or reconnect the adapter",
                cause=Cause.LAB,
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BoardLost(
                f"the console device {self.path} is held{_by(self.path)}",
                expected="a serial line that no other process holds",
                seen="it is locked",
                do="end that program; the lab needs exclusive access to a console",
                cause=Cause.OUTSIDE,
            ) from error
        finally:
            os.close(fd)
        others = self.users()
        if others:
            raise BoardLost(
                f"the console device {self.path} is open in another program: {others}",
                expected="a serial line that no other program reads or writes",
                seen="it is not locked, so the board's output goes to whichever program reads first",
                do="end that program; the lab needs exclusive access to a console",
                cause=Cause.OUTSIDE,
            )

    def users(self) -> str:
        """Other programs that have the device open, as readable text; empty for none."""
        return users_of(self.path)

    def open(self, baud: int) -> Port:
        """Open and lock the device; drops earlier input. Raises BoardLost."""
        if not self.present():
            self.check()
        return open_port(str(self.path), baud=baud, exclusive=True)
