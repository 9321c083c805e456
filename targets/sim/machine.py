"""One simulated board: power supply, serial line, TFTP folder, and a QEMU while it has power and a kernel."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from contracts.board import QemuSpec
from contracts.errors import SetupError
from targets.exits import is_own_fault, signal_name
from targets.qemu import qemu_program
from targets.sim.bootrom import NoBootError, choose_kernel, lay_firmware
from targets.sim.line import CHUNK, SerialLine

BACKLOG_MAX: Final = 1 << 18
"""Maximum buffered bytes per direction; when full, the sender is not read: QEMU's UART waits, no byte is lost."""

_KILL_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Options:
    """How machines run: virtual time or not, and QEMU's own seed."""

    icount: bool = True
    seed: int = 1


@dataclass
class SimBoard:
    """A board in `folder`, initially without power. `now` is the simulator's clock in seconds, for the log."""

    name: str
    qemu: QemuSpec
    folder: Path
    options: Options
    now: Callable[[], float] = time.monotonic
    switch: str = "work"  # behaviour of the power program: work, fail or hang
    powered: bool = False
    died: str = ""
    """Why there is no power, if QEMU ended without being switched off."""
    uart: socket.socket | None = None
    to_host: bytearray = field(default_factory=bytearray)
    to_board: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self.tftp.mkdir(parents=True, exist_ok=True)
        lay_firmware(self.tftp)
        self.line = SerialLine(self.folder / "console")
        self.line.plug()

    @property
    def tftp(self) -> Path:
        """The folder it boots from."""
        return self.folder / "tftp"

    def log(self, text: str) -> None:
        """Write one line to the log; a write failure does not end the board."""
        with contextlib.suppress(OSError), (self.folder / "log").open("a") as stream:
            stream.write(f"{self.now():10.3f} {text}\n")

    def lab_entry(self, control: Path, program: list[str]) -> str:
        """This board as a place of a lab file. Arguments of `program`: control socket, name, and on, off or state."""
        power = {"driver": "command", "timeout_s": 10.0, "off_s": 0.0}
        verbs = {verb: [*program, str(control), self.name, verb] for verb in ("on", "off", "state")}
        return (
            f"    - name: {self.name}\n"
            f"      console: {json.dumps(str(self.line.path))}\n"
            f"      power: {json.dumps(power | verbs)}\n"
            f"      boot: {json.dumps({'folder': str(self.tftp)})}\n"
        )

    # --- power supply-------------------------------------------------------------------------------------------

    def on(self) -> None:
        """Power on: the board then boots from its TFTP folder. Does nothing if it has power.

        Raises OSError when QEMU cannot be started: that is no board that stays dark.
        """
        if self.powered:
            return
        self.powered, self.died = True, ""
        self.line.drop()
        try:
            kernel = choose_kernel(self.tftp)
        except NoBootError as error:
            self.log(f"power on; does not boot: {error}")
            return
        self._start(kernel)

    def _start(self, kernel: Path) -> None:
        ours, theirs = socket.socketpair()
        with theirs, (self.folder / "qemu.stderr").open("wb") as stderr:
            try:
                self._process = subprocess.Popen(
                    self._command(kernel, theirs.fileno()),
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    pass_fds=[theirs.fileno()],
                    cwd="/",
                    start_new_session=True,  # a terminal's Ctrl-C must reach only the process that holds the rack
                )
            except (OSError, SetupError) as error:
                ours.close()
                self.powered = False
                self.log(f"power on; QEMU cannot be started: {error}")
                raise OSError(f"QEMU cannot be started: {' '.join(str(error).split())}") from error
        ours.setblocking(False)
        self.uart = ours
        self.log(f"power on; boots {kernel.name} of {kernel.stat().st_size} bytes, pid {self._process.pid}")

    def _command(self, kernel: Path, uart: int) -> list[str]:
        machine = self.qemu
        command = ["setpriv", "--pdeathsig", "KILL", "--", qemu_program()]
        command += ["-machine", machine.machine, "-m", f"{machine.memory_mib}M", "-smp", str(machine.cores)]
        command += ["-cpu", machine.cpu] if machine.cpu is not None else []
        command += ["-nodefaults", "-display", "none", "-no-reboot", "-kernel", str(kernel)]
        command += ["-chardev", f"socket,id=uart,fd={uart}", "-serial", "chardev:uart", "-monitor", "none"]
        command += ["-icount", "shift=0,sleep=off"] if self.options.icount and machine.icount else []
        return [*command, "-seed", str(self.options.seed), *machine.extra]

    def off(self, why: str = "power off") -> None:
        """Power off: QEMU ends, and pending bytes on the line are lost. May be called twice."""
        if self.powered:
            self.log(why)
        self.powered, self.died = False, ""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILL_S)
        self._close_uart()
        self.line.drop()

    def _close_uart(self) -> None:
        uart, self.uart = self.uart, None
        if uart is not None:
            uart.close()
        self.to_host.clear()
        self.to_board.clear()

    def _ended(self) -> None:
        """QEMU ended. If the guest ended it, the board has power but does not run.

        If QEMU was killed from outside or failed, the board has lost its power.
        """
        process, self._process = self._process, None
        code = 0
        if process is not None:
            try:
                code = process.wait(_KILL_S)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait(_KILL_S)
        said = (self.folder / "qemu.stderr").read_text("utf-8", "replace").strip()[-500:]
        how = signal_name(-code) if code < 0 else f"exit code {code}"
        self.log(f"QEMU ended: {how} {said}")
        # Output of the board may still be in flight.
        if self.uart is not None:
            self.uart.close()
            self.uart = None
        self.to_board.clear()
        if code > 0 or (code < 0 and not is_own_fault(-code)):
            self.powered = False
            self.died = f"QEMU ended: {how} {' '.join(said.split())}".strip()

    # --- serial line---------------------------------------------------------------------------------------------

    def from_board(self) -> None:
        """Read from the UART, and write to the line."""
        assert self.uart is not None
        try:
            data = self.uart.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._ended()
            return
        self.to_host += data
        self.flush_to_host()

    def flush_to_host(self) -> None:
        """Write to the line; without the adapter the bytes are lost."""
        if not self.line.plugged:
            self.to_host.clear()
        elif self.to_host:
            del self.to_host[: self.line.give(bytes(self.to_host))]

    def from_host(self) -> None:
        """Read from the host; without power the bytes are lost."""
        data = self.line.take()
        if self.uart is not None:
            self.to_board += data
            self.flush_to_board()

    def flush_to_board(self) -> None:
        """Write to the UART."""
        if self.uart is None or not self.to_board:
            return
        try:
            del self.to_board[: self.uart.send(self.to_board)]
        except BlockingIOError:
            return
        except OSError:
            self.to_board.clear()  # its end is seen on reading

    # --- requests -----------------------------------------------------------------------------------------------

    def obey(self, verb: str) -> str:
        """Execute a request and return the text of the answer. Raises ValueError for an unknown request."""
        match verb.split():
            case ["on"]:
                self.on()
            case ["off"]:
                self.off()
            case ["state"]:
                if self.died:
                    return f"{self.died}; off"
            case ["cut"]:
                self.off("the supply is cut")
            case ["plug"]:
                self.line.plug()
                self.log("the serial adapter is connected")
            case ["unplug"]:
                self.line.unplug()
                self.to_host.clear()
                self.log("the serial adapter is disconnected")
            case ["switch", ("work" | "fail" | "hang") as how]:
                self.switch = how
                self.log(f"the power program will {how}")
            case _:
                raise ValueError(
                    f"unknown request {verb!r}: on, off, state, cut, plug, unplug, switch work|fail|hang"
                )
        return "on" if self.powered else "off"

    def close(self) -> None:
        """Power off, disconnect the adapter."""
        self.off()
        self.line.unplug()
