"""The holder of a board, as stored next to the lock: for display, and for releasing by force."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Self

from contracts.board import BoardSpec, Place
from harness.lease.files import boot_id, boot_s, user_name, utc_now

_COMMAND_SHOWN: Final = 160


@dataclass(frozen=True, slots=True)
class Owner:
    """A holder. `since` is for display; a lease's age comes from `boot` and `boot_s`. Unknown parts are empty or 0."""

    user: str = ""
    pid: int = 0
    start_ticks: int = (
        0  # proc_pid_stat(5), field 22: distinguishes the process from a later one with the same id
    )
    host: str = ""
    command: str = ""
    purpose: str = ""
    worker: str = ""
    folder: str = ""
    kind: str = ""
    place: str = ""
    since: str = ""
    boot: str = ""
    boot_s: float = 0.0
    epoch: int = 0

    @classmethod
    def here(cls, spec: BoardSpec, place: Place, purpose: str, epoch: int) -> Self:
        """This process, as a holder from now on."""
        return cls(
            user=user_name(),
            pid=os.getpid(),
            start_ticks=_start_ticks(),
            host=socket.gethostname(),
            command=_command(),
            purpose=purpose,
            worker=os.environ.get("PYTEST_XDIST_WORKER", ""),
            folder=_folder(),
            kind=spec.kind,
            place=place.name,
            since=utc_now(),
            boot=boot_id(),
            boot_s=boot_s(),
            epoch=epoch,
        )

    @classmethod
    def read(cls, found: Mapping[str, object]) -> Self:
        """From a file, which may be damaged: a missing value or one of another type is unknown."""
        unknown = cls()
        known: dict[str, Any] = {
            field.name: found[field.name]
            for field in fields(cls)
            if type(found.get(field.name)) is type(getattr(unknown, field.name))
        }
        return replace(unknown, **known)

    def document(self) -> dict[str, object]:
        """As a JSON document."""
        return asdict(self)

    @property
    def who(self) -> str:
        """`alice@lab pid 12`, as far as known."""
        pid = f"pid {self.pid}" if self.pid else ""
        return " ".join(part for part in (self.user, pid) if part) or "an unknown holder"

    @property
    def what(self) -> str:
        """Purpose, worker and command."""
        parts = (self.purpose, self.worker, self.command)
        return ", ".join(part for part in parts if part)

    def age_s(self) -> float | None:
        """Age in seconds; None if unknown."""
        if not self.boot_s or self.boot != boot_id():
            return None
        return max(0.0, boot_s() - self.boot_s)


def duration(seconds: float | None) -> str:
    """`42 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`; empty for None."""
    if seconds is None:
        return ""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def _command() -> str:
    path = Path(sys.argv[0] if sys.argv else "")
    modules = {"__main__.py": path.parent.name, "cli.py": "assay"}  # `python -m robot`, and the launcher's
    text = " ".join([modules.get(path.name, path.name), *sys.argv[1:]])
    return text if len(text) <= _COMMAND_SHOWN else text[: _COMMAND_SHOWN - 3] + "..."


def _folder() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # removed in the meantime
        return ""


def _start_ticks() -> int:
    try:
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2]
        return int(after_name.split()[19])
    except (OSError, ValueError, IndexError):
        return 0
