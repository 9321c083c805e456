"""What the lab may ask of a board of any make, and of what stands around one: its console, its power, its boot files.

A driver is a class found by name (`targets.drivers`). It has `Options`, a strict pydantic model of what its part of a
board or lab file may say, and is made from one instance of it. `check` is asked before a run, in well under a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel

from contracts.board import BoardSpec
from contracts.errors import AssayError


class Port(Protocol):
    """What the lab uses of a pyserial port. Reads and writes raise OSError (SerialException) on a lost line."""

    @property
    def in_waiting(self) -> int:
        """Bytes that a read would get at once."""
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
    """A board's serial line. Made from the address that follows `DRIVER://` in a place's `console`, or a path."""

    def __init__(self, address: str) -> None: ...

    def check(self) -> None:
        """Raise InfraError when the line is not there, cannot be opened, or is held by somebody else."""
        ...

    def present(self) -> bool:
        """Whether the line is there, as far as that can be seen without opening it."""
        ...

    def open(self, baud: int) -> Port:
        """Open the line for one holder. Raises InfraError."""
        ...

    # May have `users() -> str`: other programs that have the line open, for people; empty for none.


class Power(Protocol):
    """The switch of a board's supply.

    A driver may have `label` (what it switches, for people: `port 1 of hub 1-1.4`) and `advice` (what to try when that
    does not go off).
    """

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: BaseModel) -> None: ...

    def check(self) -> None:
        """Raise InfraError when what the driver needs is not there. Switches nothing."""
        ...

    def on(self) -> None:
        """Switch on. Raises InfraError."""
        ...

    def off(self) -> None:
        """Switch off and wait until the board has lost its charge. Raises InfraError."""
        ...

    def state(self) -> bool | None:
        """Whether the supply is on; None where the driver cannot tell. Raises InfraError."""
        ...


class Boot(Protocol):
    """How a kernel reaches a board that is off."""

    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: BaseModel) -> None: ...

    def check(self) -> None:
        """Raise InfraError when what the driver needs is not there. Writes nothing that stays."""
        ...

    def lay(self, spec: BoardSpec, kernel: Path) -> None:
        """Put the raw image `kernel` where the board will boot it from. Raises InfraError."""
        ...


class Target(Protocol):
    """A board with power, a console and (maybe) a look into its cores. A context manager: on inside, off after."""

    @property
    def console_url(self) -> str:
        """Where the debug channel's line is: a path or a URL, for people; valid while the board is on."""
        ...

    @property
    def pid(self) -> int:
        """Process that is the board, 0 where there is none."""
        ...

    def start(self) -> None:
        """Make ready to run the image: held before the first instruction, or laid and still off. Raises InfraError."""
        ...

    def open_console(self) -> Port:
        """The debug channel's line, with nothing of an earlier life in it. Raises InfraError."""
        ...

    def go(self) -> None:
        """Let the cores run."""
        ...

    def stop(self) -> None:
        """Power off; may be called twice, and when the board is lost."""
        ...

    def leave_on(self) -> None:
        """Have `stop` leave the board running, where it can: a QEMU ends all the same."""
        ...

    def registers(self) -> str:
        """Registers of every core as text. Raises InfraError where none can be had."""
        ...

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:
        """Why the board went away by itself, or None while it is still there (after waiting `wait_s`)."""
        ...

    def console_users(self) -> str:
        """Other programs of this machine that have the board's console open, for people; empty for none."""
        ...

    def processes(self) -> Sequence[int]:
        """Processes of this machine that the board runs in: itself, or what serves its pty; none for silicon."""
        ...

    def run_delay_s(self) -> float:
        """Seconds since `start` that a board which is a process was ready to run and had no core of this machine."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
