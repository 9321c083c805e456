"""Power by a USB hub with switchable ports, with the program `uhubctl`."""

from __future__ import annotations

import re
import shutil
import time
from typing import Annotated, ClassVar, Final

from pydantic import BaseModel, Field

from targets.options import Options, Pause, Seconds
from targets.power.command import missing, run_command
from targets.supply import SwitchDisobeys

# `  Port 4: 0103 power enable connect [...]` or `  Port 4: 0000 off`, below a line that names the hub.
_HUB: Final = re.compile(r"^(?P<when>Current|New) status for hub (?P<hub>\S+)", re.MULTILINE)
_PORT: Final = re.compile(r"^\s+Port (?P<port>\d+): [0-9a-f]{4}(?P<words>.*)$")


class UhubctlOptions(Options):
    """`hub`: location as `uhubctl` prints it (`1-1.4`); `port`: its number; `off_s`: minimum time off in seconds."""

    hub: Annotated[str, Field(pattern=r"^\d+(-\d+(\.\d+)*)?$")]
    port: Annotated[int, Field(ge=1, le=31)]
    program: str = "uhubctl"
    repeat: Annotated[int, Field(ge=1, le=100)] = 1
    timeout_s: Seconds = 15.0
    off_s: Pause = 2.0


def port_states(text: str, port: int) -> list[bool]:
    """Whether `port` has power, one value per hub, from the last status of each hub in uhubctl's output.

    A USB 3 hub is two hubs for uhubctl, which switches both and reports both.
    """
    latest: dict[str, bool] = {}
    hub = ""
    for line in text.splitlines():
        if found := _HUB.match(line):
            hub = found["hub"]
        elif (found := _PORT.match(line)) and hub and int(found["port"]) == port:
            latest[hub] = "power" in found["words"].split()
    return list(latest.values())


class UhubctlPower:
    """A port of a USB hub."""

    Options: ClassVar[type[BaseModel]] = UhubctlOptions

    def __init__(self, options: BaseModel) -> None:
        assert isinstance(options, UhubctlOptions)
        self.options = options
        self.label = f"port {options.port} of hub {options.hub}"
        self.advice = "raise `repeat`"

    def check(self) -> None:
        """Raise InfraError if `uhubctl` is not installed."""
        if shutil.which(self.options.program) is None:
            raise missing(self.options.program, "power")

    def _run(self, *arguments: str) -> str:
        options = self.options
        argv = [options.program, "-l", options.hub, "-p", str(options.port), *arguments]
        return run_command(argv, options.timeout_s, f"power of hub {options.hub} port {options.port}")

    def _switch(self, on: bool) -> None:
        printed = self._run("-a", "on" if on else "off", "-r", str(self.options.repeat))
        states = port_states(printed, self.options.port)
        if not states or any(state is not on for state in states):
            raise SwitchDisobeys(
                f"hub {self.options.hub} did not switch port {self.options.port} {'on' if on else 'off'}",
                expected=f"uhubctl to report the port {'with power' if on else 'off'}",
                seen=printed.strip()[-1000:] or "no output",
                do="check whether the hub can switch its ports (`uhubctl` marks such hubs `ppps`), and whether "
                "this user has permission (udev rule of uhubctl)",
            )

    def on(self) -> None:
        """Switch the port on."""
        self._switch(True)

    def off(self) -> None:
        """Switch the port off, and wait `off_s`. Linux may switch it on again: `targets.supply` asks."""
        self._switch(False)
        time.sleep(self.options.off_s)

    def state(self) -> bool | None:
        """Whether the port has power."""
        states = port_states(self._run(), self.options.port)
        return any(states) if states else None
