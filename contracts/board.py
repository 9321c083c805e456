"""A board type (`kind`) as its file describes it, after validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

PROCESS: Final = "process"
REGISTERS: Final = "registers"
EXACT: Final = "exact"
CAPABILITIES: Final[Mapping[str, str]] = {
    PROCESS: "the board is a process of this machine, with a process id",
    REGISTERS: "its cores can be read without the kernel's help",
    EXACT: "its time is virtual: figures repeat to the instruction",
}
"""Capabilities beyond those of every board, with their meaning."""


@dataclass(frozen=True, slots=True)
class QemuSpec:
    """How to start the machine: QEMU machine and CPU names, RAM in MiB, cores, kernel file format.

    Without `icount` its time is this machine's: nothing is exact, and figures are on the `hardware` clock.
    """

    machine: str
    cpu: str | None
    memory_mib: int
    cores: int
    boot: str  # "elf" or "img"
    extra: tuple[str, ...] = ()
    icount: bool = True


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """A driver's name (an entry point, or `FILE.py:NAME`) and its options from the file."""

    driver: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """One board and how to reach it. A QEMU board is created at power on, so it has only a name.

    `console` is a device path or a pyserial URL, `probe` the debug probe's unique id.
    """

    name: str
    console: str = ""
    power: DriverSpec | None = None
    boot: DriverSpec | None = None
    probe: str = ""

    @property
    def identity(self) -> str:
        """The lock's name: the device itself, so that two names of one device use the same lock."""
        if not self.console:
            return self.name
        real = self.console if "://" in self.console else str(Path(self.console).resolve())
        return _file_name(real)

    @property
    def lasting_identity(self) -> str:
        """The identity that a board keeps when devices are renumbered: quarantine and reservations use it.

        A link that the lab or udev made is meant to last, so it counts as it is written; a bare device is known by its
        link in /dev/serial/by-id, where it has one. A pty has a number that the next program is given.
        """
        if not self.console or "://" in self.console:
            return self.identity
        named = Path(os.path.abspath(self.console))  # noqa: PTH100 - resolve() would follow the link
        if named == named.parent.resolve() / named.name and not named.is_symlink():
            named = next((link for link in _by_id() if link.resolve() == named), named)
        return _file_name(str(named))


BY_ID: Final = Path("/dev/serial/by-id")
"""Where udev names serial adapters by vendor, product and serial number."""
_NAME_MAX: Final = 180  # bytes of a file's name that we use; suffixes follow, up to 255 in total
_SAFE: Final = {ord(char): "-" for char in "/:?&=%* "}


def _by_id() -> list[Path]:
    try:
        return sorted(BY_ID.iterdir())
    except OSError:
        return []


def _file_name(text: str) -> str:
    name = text.strip(os.sep).translate(_SAFE)
    if len(os.fsencode(name)) <= _NAME_MAX:
        return name
    return f"{hashlib.sha256(os.fsencode(text)).hexdigest()[:16]}-{name[-80:]}"


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """One board type. `firmware` names the folder of firmware/boards; `console` is "unix" or "pty" on QEMU."""

    kind: str
    firmware: str
    tags: tuple[str, ...]
    places: tuple[Place, ...]
    console: str
    baud: int
    boot_timeout_s: float
    request_timeout_s: float
    qemu: QemuSpec | None = None
    scenario: str | None = None
    capabilities: frozenset[str] = frozenset()
    sim: QemuSpec | None = None  # the simulated machine to start when no lab file gives places
    sim_instances: int = 0
    uart_hz: int | None = None  # the UART's reference clock, if it differs from the firmware's

    @property
    def instances(self) -> int:
        """Number of boards of this type in the lab."""
        return len(self.places)
