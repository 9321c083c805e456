"""Board files: `lab-config/boards/<kind>.yaml` becomes a typed `BoardSpec`, and `--board` chooses among them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.board import CAPABILITIES, BoardSpec, Place, QemuSpec
from contracts.errors import ConfigError, did_you_mean
from harness.config import load_yaml

BOARDS: Final = Path(__file__).resolve().parent.parent / "lab-config" / "boards"
DEFAULT_PATTERN: Final = "tag:default"

_Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=15)]
_Seconds = Annotated[float, Field(gt=0, le=600)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class QemuPart(_Strict):
    """How to start the machine. `boot`: which kernel file it takes."""

    machine: str
    cpu: str | None = None
    memory_mib: Annotated[int, Field(ge=64, le=8192)]
    cores: Annotated[int, Field(ge=1, le=8)]
    boot: Literal["elf", "img"]
    extra: list[str] = []


class BoardFile(_Strict):
    """One board file."""

    version: Literal[1] = Field(alias="schema")
    kind: _Name
    firmware: _Name
    tags: list[str] = []
    instances: Annotated[int, Field(ge=1, le=64)] = 1
    console: Literal["unix", "pty"] = "unix"
    baud: Annotated[int, Field(ge=9600, le=4_000_000)] = 115200
    boot_timeout_s: _Seconds = 10.0
    request_timeout_s: _Seconds = 5.0
    scenario: str | None = None
    qemu: QemuPart


def load_board(path: Path) -> BoardSpec:
    """One board file as a spec. Raises ConfigError with file, line and column."""
    file = load_yaml(path, BoardFile)
    if file.kind != path.stem:
        raise ConfigError(
            f"{path}: the kind and the file's name differ",
            expected=f"kind: {path.stem}",
            seen=f"kind: {file.kind}",
        )
    return BoardSpec(
        kind=file.kind,
        firmware=file.firmware,
        tags=tuple(file.tags),
        places=tuple(Place(f"{file.kind}-{number}") for number in range(file.instances)),
        console=file.console,
        baud=file.baud,
        boot_timeout_s=file.boot_timeout_s,
        request_timeout_s=file.request_timeout_s,
        qemu=QemuSpec(
            machine=file.qemu.machine,
            cpu=file.qemu.cpu,
            memory_mib=file.qemu.memory_mib,
            cores=file.qemu.cores,
            boot=file.qemu.boot,
            extra=tuple(file.qemu.extra),
        ),
        scenario=file.scenario,
        capabilities=frozenset(CAPABILITIES),
    )


def load_boards(folder: Path = BOARDS) -> list[BoardSpec]:
    """Every board of the lab, sorted by kind. Raises ConfigError for a bad file or an empty folder."""
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"no board files in {folder}", expected="one YAML file a kind", seen="none")
    return [load_board(path) for path in paths]


def select(patterns: Sequence[str], folder: Path = BOARDS) -> list[BoardSpec]:
    """Boards chosen by name, glob or `tag:NAME`; no pattern means `tag:default`.

    Raises ConfigError, with the nearest name, for a pattern that chooses nothing.
    """
    boards = load_boards(folder)
    chosen: dict[str, BoardSpec] = {}
    for pattern in patterns or [DEFAULT_PATTERN]:
        if pattern.startswith("tag:"):
            tag = pattern.removeprefix("tag:")
            found = [spec for spec in boards if tag in spec.tags]
            known = sorted({f"tag:{name}" for spec in boards for name in spec.tags})
        else:
            found = [spec for spec in boards if fnmatchcase(spec.kind, pattern)]
            known = [spec.kind for spec in boards]
        if not found:
            raise ConfigError(
                f"no board matches {pattern!r}{did_you_mean(pattern, known)}",
                expected=f"a kind, a glob, or a tag: {', '.join(known)}",
                seen=pattern,
                do="see `assay boards`",
            )
        chosen |= {spec.kind: spec for spec in found}
    return list(chosen.values())


def select_one(kind: str, folder: Path = BOARDS) -> BoardSpec:
    """The one board of that name. Raises ConfigError for none or several."""
    found = select([kind], folder)
    if len(found) != 1:
        raise ConfigError(
            f"{kind!r} names {len(found)} boards",
            expected="one kind",
            seen=", ".join(spec.kind for spec in found),
            do="name one of them",
        )
    return found[0]
