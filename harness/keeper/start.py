"""`up` and `down`: start a keeper for a board, and end it, whatever state it is in."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from contracts.board import BoardSpec
from contracts.errors import AssayError, InfraError
from contracts.root import ROOT
from harness.boards.registry import lab_files
from harness.keeper.client import KeeperLink
from harness.keeper.find import Up
from harness.keeper.process import Wanted, wait_until_ended
from harness.keeper.wire import error_of
from harness.lease import acquire
from targets.drivers import power_of

END_S: Final = 30.0
"""The time in which a keeper switches its board off and ends."""


def bring_up(wanted: Wanted, told: Callable[[str], None]) -> dict[str, Any]:
    """Start a keeper and wait until its board is up; returns its description. Raises the error of the boot."""
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "harness.keeper"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=ROOT,
            start_new_session=True,  # a Ctrl-C in this terminal must not reach it
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(OSError), process.stdin:
                process.stdin.write(json.dumps(wanted.document()).encode() + b"\n")
            for line in process.stdout:
                value = json.loads(line)
                if "told" in value:
                    told(str(value["told"]))
                elif "ready" in value:
                    ready: dict[str, Any] = value["ready"]
                    return ready
                else:
                    process.wait(END_S)
                    raise error_of(value["error"])
            code = process.wait(END_S)
            stderr.seek(0)
            raise InfraError(
                "the keeper of this board ended before the board was up",
                expected="`python -m harness.keeper` to say that it is ready",
                seen=stderr.read().decode("utf-8", "replace").strip()[-2000:] or f"exit code {code}",
                do="check whether it was killed or the machine is out of memory",
            )
        except KeyboardInterrupt:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)
            raise
        finally:
            process.stdout.close()


def bring_down(up: Up, spec: BoardSpec, told: Callable[[str], None]) -> None:
    """End a board's keeper; its board is then switched off and free. Raises InfraError if it does not end.

    A keeper that does not answer is killed: the kernel frees the lease and ends QEMU; a supply is switched off here.
    """
    if up.alive:
        pid = 0
        try:
            with contextlib.closing(KeeperLink(up.socket)) as link:
                pid = link.pid
                link.call("down")
        except AssayError as error:
            told(f"the keeper of {up.place} does not answer ({error.seen}); killing it")
        else:
            if wait_until_ended(pid, END_S):
                return
            told(f"the keeper of {up.place} does not end; killing it")
        _kill(pid)
    up.socket.unlink(missing_ok=True)
    for place in spec.places:
        if place.identity == up.identity and place.power is not None:
            with acquire(spec, timeout_s=END_S, purpose="assay down", places=[place], quarantined=True):
                power_of(place).off()


def _kill(pid: int) -> None:
    if not pid:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if not wait_until_ended(pid, END_S):
        raise InfraError(
            f"process {pid} does not end",
            expected=f"its end within {END_S:g} s of SIGKILL",
            seen="it is still there",
            do="check whether the machine is overloaded or its disk hangs",
        )


def lab_paths(lab: Sequence[Path] | None) -> list[str]:
    """The lab files for a keeper, as absolute paths, since it runs in another folder."""
    return [str(path.resolve()) for path in lab_files(lab)]
