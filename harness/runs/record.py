"""A run's folder: everything needed to replay it. Workers append fsynced JSON lines, `run.json` comes last."""

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
"""In a run's folder: held (`flock`) by the process that makes the run, for as long as that process lives."""

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
            f"cannot write {path}", expected="a results folder with room", seen=str(error), do=do
        ) from error


@dataclass(frozen=True, slots=True)
class Folder:
    """One folder of a run. Writing raises InfraError when the disk is full or the folder is not writable."""

    path: Path

    def sub(self, name: str) -> Folder:
        """A folder below this one, made when missing."""
        path = self.path / name
        with _lab_fault(path):
            path.mkdir(parents=True, exist_ok=True)
        return Folder(path)

    def write(self, name: str, content: bytes | str) -> Path:
        """Write a whole file, atomically: a reader sees the old one or the new one."""
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
        """Write a JSON file with sorted layout."""
        return self.write(name, json.dumps(value, indent=2) + "\n")

    def append(self, name: str, value: Mapping[str, object]) -> None:
        """Append one JSON line and fsync it: what is written survives a killed worker."""
        path = self.path / name
        with _lab_fault(path), path.open("ab") as file:
            file.write(json.dumps(value).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def new_run(root: Path = DEFAULT_RESULTS) -> tuple[str, Folder]:
    """Make a run's folder under `root`, which this process holds as in progress until it ends.

    The name begins with the UTC time, or with one second after the newest run's where the clock says less: names sort
    by the order in which runs were begun, also when the clock was set back.
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
    """The time in a run's name; None for what is no run's name."""
    match = RUN_NAME.fullmatch(name)
    with contextlib.suppress(ValueError):
        if match:
            return datetime.strptime(match["stamp"], _STAMP).replace(tzinfo=UTC)
    return None


def _hold(path: Path) -> None:
    """Lock the run's folder. The descriptor stays open on purpose: the system frees it with the process.

    Whoever looks whether the run has ended holds the lock for a moment, which is waited for.
    """
    descriptor = os.open(path / LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, f"{os.getpid()}\n".encode())


@contextlib.contextmanager
def hold_ended(path: Path) -> Iterator[bool]:
    """Hold a run's folder against its reuse: True inside when no process is making the run, False when one is."""
    try:
        descriptor = os.open(path / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:  # made by a version without locks; or not ours to open, and so not ours to judge
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
"""What leaves a record: `assay run`, a session of tests, or `assay accept` (which has the layout of one)."""


def find_run(name: str, root: Path = DEFAULT_RESULTS, job: Job | None = None) -> Path:
    """The folder of a run given by name, path, or the word `last`: the last of that job, where one is named.

    Raises ConfigError with a suggestion.
    """
    direct = Path(name)
    with contextlib.suppress(OSError):  # a name that no file can have
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
    """What stands where a run's record stands, whatever it is, in the order of the runs' names."""
    with contextlib.suppress(OSError):
        return [file for folder in sorted(root.iterdir()) if os.path.lexists(file := folder / "run.json")]
    return []


def _job_of(folder: Path) -> str | None:
    """The job of a finished run; None when its record cannot be read."""
    with contextlib.suppress(ConfigError, AttributeError, KeyError, TypeError):
        return str(read_json(folder / "run.json")["run"].get("job", "run"))
    return None


def read_lines(path: Path) -> list[dict[str, object]]:
    """The whole JSON lines of a record; a line that a killed worker left half-written is dropped."""
    out = []
    for line in read_plain(path, FILE_MAX).split(b"\n"):
        with contextlib.suppress(ValueError):
            if line:
                out.append(parse_json(line))
    return out
