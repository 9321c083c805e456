"""What the lab may ask of a board of any make; QEMU is the first, silicon behind a probe the next."""

from __future__ import annotations

from typing import Protocol, Self

from contracts.errors import AssayError


class Target(Protocol):
    """A board with power, a console and (maybe) a look into its cores. A context manager: on inside, off after."""

    @property
    def console_url(self) -> str:
        """A pyserial URL of the debug channel's line; valid while the board is on."""
        ...

    @property
    def pid(self) -> int:
        """Process that is the board, 0 where there is none."""
        ...

    def start(self) -> None:
        """Power on, held before the first instruction. Raises InfraError."""
        ...

    def go(self) -> None:
        """Let the cores run."""
        ...

    def stop(self) -> None:
        """Power off; may be called twice, and when the board is lost."""
        ...

    def registers(self) -> str:
        """Registers of every core as text. Raises InfraError where none can be had."""
        ...

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:
        """Why the board went away by itself, or None while it is still there (after waiting `wait_s`)."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
