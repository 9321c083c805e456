"""A serial device of this machine: `/dev/serial/by-id/...`, or a pty that something else holds open."""

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
    """The serial adapters that are plugged in, for people."""
    try:
        names = sorted(path.name for path in BY_ID.iterdir())
    except OSError:
        names = []
    return ", ".join(names) or "none"


def users_of(path: Path) -> str:
    """Who else has a device open, as far as this user may see: `pid 12 (picocom)`, or an empty string.

    Locks do not tell: a program that asks for none reads and writes all the same, root even past TIOCEXCL. Whoever
    serves a pty (has its other end) is no other user of it.
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
    """A console at a path. It is locked while it is open, as pyserial does it (flock(2))."""

    def __init__(self, address: str) -> None:
        self.path = Path(address)

    def present(self) -> bool:
        """Whether the path leads to a character device."""
        try:
            return stat.S_ISCHR(self.path.stat().st_mode)
        except OSError:
            return False

    def check(self) -> None:
        """Raise BoardLost for a device that is missing, forbidden or held. Sends and reads nothing."""
        if not self.present():
            what = "is no serial device" if self.path.exists() else "is missing"
            raise BoardLost(
                f"the console device {self.path} {what}",
                expected="the serial adapter of this board",
                seen=f"plugged in: {_devices()}",
                do=f"check the adapter's cable and power, and `ls {BY_ID}`; then the `console` of this place in the "
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
                expected="a serial line that nobody else holds",
                seen=f"{error}{_by(self.path)}",
                do="end what holds it, or unplug the adapter and plug it in again",
                cause=Cause.LAB,
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BoardLost(
                f"the console device {self.path} is held{_by(self.path)}",
                expected="a serial line that nobody else holds",
                seen="it is locked",
                do="end that program; the lab opens a console for itself alone",
                cause=Cause.OUTSIDE,
            ) from error
        finally:
            os.close(fd)
        others = self.users()
        if others:
            raise BoardLost(
                f"the console device {self.path} is open in another program: {others}",
                expected="a serial line that nobody else reads or writes",
                seen="it is not locked, so what the board says goes to whoever reads first",
                do="end that program; the lab opens a console for itself alone",
                cause=Cause.OUTSIDE,
            )

    def users(self) -> str:
        """Other programs that have the device open, for people; empty for none."""
        return users_of(self.path)

    def open(self, baud: int) -> Port:
        """Open and lock the device; what had arrived before is dropped. Raises BoardLost."""
        if not self.present():
            self.check()
        return open_port(str(self.path), baud=baud, exclusive=True)
