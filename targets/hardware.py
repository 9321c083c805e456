"""A hardware board: a console that survives power cycles, a switchable power supply, a boot method."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from contracts.board import BoardSpec, Place
from contracts.errors import AssayError, BoardLost, Cause, InfraError
from targets.processes import behind, run_delay_s, servers_of
from targets.protocols import Boot, Console, Port, Power
from targets.supply import still_on, switch_off

STALE_MAX_S: Final = 2.0
_QUIET_S: Final = 0.02
_POLL_S: Final = 0.02


class HardwareBoard:
    """The board at `place`: switch it off, install its kernel, open its console, switch it on.

    Created by `targets.drivers.make_target`. A context manager: ready inside it, off after.
    """

    def __init__(
        self, spec: BoardSpec, place: Place, kernel: Path, *, console: Console, power: Power, boot: Boot
    ) -> None:
        self.spec = spec
        self.place = place
        self.kernel = kernel
        self._console = console
        self._power = power
        self._boot = boot
        self._started = False  # power off in any case
        self._on = False
        self._off_s = 0.0
        self._servers: list[int] = []
        self._delays: dict[int, float] = {}  # how long those had waited before this board was switched on

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def console_url(self) -> str:
        """The place's console from its file."""
        return self.place.console

    @property
    def pid(self) -> int:
        """0: not a process of this machine."""
        return 0

    def start(self) -> None:
        """Switch the board off, in any state, and install its kernel. Raises InfraError."""
        with self._named():
            if not self._console.present():
                self._console.check()
            self._started = True
            switch_off(self._power)
            self._off_s = time.monotonic()
            self._boot.lay(self.spec, self.kernel)

    def open_console(self) -> Port:
        """Open the line while the board is off, and drop input from an earlier session. Raises InfraError."""
        with self._named():
            port = self._console.open(self.spec.baud)
        self._servers = servers_of(Path(self.place.console)) if "://" not in self.place.console else []
        try:
            self._drop_stale(port)
        except BaseException:
            port.close()
            raise
        return port

    def _drop_stale(self, port: Port) -> None:
        """Read until no input arrives for a moment: an adapter delivers buffered input with a delay."""
        end_s = time.monotonic() + STALE_MAX_S
        quiet_s = time.monotonic() + _QUIET_S
        try:
            while time.monotonic() < quiet_s:
                waiting = port.in_waiting
                if not waiting:
                    time.sleep(_QUIET_S / 4)
                    continue
                port.read(waiting)
                quiet_s = time.monotonic() + _QUIET_S
                if quiet_s > end_s:
                    raise InfraError(
                        f"board {self.place.name} sends although it is switched off",
                        expected=f"a silent console within {STALE_MAX_S:g} s of power off",
                        seen="bytes that keep arriving",
                        do="check that `power` and `console` of this place belong to the same board",
                    )
        except OSError as error:
            raise BoardLost(
                f"board {self.place.name}: its console was lost before power on",
                expected=f"a readable {self.place.console}",
                seen=str(error),
                do="check the adapter's cable",
                cause=Cause.LAB,
            ) from error

    def go(self) -> None:
        """Switch on. Raises InfraError, also for a supply that has switched on by itself."""
        with self._named():
            if self._power.state():  # it would boot what an earlier run left
                raise still_on(self._power, time.monotonic() - self._off_s)
            self._power.on()
        self._on = True
        self._delays = {pid: run_delay_s([pid]) for pid in self._servers}

    def stop(self) -> None:
        """Switch off; may be called twice. Raises InfraError if the switch fails twice.

        If the board stays on, the next call tries again.
        """
        self._on = False
        if not self._started:
            return
        with self._named():
            try:
                switch_off(self._power)
            except InfraError:  # one can miss a command: a board left on is worse than a second wait
                switch_off(self._power)
        self._started = False

    def leave_on(self) -> None:
        """Have `stop` switch nothing: the board runs on."""
        self._started = False

    def registers(self) -> str:
        """Raises InfraError: reading the cores of hardware needs a debug probe, which is not supported yet."""
        raise InfraError(
            f"no registers of board {self.place.name} available",
            expected="a debug probe",
            seen="probes are not supported yet",
            do="see the transcript instead",
        )

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:
        """Why the board is gone, according to its console device and its power switch; None while both are present."""
        if not self._on:
            return None
        end_s = time.monotonic() + wait_s
        while True:
            if not self._console.present():
                return BoardLost(
                    f"board {self.place.name}: its console disappeared",
                    expected=f"{self.place.console} until the board is released",
                    seen="the device is gone",
                    do="check the adapter's cable and its hub",
                    cause=Cause.LAB,
                )
            try:
                state = self._power.state()
            except InfraError as error:
                return self._of_place(error)
            if state is False:
                return BoardLost(
                    f"board {self.place.name} lost its power",
                    expected="a power supply that is on until the board is released",
                    seen=f"the switch reports {getattr(self._power, 'said', '') or 'off'}",
                    do="find what switched it off (another lab with this supply?) and run again",
                    cause=Cause.OUTSIDE,
                )
            if time.monotonic() >= end_s:
                return None
            time.sleep(_POLL_S)

    def console_users(self) -> str:
        """The other programs that have the console's device open, as far as the driver can tell."""
        users = getattr(self._console, "users", None)
        return users() if users is not None else ""

    def processes(self) -> list[int]:
        """The processes that serve the console if it is a pty: a simulator, and its machine of this board."""
        return behind(self._servers, Path(self.place.console)) if self._servers else []

    def run_delay_s(self) -> float:
        """0 for hardware, which has its own cores; a simulator shares ours."""
        return max((run_delay_s([pid]) - self._delays.get(pid, 0.0) for pid in self.processes()), default=0.0)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Add the place's name to a driver's errors."""
        try:
            yield
        except InfraError as error:
            raise self._of_place(error) from error

    def _of_place(self, error: InfraError) -> InfraError:
        return error.renamed(f"board {self.place.name}: {error.what}")
