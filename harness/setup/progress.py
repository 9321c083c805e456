"""Progress of long set-up steps: one line each on the terminal, all their output in one log file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from contracts.errors import SetupError

_TAIL_LINES: Final = 25
_HEARTBEAT_S: Final = 60.0
_POLL_S: Final = 0.5
_END_S: Final = 10.0


class Progress:
    """Runs set-up's commands: `log` gets all their output, standard error one line per step with its time."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._live = sys.stderr.isatty()
        log.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        self.left: list[str] = []
        """The steps after the current one, in order."""

    def begin(self, name: str) -> None:
        """Remove a step, and all before it, from the remaining ones: they are done."""
        if name in self.left:
            self.left = self.left[self.left.index(name) + 1 :]

    def say(self, text: str) -> None:
        """Print one line."""
        sys.stderr.write(f"assay: {text}\n")
        sys.stderr.flush()

    @property
    def elapsed_s(self) -> float:
        """Seconds since this object was made."""
        return time.monotonic() - self._started

    def run(
        self,
        step: str,
        command: Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        do: str = "",
    ) -> None:
        """Run one command. Raises SetupError with the log's tail if it fails or takes more than `timeout_s`."""
        begun = time.monotonic()
        with self.log.open("ab") as log:
            offset = log.tell()
            log.write(f"\n== {step}: {' '.join(command)}\n".encode())
            log.flush()
            with subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(os.environ if env is None else env),
                # Its own process group, so that its child processes (compilers) can be ended with it.
                process_group=0,
            ) as process:
                code = self._wait(process, step, begun, timeout_s)
        took_s = time.monotonic() - begun
        if code != 0:
            self._line(f"{step}: failed after {took_s:.0f} s", final=True)
            why = f"no exit within {timeout_s:.0f} s" if code is None else f"exit status {code}"
            raise SetupError(
                f"set-up failed at: {step}",
                expected=f"`{' '.join(command[:6])} ...` to succeed",
                seen=f"{why}; the end of {self.log}:\n{self._tail(offset)}",
                do=do or "fix what the log names and start again: set-up resumes where it stopped",
            )
        self._line(f"{step}: {took_s:.0f} s", final=True)

    def _wait(
        self, process: subprocess.Popen[bytes], step: str, begun: float, timeout_s: float
    ) -> int | None:
        """The command's exit status, or None if it timed out."""
        interval_s = _POLL_S if self._live else _HEARTBEAT_S
        while True:
            try:
                return process.wait(timeout=interval_s)
            except subprocess.TimeoutExpired:
                spent_s = time.monotonic() - begun
                if spent_s > timeout_s:
                    _end_group(process)
                    return None
                self._line(f"{step} ... {spent_s:.0f} s{self._then()}", final=False)
            except BaseException:
                _end_group(process)
                raise

    def _then(self) -> str:
        return f"; then: {', '.join(self.left)}" if self.left else "; then: done"

    def _line(self, text: str, *, final: bool) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[Kassay: {text}" + ("\n" if final else ""))
            sys.stderr.flush()
        else:
            self.say(text)

    def _tail(self, offset: int) -> str:
        with self.log.open("rb") as log:
            log.seek(offset)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"    {line[:300]}" for line in lines[-_TAIL_LINES:])


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a command and its child processes: SIGTERM first, so that dpkg and pip can clean up."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_END_S)
