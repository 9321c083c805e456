"""A run's folder: everything needed to replay it. Workers append fsynced JSON lines, `run.json` comes last."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from contracts.errors import ConfigError, InfraError, did_you_mean

DEFAULT_RESULTS: Final = Path(__file__).resolve().parent.parent / "results"
SCHEMA_VERSION: Final = 1


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

    def append(self, name: str, value: Mapping[str, Any]) -> None:
        """Append one JSON line and fsync it: what is written survives a killed worker."""
        path = self.path / name
        with _lab_fault(path), path.open("ab") as file:
            file.write(json.dumps(value).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def new_run(root: Path = DEFAULT_RESULTS) -> tuple[str, Folder]:
    """Make a run's folder under `root`; its name begins with the UTC time, so that names sort by age."""
    name = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    path = root / name
    with _lab_fault(path):
        path.mkdir(parents=True)
    return name, Folder(path)


def find_run(name: str, root: Path = DEFAULT_RESULTS) -> Path:
    """The folder of a run given by name, path, or the word `last`. Raises ConfigError with a suggestion."""
    direct = Path(name)
    if (direct / "run.json").is_file():
        return direct
    known = sorted(path.parent.name for path in root.glob("*/run.json"))
    if name == "last" and known:
        return root / known[-1]
    if name in known:
        return root / name
    raise ConfigError(
        f"no run {name!r} under {root}{did_you_mean(name, known)}",
        expected="a run's name, its folder, or `last`",
        seen=f"{len(known)} finished runs there",
        do="list the folder, or make a run with `assay run`",
    )


def read_json(path: Path) -> Any:
    """Read a JSON file of a run. Raises ConfigError if it is missing or damaged."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read",
            expected="a JSON file of a finished run",
            seen=str(error),
            do="run it again",
        ) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole JSON lines of a record; a line that a killed worker left half-written is dropped."""
    out = []
    for line in path.read_bytes().split(b"\n"):
        with contextlib.suppress(ValueError):
            if line:
                out.append(json.loads(line))
    return out
