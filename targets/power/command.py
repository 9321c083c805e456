"""Power by the lab's own programs: one command line to switch on, one to switch off, optionally one to query."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO, ClassVar, Final

from pydantic import BaseModel

from contracts.errors import InfraError
from targets.options import Command, Options, Pause, Seconds

_SHOWN: Final = 1000
_KEPT: Final = 65536


class CommandOptions(Options):
    """`on`, `off`, `state`: argument lists; `state` prints `on` or `off`. `off_s`: minimum time off in seconds."""

    on: Command
    off: Command
    state: Command | None = None
    timeout_s: Seconds = 10.0
    off_s: Pause = 1.0


def run_command(argv: Sequence[str], timeout_s: float, what: str) -> str:
    """Run a power program and return its output. Raises InfraError if it is missing, fails or hangs."""
    line = shlex.join(argv)
    # A file, not a pipe: a background process of the program would hold a pipe open.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # so that its child processes can be ended with it
            )
        except OSError as error:
            raise missing(argv[0], what, str(error)) from error
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise InfraError(
                f"{what}: the power command hangs",
                expected=f"`{line}` to exit within {timeout_s:g} s",
                seen=f"it was killed after that; it printed: {_said(output)[-_SHOWN:] or 'nothing'}",
                do="run it by hand; raise `timeout_s` of this place if it is only slow",
            ) from error
        finally:
            _end(process)
        printed = _said(output)
    if code != 0:
        raise InfraError(
            f"{what}: the power command failed",
            expected=f"`{line}` to exit with code 0",
            seen=f"exit code {code}; it printed: {printed[-_SHOWN:] or 'nothing'}",
            do="run it by hand; then correct `power` of this place",
        )
    return printed


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a power program that still runs, with its child processes, whatever interrupted the wait for it."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _said(output: IO[bytes]) -> str:
    """The end of a program's output."""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - _KEPT))
    return output.read().decode("utf-8", "replace").strip()


def missing(program: str, what: str, seen: str = "no such name in PATH") -> InfraError:
    """The error for a missing power program."""
    return InfraError(
        f"{what}: the power program {program} cannot be run",
        expected="an executable file, or a name in PATH",
        seen=seen,
        do="install it, or correct `power` of this place in the board or lab file",
    )


class CommandPower:
    """A power supply that two commands switch."""

    Options: ClassVar[type[BaseModel]] = CommandOptions

    def __init__(self, options: BaseModel) -> None:
        assert isinstance(options, CommandOptions)
        self.options = options
        self.label = f"the supply that `{shlex.join(options.off)}` switches"
        self.said = ""
        """The last output of the `state` command: it may contain a reason."""

    def check(self) -> None:
        """Raise InfraError for a missing program. Runs none."""
        for argv in (self.options.on, self.options.off, self.options.state):
            if argv is not None and shutil.which(argv[0]) is None:
                raise missing(argv[0], "power")

    def on(self) -> None:
        """Run the `on` command."""
        run_command(self.options.on, self.options.timeout_s, "power on")

    def off(self) -> None:
        """Run the `off` command, then wait `off_s`."""
        run_command(self.options.off, self.options.timeout_s, "power off")
        time.sleep(self.options.off_s)

    def state(self) -> bool | None:
        """Run the `state` command, if any; the last word of its output is `on` or `off`."""
        if self.options.state is None:
            return None
        self.said = run_command(self.options.state, self.options.timeout_s, "power state")
        words = self.said.split()
        if not words or words[-1].lower() not in ("on", "off"):
            raise InfraError(
                "power state: the power command printed no state",
                expected=f"`{shlex.join(self.options.state)}` to print `on` or `off`",
                seen=repr(" ".join(words)[-_SHOWN:]),
                do="correct that program",
            )
        return words[-1].lower() == "on"
