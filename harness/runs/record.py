"""A run's folder: everything needed to replay it. Workers append fsynced JSON lines; `run.json` is written last."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from contracts.errors import ConfigError, InfraError, did_you_mean
from contracts.plain_file import read_plain
from contracts.root import ROOT
from harness.config.json_file import FILE_MAX, parse_json, read_json

DEFAULT_RESULTS: Final = ROOT / "results"
SCHEMA_VERSION: Final = 1

LOCK: Final = "running.lock"
"""File in a run's folder: locked (`flock`) by the process that makes the run, while it lives."""

RUN_NAME: Final = re.compile(r"(?P<stamp>[0-9]{8}-[0-9]{6})-[0-9a-f]{4}")
_STAMP: Final = "%Y%m%d-%H%M%S"


@contextlib.contextmanager
def _lab_fault(path: Path) -> Iterator[None]:
    """Turn an unwritable results folder into an InfraError that says what to do."""
    try:
        yield
    except OSError as error:
        do = "free space on that disk, or name another folder with --results"
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            do = "make the folder writable, or name another one with --results"
        raise InfraError(
            f"cannot write {path}",
            expected="a writable results folder with free space",
            seen=str(error),
            do=do,
        ) from error


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a run. Writing raises InfraError if the disk is full or the folder is not writable."""

    path: Path

    def sub(self, name: str) -> Folder:
        """A subfolder, created if missing."""
        path = self.path / name
        with _lab_fault(path):
            path.mkdir(parents=True, exist_ok=True)
        return Folder(path)

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a file atomically: a reader sees the old content or the new one."""
        path = self.path / name
        data = content.encode() if isinstance(content, str) else content
        partial = path.with_name(path.name + ".partial")
        with _lab_fault(path):
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Write a JSON file with sorted keys."""
        return self.write(name, json.dumps(value, indent=2) + "\n")

    def append(self, name: str, value: Mapping[str, object]) -> None:
        """Append one JSON line and fsync it, so that it survives a killed worker."""
        path = self.path / name
        with _lab_fault(path), path.open("ab") as file:
            file.write(json.dumps(value).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def new_run(root: Path = DEFAULT_RESULTS) -> tuple[str, Folder]:
    """Create a run's folder under `root`; this process marks it as in progress until it exits.

    The name begins with the UTC time, or with one second after the newest run's time if the clock was set back:
    names always sort in the order in which runs were started.
    """
    name = f"{_next_stamp(root):{_STAMP}}-{secrets.token_hex(2)}"
    path = root / name
    with _lab_fault(path):
        path.mkdir(parents=True)
        _hold(path)
    return name, Folder(path)


def _next_stamp(root: Path) -> datetime:
    now = datetime.now(UTC).replace(microsecond=0)
    before = [stamp for path in root.glob("*-*-*") if (stamp := _stamp(path.name)) is not None]
    newest = max(before, default=None)
    return now if newest is None or newest < now else newest + timedelta(seconds=1)


def _stamp(name: str) -> datetime | None:
    """The time in a run's name; None for any other name."""
    match = RUN_NAME.fullmatch(name)
    with contextlib.suppress(ValueError):
        if match:
            return datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC)
    return None


def _hold(path: Path) -> None:
    """Lock the run's folder. The descriptor stays open on purpose: the system closes it when the process exits.

    A process that checks whether the run has ended holds the lock for a moment; this call waits for it.
    """
    descriptor = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{os.getpid()}\n".encode())


@contextlib.contextmanager
def hold_ended(path: Path) -> Iterator[bool]:
    """Protect a run's folder against reuse: yields True if no process is making the run, False otherwise."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:  # created by a version without locks, or not readable for this user
        yield isinstance(error, FileNotFoundError)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


Job = Literal["run", "tests", "accept"]
"""The jobs with a record: `assay run`, a test session, or `assay accept` (with the layout of a session)."""


def find_run(name: str, root: Path = DEFAULT_RESULTS, job: Job | None = None) -> Path:
    """The folder of a run given by name, path, or `last`: the last run of that job, if given.

    Raises ConfigError with a suggestion.
    """
    direct = Path(name)
    with contextlib.suppress(OSError):  # not a valid file name
        if os.path.lexists(direct / "run.json"):
            return direct
    known = [path.parent.name for path in record_files(root)]
    if name == "last":
        for run in reversed(known):
            if job is None or _job_of(root / run) == job:
                return root / run
    if name in known:
        return root / name
    meant = [*known, "last"] if known and name != "last" else known
    raise ConfigError(
        f"no run {name!r} under {root}{did_you_mean(name, meant)}",
        expected="a run's name, its folder, or `last`",
        seen=f"{len(known)} finished there"
        + (f", none of the job `{job}`" if name == "last" and known else ""),
        do="see `assay results list`, or make a run with `assay run`",
    )


def record_files(root: Path) -> list[Path]:
    """Everything at the path of a run's record, of any type, in the order of the runs' names."""
    with contextlib.suppress(OSError):
        return [file for folder in sorted(root.iterdir()) if os.path.lexists(file := folder / "run.json")]
    return []


def _job_of(folder: Path) -> str | None:
    """The job of a finished run; None if its record cannot be read."""
    with contextlib.suppress(ConfigError, AttributeError, KeyError, TypeError):
        return str(read_json(folder / "run.json")["run"].get("job", "run"))
    return None


def read_lines(path: Path) -> list[dict[str, object]]:
    """The complete JSON lines of a record; drops an incomplete line of a killed worker."""
    out = []
    for line in read_plain(path, FILE_MAX).split(b"\n"):
        with contextlib.suppress(ValueError):
            if line:
                out.append(parse_json(line))
    return out
