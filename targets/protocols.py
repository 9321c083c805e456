"""Interfaces of a board and of its surroundings: console, power, boot method.

A driver is a class found by name (`targets.drivers`). Its `Options` is a strict pydantic model of its part of a board
or lab file, and a driver is created from one instance of it. `check` runs before a session, in well under a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel

from contracts.board import BoardSpec
from contracts.errors import AssayError


class Port(Protocol):
    """The part of a pyserial port that the lab uses. Reads and writes raise OSError (SerialException) on a lost line."""

    @property
    def in_waiting(self) -> int:
        """Number of bytes that a read would return at once."""
        ...

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes within the port's read timeout."""
        ...

    def write(self, data: bytes) -> int | None:
        """Send all bytes within the port's write timeout."""
        ...

    def close(self) -> None:
        """Close; may be called twice."""
        ...


class Console(Protocol):
    """A board's serial line. Created from the address after `DRIVER://` in a place's `console`, or from a path."""

    def __init__(self, address: str) -> None: ...

    def check(self) -> None:
        """Raise InfraError if the line is missing, cannot be opened, or is held by another process."""
        ...

    def present(self) -> bool:
        """Whether the line is present, as far as visible without opening it."""
        ...

    def open(self, baud: int) -> Port:
        """Open the line for one holder. Raises InfraError."""
        ...

    # May have `users() -> str`: other programs that have the line open, as readable text; empty for none.


class Power(Protocol):
    """The switch of a board's power supply.

    A driver may have `label` (the name of what it switches: `port 1 of hub 1-1.4`) and `advice` (what to try if that
    does not switch off).
    """

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: BaseModel) -> None: ...

    def check(self) -> None:
        """Raise InfraError if something that the driver needs is missing. Switches nothing."""
        ...

    def on(self) -> None:
        """Switch on. Raises InfraError."""
        ...

    def off(self) -> None:
        """Switch off and wait until the board is discharged. Raises InfraError."""
        ...

    def state(self) -> bool | None:
        """Whether the supply is on; None if the driver cannot tell. Raises InfraError."""
        ...


class Boot(Protocol):
    """Installs a kernel on a board that is off."""

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: BaseModel) -> None: ...

    def check(self) -> None:
        """Raise InfraError if something that the driver needs is missing. Leaves no files."""
        ...

    def lay(self, spec: BoardSpec, kernel: Path) -> None:
        """Install the raw image `kernel` so that the board boots it. Raises InfraError."""
        ...


class Target(Protocol):
    """A board with power, a console and optionally access to its cores. A context manager: on inside, off after."""

    @property
    def console_url(self) -> str:
        """The path or URL of the debug channel's line, for display; valid while the board is on."""
        ...

    @property
    def pid(self) -> int:
        """Process id of the board, 0 if it is not a process."""
        ...

    def start(self) -> None:
        """Prepare the image: held before its first instruction, or installed and still off. Raises InfraError."""
        ...

    def open_console(self) -> Port:
        """The debug channel's line, without input from an earlier session. Raises InfraError."""
        ...

    def go(self) -> None:
        """Let the cores run."""
        ...

    def stop(self) -> None:
        """Power off; may be called twice, also when the board is lost."""
        ...

    def leave_on(self) -> None:
        """Have `stop` leave the board running, where it can: a QEMU ends all the same."""
        ...

    def registers(self) -> str:
        """Registers of every core as text. Raises InfraError if unavailable."""
        ...

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:
        """Why the board is gone, or None while it is present (after waiting `wait_s`)."""
        ...

    def console_users(self) -> str:
        """Other programs of this machine that have the board's console open, as readable text; empty for none."""
        ...

    def processes(self) -> Sequence[int]:
        """Processes of this machine that the board runs in, or that serve its pty; none for real hardware."""
        ...

    def run_delay_s(self) -> float:
        """Seconds since `start` that a QEMU board was ready to run but had no core of this machine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
