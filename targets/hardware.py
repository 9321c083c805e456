"""A board of hardware: a console that outlives power cycles, a supply that can be switched, a way to its kernel."""

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
    """The board at `place`: switched off, given its kernel, listened to, and then switched on.

    Made by `targets.drivers.make_target`. A context manager: ready inside it, off after.
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
        self._started = False  # off is to be switched, come what may
        self._on = False
        self._off_s = 0.0
        self._servers: list[int] = []
        self._delays: dict[int, float] = {}  # what those had waited before this board was switched on

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def console_url(self) -> str:
        """The place's console, as its file gives it."""
        return self.place.console

    @property
    def pid(self) -> int:
        """No process of this machine: 0."""
        return 0

    def start(self) -> None:
        """Switch the board off, whatever state it is in, and lay its kernel. Raises InfraError."""
        with self._named():
            if not self._console.present():
                self._console.check()
            self._started = True
            switch_off(self._power)
            self._off_s = time.monotonic()
            self._boot.lay(self.spec, self.kernel)

    def open_console(self) -> Port:
        """Open the line of the board that is off, and drop what an earlier life left in it. Raises InfraError."""
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
        """Read until nothing comes for a moment: an adapter hands over what it holds with a delay."""
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
                        f"board {self.place.name} speaks although it is switched off",
                        expected=f"a silent console within {STALE_MAX_S:g} s of power off",
                        seen="bytes that keep coming",
                        do="check that `power` and `console` of this place belong to one board",
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
        """Switch on. Raises InfraError, also for a supply that has come on by itself."""
        with self._named():
            if self._power.state():  # it would boot what an earlier life has left
                raise still_on(self._power, time.monotonic() - self._off_s)
            self._power.on()
        self._on = True
        self._delays = {pid: run_delay_s([pid]) for pid in self._servers}

    def stop(self) -> None:
        """Switch off; may be called twice. Raises InfraError when the switch does not obey, asked twice.

        A board that stays on is asked again by the next call.
        """
        self._on = False
        if not self._started:
            return
        with self._named():
            try:
                switch_off(self._power)
            except InfraError:  # one that did not hear once: a board left on is worse than a second wait
                switch_off(self._power)
        self._started = False

    def leave_on(self) -> None:
        """Have `stop` switch nothing: the board runs on."""
        self._started = False

    def registers(self) -> str:
        """Raises InfraError: cores of hardware are read through a debug probe, which comes later."""
        raise InfraError(
            f"board {self.place.name} shows no registers",
            expected="a debug probe",
            seen="none is driven yet",
            do="read the transcript instead",
        )

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:
        """Why the board went away, as far as its console device and its supply tell; None while both are there."""
        if not self._on:
            return None
        end_s = time.monotonic() + wait_s
        while True:
            if not self._console.present():
                return BoardLost(
                    f"board {self.place.name}: its console went away",
                    expected=f"{self.place.console} until the board is given back",
                    seen="the device is gone",
                    do="check the adapter's cable and the hub it hangs on",
                    cause=Cause.LAB,
                )
            try:
                state = self._power.state()
            except InfraError as error:
                return self._of_place(error)
            if state is False:
                return BoardLost(
                    f"board {self.place.name} lost its power",
                    expected="a supply that is on until the board is given back",
                    seen=f"the switch says {getattr(self._power, 'said', '') or 'off'}",
                    do="find who switched it (another lab on this supply?) and run again",
                    cause=Cause.OUTSIDE,
                )
            if time.monotonic() >= end_s:
                return None
            time.sleep(_POLL_S)

    def console_users(self) -> str:
        """Who else has the console's device open, as far as the driver can tell."""
        users = getattr(self._console, "users", None)
        return users() if users is not None else ""

    def processes(self) -> list[int]:
        """What serves the console, where that is a pty of this machine: a simulator, and its machine of this board."""
        return behind(self._servers, Path(self.place.console)) if self._servers else []

    def run_delay_s(self) -> float:
        """Hardware has cores of its own: 0. What stands in for it has not."""
        return max((run_delay_s([pid]) - self._delays.get(pid, 0.0) for pid in self.processes()), default=0.0)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Errors of a driver with the place's name before them."""
        try:
            yield
        except InfraError as error:
            raise self._of_place(error) from error

    def _of_place(self, error: InfraError) -> InfraError:
        return error.renamed(f"board {self.place.name}: {error.what}")
