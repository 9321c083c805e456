"""A board as a QEMU process: start it, run it, inspect it, and end it without leaving an orphan."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from contracts.board import BoardSpec
from contracts.errors import AssayError, BoardLost, Cause, ConfigError, InfraError, SetupError
from targets.console.device import users_of
from targets.exits import explain_exit, stopped_error
from targets.monitor import Monitor
from targets.processes import is_stopped, run_delay_s
from targets.protocols import Port
from targets.serial import open_port

START_TIMEOUT_S: Final = 15.0
STOP_TIMEOUT_S: Final = 5.0
KILL_TIMEOUT_S: Final = 60.0  # a busy machine may delay its exit
_SUN_PATH_MAX: Final = 107  # bytes of a UNIX socket's path, unix(7)
_POLL_S: Final = 0.005
_CONSOLE_WAIT_S: Final = 5.0


def qemu_program() -> str:
    """QEMU's path: `ASSAY_QEMU`, or the distribution's. Raises SetupError."""
    name = os.environ.get("ASSAY_QEMU", "qemu-system-aarch64")
    path = shutil.which(name)
    if path is None:
        raise SetupError(
            f"{name} is not installed",
            expected="QEMU 9 or later for AArch64",
            seen="no such name in PATH",
            do="run `./assay doctor`, which says what to install",
        )
    return path


def command_line(
    spec: BoardSpec, image: Path, folder: Path, *, icount: bool = True, seed: int | None = None
) -> list[str]:
    """The whole command, including `setpriv`. The sockets `uart` and `monitor` are in `folder`."""
    if spec.qemu is None:
        raise ConfigError(f"board {spec.kind} is not a QEMU board", expected="a `qemu` part in its file")
    machine = spec.qemu
    uart = f"socket,id=uart,path={folder / 'uart'},server=on,wait=off"
    command = ["setpriv", "--pdeathsig", "KILL", "--", qemu_program()]
    command += ["-machine", machine.machine, "-m", f"{machine.memory_mib}M", "-smp", str(machine.cores)]
    if machine.cpu is not None:
        command += ["-cpu", machine.cpu]
    command += ["-nodefaults", "-display", "none", "-no-reboot", "-S", "-kernel", str(image)]
    command += ["-chardev", "pty,id=uart" if spec.console == "pty" else uart, "-serial", "chardev:uart"]
    command += ["-monitor", f"unix:{folder / 'monitor'},server=on,wait=off"]
    if icount and machine.icount:
        command += ["-icount", "shift=0,sleep=off"]
    if seed is not None:
        command += ["-seed", str(seed)]
    return [*command, *machine.extra]


def _private_folder() -> Path:
    """A temporary folder with a path short enough for its sockets."""
    for parent in (None, "/tmp"):  # noqa: S108 - TMPDIR may be too deep for a socket
        folder = Path(tempfile.mkdtemp(prefix="assay-", dir=parent))
        if len(os.fsencode(folder / "monitor")) <= _SUN_PATH_MAX:
            return folder
        folder.rmdir()
    raise InfraError("no temporary folder has a path short enough for a UNIX socket", cause=Cause.MACHINE)


class QemuBoard:
    """One QEMU board of `spec` with `image` (ELF or raw image, according to `boot` in the board file).

    A context manager: inside it the machine exists, held before its first instruction until `go`. QEMU dies with
    the thread that called `start` (PR_SET_PDEATHSIG, prctl(2)): start a board in the thread that uses it.
    `icount` False runs without virtual time: faster, but not exact.
    """

    def __init__(self, spec: BoardSpec, image: Path, *, icount: bool = True, seed: int | None = None) -> None:
        self.spec = spec
        self.image = image
        self._icount = icount
        self._seed = seed
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._monitor: Monitor | None = None
        self._console = ""
        self.expects_exit = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """QEMU's process id; 0 before the start."""
        return self._process.pid if self._process else 0

    @property
    def console_url(self) -> str:
        """`unix://PATH` or a pty's path."""
        return self._console

    def start(self) -> None:
        """Start QEMU with its cores held. Raises SetupError, BoardLost with QEMU's own message, InfraError."""
        if self._process is not None:
            raise InfraError(f"board {self.spec.kind} is already started")
        self._folder = _private_folder()
        command = command_line(self.spec, self.image, self._folder, icount=self._icount, seed=self._seed)
        try:
            with (self._folder / "stderr").open("wb") as stderr:
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    cwd="/",
                    start_new_session=True,  # a terminal's Ctrl-C must reach only us: we shut the board down cleanly
                )
            self._monitor = self._connect(time.monotonic() + START_TIMEOUT_S)
            self._console = self._find_console()
        except OSError as error:
            self.stop()
            raise SetupError(
                f"board {self.spec.kind}: QEMU cannot be started",
                expected="setpriv and QEMU in PATH",
                seen=str(error),
                do="run `./assay doctor`",
            ) from error
        except BaseException:
            self.stop()
            raise

    def _connect(self, end_s: float) -> Monitor:
        assert self._folder is not None
        path = self._folder / "monitor"
        while time.monotonic() < end_s:
            ended = self.exit_error()
            if ended is not None:
                outside = isinstance(ended, BoardLost) and ended.cause is Cause.OUTSIDE
                raise BoardLost(
                    f"board {self.spec.kind}: QEMU did not start",
                    expected="a QEMU that starts on this machine",
                    seen=self._stderr() or ended.seen,
                    do=ended.do,
                    cause=Cause.OUTSIDE if outside else Cause.MACHINE,
                ) from ended
            if path.exists():
                with suppress(BoardLost):  # bound, but not listening yet
                    return Monitor(path)
            time.sleep(_POLL_S)
        raise BoardLost(
            f"board {self.spec.kind}: QEMU did not open its monitor",
            expected=f"a socket within {START_TIMEOUT_S:g} s",
            seen=self._stderr() or "no message",
            do="check whether the machine is overloaded",
            cause=Cause.MACHINE,
        )

    def _find_console(self) -> str:
        assert self._folder is not None
        if self.spec.console != "pty":
            return f"unix://{self._folder / 'uart'}"
        for line in self._control().execute("info chardev").splitlines():
            device, _, name = line.partition(": filename=pty:")
            if device == "uart" and name:
                return name.strip()
        raise InfraError(f"board {self.spec.kind}: QEMU reports no pty for its console")

    def _control(self) -> Monitor:
        if self._monitor is None:
            raise BoardLost(f"board {self.spec.kind} is not started")
        return self._monitor

    def open_console(self) -> Port:
        """The UART's line. Raises BoardLost."""
        return open_port(self._console, baud=self.spec.baud, wait_s=_CONSOLE_WAIT_S)

    def go(self) -> None:
        """Let the cores run (or continue, after `hold`)."""
        self._control().execute("cont")

    def hold(self) -> None:
        """Stop every core."""
        self._control().execute("stop")

    def registers(self) -> str:
        """Registers of every core, from QEMU's monitor. Also works with interrupts masked."""
        return self._control().execute("info registers -a").strip()

    def _stderr(self) -> str:
        if self._folder is None:
            return ""
        with suppress(OSError):
            return (self._folder / "stderr").read_text("utf-8", "replace").strip()
        return ""

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:
        """Why QEMU ended or is stopped; None while it runs, before its start, or after a power-off request."""
        if self._process is None:
            return None
        try:
            code = self._process.wait(wait_s) if wait_s > 0 else self._process.poll()
        except subprocess.TimeoutExpired:
            code = None
        if code is None:
            return stopped_error(self.spec.kind) if is_stopped(self._process.pid) else None
        if code == 0 and self.expects_exit:
            return None
        return explain_exit(self.spec.kind, code, self._stderr())

    def console_users(self) -> str:
        """The other programs that have the pty of this board's console open; a socket serves only one client."""
        return users_of(Path(self._console)) if self._console.startswith("/dev/") else ""

    def processes(self) -> list[int]:
        """QEMU, while it runs."""
        return [self.pid] if self._process else []

    def run_delay_s(self) -> float:
        """How long QEMU has waited for a core since its start; 0 if unknown."""
        return run_delay_s(self.processes())

    def wait_off(self, timeout_s: float) -> int:
        """Wait until QEMU exits and return its exit code (negative: a signal). Raises InfraError if it does not exit."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise InfraError(
                f"board {self.spec.kind} does not power off",
                expected=f"an exit of QEMU within {timeout_s:g} s",
                seen="it is still running",
                do="see its registers",
            ) from error

    def stop(self) -> None:
        """Kill QEMU by its process id and remove its folder. May be called twice, and on a lost board.

        Raises InfraError for a process that survives SIGKILL.
        """
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.close()
        process, self._process = self._process, None
        folder, self._folder = self._folder, None
        try:
            if process is not None and process.poll() is None:
                self._end(process)
        finally:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def leave_on(self) -> None:
        """Nothing: a QEMU ends with the process that started it."""

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if is_stopped(process.pid):
            process.kill()  # SIGTERM would wait for SIGCONT
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
        try:
            process.wait(KILL_TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            raise InfraError(
                f"board {self.spec.kind}: QEMU does not exit",
                expected=f"an exit within {KILL_TIMEOUT_S:g} s of SIGKILL",
                seen=f"process {process.pid} still exists",
                do="check whether the machine is overloaded, or its disk hangs",
            ) from error
