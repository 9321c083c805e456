"""Why a compiler or build tool produced nothing: it cannot be started here, it was killed, or it could not write.

None of these is caused by the source: the first means that set-up must run again (69), the others are lab faults (75).
"""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from contracts.errors import AssayError, Cause, InfraError, SetupError

_PROBE_BYTES: Final = 1 << 20
_VERSION_S: Final = 20.0
_SHOWN: Final = 600
# The texts of strerror(3) and Zig's error names.
_NO_ROOM: Final = re.compile(
    r"No space left on device|NoSpaceLeft|Disk quota exceeded|DiskQuota|Read-only file system|ReadOnlyFileSystem"
)


def cannot_start(what: str, program: str, seen: str) -> SetupError:
    """The error for a tool that this machine cannot run."""
    return SetupError(
        f"{what}: {program} cannot be started",
        expected="the tool that `./assay setup` installs",
        seen=seen.strip()[-_SHOWN:] or "no message",
        do="run `./assay setup`, which installs it again; `./assay doctor` says what else is missing",
    )


def cannot_write(what: str, folder: Path | str, seen: str) -> InfraError:
    """The error for a folder in which no file can be written."""
    return InfraError(
        f"{what}: {folder} cannot be written",
        expected="a folder that this user may write, on a disk with free space",
        seen=seen.strip()[-_SHOWN:],
        do=f"free space, or correct the owner and permissions: `df -h {folder}`, `ls -ld {folder}`",
        cause=Cause.MACHINE,
    )


def why_nothing(
    what: str, tools: Sequence[Sequence[str]], code: int, output: str, folders: Sequence[Path]
) -> AssayError | None:
    """The machine's fault in a build that failed with `code` (below 0: by that signal); None: it is the source's.

    `tools` are commands that print their versions, the compiler's first; `folders` are those that the build writes to.
    """
    if code < 0:
        name = signal.Signals(-code).name if -code in list(signal.Signals) else f"signal {-code}"
        if name in ("SIGKILL", "SIGTERM"):
            return InfraError(
                f"{what}: the compiler was killed from outside",
                expected="a compiler that is not interrupted",
                seen=name,
                do="find what killed it (`dmesg` shows if memory ran out) and run again",
                cause=Cause.OUTSIDE,
            )
    for folder in folders:
        full = unwritable(folder)
        if full:
            return cannot_write(what, folder, full)
    if _NO_ROOM.search(output):
        where = ", ".join(map(str, folders))
        return cannot_write(what, where, "\n".join(filter(_NO_ROOM.search, output.splitlines())))
    for tool in tools:
        broken = does_not_run(tool)
        if broken:
            return cannot_start(what, tool[0], broken)
    return None


def unwritable(folder: Path) -> str:
    """Why no 1 MB file can be created in `folder`, or in its parent if it does not exist yet; empty: it can."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
    except OSError as error:
        return str(error)
    return ""


def does_not_run(command: Sequence[str]) -> str:
    """Why a tool does not even print its version; empty if it does."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_VERSION_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return ""  # slow is not broken
    except OSError as error:
        return str(error)
    return "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stdout}{done.stderr}"
