"""One Robot process for one board type: starting it, reading its events, stopping it, reading its output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from contracts.errors import InfraError
from contracts.measurement import Verdict
from contracts.record import CaseRow
from contracts.root import ROOT
from harness.robot.events import VARIABLE, Told
from targets.exits import signal_name
from targets.processes import is_stopped

CONSOLE: Final = "console.txt"
OUTPUT: Final = "output.xml"
STOP_S: Final = 30.0
"""Time after a stop request for a process to end its keyword, release its board and write its output."""

_INTERRUPTED: Final = 253  # Robot's exit code after a signal; 251, 252 and 255 are its own errors
_FAILED_MAX: Final = 250
_TAIL: Final = 2000
_CHUNK: Final = 65536
_GAP_S: Final = 2.0  # with checks that far apart, this process itself was stopped


@dataclass(slots=True)
class RobotProcess:
    """A Robot process and its events so far. Its console output goes to `folder`/console.txt."""

    kind: str
    folder: Path
    process: subprocess.Popen[bytes]
    pipe: int
    rows: list[CaseRow] = field(default_factory=list)
    place: str = ""
    build_id: str = ""
    doing: str = "starts"
    total: int = 1
    heard_s: float = field(default_factory=time.monotonic)
    stopped_s: float | None = None
    """When it was asked to stop."""
    _still_since_s: float | None = None
    _looked_s: float = field(default_factory=time.monotonic)
    _partial: bytes = b""

    @classmethod
    def start(
        cls,
        kind: str,
        folder: Path,
        options: Sequence[str],
        suites: Sequence[Path],
        environment: Mapping[str, str],
    ) -> Self:
        """Start Robot on `suites`. It ends with this process. Raises InfraError if it cannot be started."""
        reading, writing = os.pipe()
        # Its own session: Ctrl-C reaches only this process, which asks each Robot process to stop, once.
        command = ["setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", "robot"]
        command += ["--name", kind, "--outputdir", str(folder), "--output", OUTPUT, "--log", "NONE"]
        command += ["--report", "NONE", "--console", "none", "--consolecolors", "off", *options]
        try:
            with (folder / CONSOLE).open("wb") as console:
                process = subprocess.Popen(
                    [*command, *map(str, suites)],
                    cwd=ROOT,
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=subprocess.STDOUT,
                    pass_fds=(writing,),
                    env=os.environ | environment | {VARIABLE: str(writing)},
                    start_new_session=True,
                )
        except OSError as error:
            os.close(reading)
            raise InfraError(
                f"Robot cannot be started for {kind}",
                expected="a process and a writable folder",
                seen=str(error),
                do="free resources of this machine, or name another folder with --results",
            ) from error
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        return cls(kind, folder, process, reading)

    def fileno(self) -> int:
        """The pipe's descriptor, for a selector."""
        return self.pipe

    def events(self) -> list[Told] | None:
        """Its events since the last call, oldest first; None if no more will arrive."""
        out: list[Told] = []
        while True:
            try:
                chunk = os.read(self.pipe, _CHUNK)
            except BlockingIOError:
                return out
            if not chunk:
                return out or None
            self.heard_s = time.monotonic()
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            for line in lines:
                event: Told = json.loads(line)
                self._note(event)
                out.append(event)

    def _note(self, event: Told) -> None:
        if event["event"] == "test":
            self.rows.append(event["row"])
        elif event["event"] == "place":
            self.place, self.build_id = event["place"], event["build_id"]
        else:
            self.doing = event["doing"]
            self.total = event.get("total", self.total)

    def stop(self) -> None:
        """Ask it to stop: it ends the keyword, runs teardowns (which release the board) and writes its output."""
        if self.stopped_s is None:
            self.stopped_s = time.monotonic()
            self._signal(signal.SIGINT)

    def kill(self) -> None:
        """Kill it. Its QEMU ends with it."""
        self._signal(signal.SIGKILL)

    def stands_still_s(self, now_s: float) -> float:
        """How long a signal (SIGSTOP) has kept the process from running, by every check; 0 while it runs."""
        asleep = now_s - self._looked_s > _GAP_S  # this process was stopped as well
        self._looked_s = now_s
        if not is_stopped(self.process.pid):
            self._still_since_s = None
        elif self._still_since_s is None or asleep:
            self._still_since_s = now_s
        return now_s - self._still_since_s if self._still_since_s is not None else 0.0

    def _signal(self, number: signal.Signals) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def close(self) -> None:
        """Close the pipe. The process has ended."""
        os.close(self.pipe)

    @property
    def exit_error(self) -> str:
        """How it failed, with its last output; empty if Robot ended normally."""
        code = self.process.returncode
        if 0 <= code <= _FAILED_MAX or (code == _INTERRUPTED and self.stopped_s is not None):
            return ""
        how = f"was killed by {signal_name(-code)}" if code < 0 else f"exited with {code}"
        if code == _INTERRUPTED:
            how = "was interrupted from outside"
        said = (self.folder / CONSOLE).read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
        done = f"after {len(self.rows)} of {self.total} tests, in '{self.doing}'"
        return f"Robot {how} {done}" + (f"; its output: {said}" if said else "")


def verdicts(rows: Sequence[CaseRow]) -> list[Verdict]:
    """The verdicts of rows."""
    return [Verdict(row["verdict"]) for row in rows]
