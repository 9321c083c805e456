"""Board files: reads `lab-config/boards/<kind>.yaml` as `BoardSpec`, adds the places of lab files, selects by `--board`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from contracts.board import CAPABILITIES, EXACT, BoardSpec, Place, QemuSpec
from contracts.errors import ConfigError, did_you_mean
from contracts.root import ROOT
from harness.boards.files import HardwareFile, LabFile, LikeFile, QemuFile, QemuPart, form_of
from harness.boards.places import Common, places_of
from harness.config.strict import load_yaml, place_of

BOARDS: Final = ROOT / "lab-config" / "boards"
LABS: Final = BOARDS.parent / "labs"
DEFAULT_PATTERN: Final = "tag:default"
LAB_VARIABLE: Final = "ASSAY_LAB"
"""Environment variable that names lab files if `--lab` is absent, separated like PATH."""


def _qemu(part: QemuPart) -> QemuSpec:
    return QemuSpec(
        machine=part.machine,
        cpu=part.cpu,
        memory_mib=part.memory_mib,
        cores=part.cores,
        boot=part.boot,
        extra=tuple(part.extra),
        icount=part.icount,
    )


def load_board(path: Path) -> BoardSpec:
    """One board file as a spec. Raises ConfigError with file, line and column."""
    form = form_of(path)
    file = load_yaml(path, QemuFile if form is LabFile else form)
    if file.kind != path.stem:
        raise ConfigError(
            f"{path}: the kind and the file's name differ",
            expected=f"kind: {path.stem}",
            seen=f"kind: {file.kind}",
        )
    if isinstance(file, QemuFile):
        return _qemu_board(file)
    if isinstance(file, HardwareFile):
        return _hardware_board(path, file)
    assert isinstance(file, LikeFile)
    return _like_board(path, file)


def _qemu_board(file: QemuFile) -> BoardSpec:
    return BoardSpec(
        kind=file.kind,
        firmware=file.firmware,
        tags=tuple(file.tags),
        places=tuple(Place(f"{file.kind}-{number}") for number in range(file.instances)),
        console=file.console,
        baud=file.baud,
        boot_timeout_s=file.boot_timeout_s,
        request_timeout_s=file.request_timeout_s,
        qemu=_qemu(file.qemu),
        scenario=file.scenario,
        capabilities=frozenset(CAPABILITIES) - (frozenset() if file.qemu.icount else {EXACT}),
    )


def _hardware_board(path: Path, file: HardwareFile) -> BoardSpec:
    return BoardSpec(
        kind=file.kind,
        firmware=file.firmware,
        tags=tuple(file.tags),
        places=places_of(path, ("places",), file.places, Common(path, file.power, file.boot)),
        console="serial",
        baud=file.baud,
        boot_timeout_s=file.boot_timeout_s,
        request_timeout_s=file.request_timeout_s,
        scenario=file.scenario,
        uart_hz=file.clocks.uart_hz if file.clocks else None,
    )


def _like_board(path: Path, file: LikeFile) -> BoardSpec:
    model = _model_of(path, file)
    return replace(
        load_board(model),
        kind=file.kind,
        tags=tuple(file.tags),
        places=(),
        sim=_qemu(file.sim) if file.sim else None,
        sim_instances=file.instances,
        capabilities=frozenset({EXACT}) if file.sim and file.sim.icount else frozenset(),
    )


def _model_of(path: Path, file: LikeFile) -> Path:
    """The board file that `path` refers to by `like`. Raises ConfigError if it is not a hardware board type."""
    model = path.with_name(f"{file.like}.yaml")
    known = sorted(
        other.stem for other in path.parent.glob("*.yaml") if other != path and form_of(other) is HardwareFile
    )
    if file.like not in known:
        raise ConfigError(
            f"{place_of(path, 'like')}: no hardware board type {file.like!r}{did_you_mean(file.like, known)}",
            expected=f"one of {', '.join(known)}" if known else "a hardware board type in the same folder",
            seen=file.like,
            do="correct the value",
        )
    return model


def _common(path: Path) -> Common | None:
    """What places of the board type in `path` have in common; None for a QEMU board."""
    form = form_of(path)
    if form is LikeFile:
        return _common(_model_of(path, load_yaml(path, LikeFile)))
    if form is not HardwareFile:
        return None
    file = load_yaml(path, HardwareFile)
    return Common(path, file.power, file.boot)


def load_lab(path: Path, folder: Path = BOARDS) -> dict[str, tuple[Place, ...]]:
    """The places of a lab file, by board type. Raises ConfigError with file, line and column."""
    file = load_yaml(path, LabFile)
    kinds = sorted(board.stem for board in folder.glob("*.yaml"))
    out = {}
    for kind, parts in file.places.items():
        if kind not in kinds:
            raise ConfigError(
                f"{place_of(path, 'places', kind)}: no board {kind!r}{did_you_mean(kind, kinds)}",
                expected=f"one of {', '.join(kinds)}",
                seen=kind,
                do="correct the board type, or add its board file",
            )
        common = _common(folder / f"{kind}.yaml")
        if common is not None:
            out[kind] = places_of(path, ("places", kind), parts, common)
            continue
        for number, part in enumerate(parts):
            if part.console or part.power or part.boot or part.probe:
                raise ConfigError(
                    f"{place_of(path, 'places', kind, number)}: a place of {kind} has only a name",
                    expected="only `name`: its board is a QEMU, created at power on",
                    seen="more keys",
                    do="remove the other keys",
                )
        out[kind] = tuple(Place(part.name) for part in parts)
    return out


def lab_files(lab: Path | Sequence[Path] | None) -> list[Path]:
    """The lab files to use: those given, else those that `ASSAY_LAB` names."""
    if lab is None:
        return [Path(name) for name in os.environ.get(LAB_VARIABLE, "").split(os.pathsep) if name]
    return [lab] if isinstance(lab, Path) else list(lab)


def load_boards(folder: Path = BOARDS, *, lab: Path | Sequence[Path] | None = None) -> list[BoardSpec]:
    """Every board type of the lab, sorted, with the places of lab files (a later file overrides an earlier one).

    `lab` None means `ASSAY_LAB`. Raises ConfigError for a bad file or an empty folder.
    """
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise ConfigError(f"no board files in {folder}", expected="one YAML file per board type", seen="none")
    given: dict[str, tuple[Place, ...]] = {}
    for file in lab_files(lab):
        given |= load_lab(file, folder)
    boards = [load_board(path) for path in paths]
    return [replace(spec, places=given[spec.kind]) if spec.kind in given else spec for spec in boards]


def kinds(folder: Path = BOARDS) -> list[str]:
    """The names of all board types, sorted, without reading their files: each file has its board type's name."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def select(
    patterns: Sequence[str], folder: Path = BOARDS, *, lab: Path | Sequence[Path] | None = None
) -> list[BoardSpec]:
    """Board types selected by kind, glob, `tag:NAME` or a place's name (that place alone); no pattern means `tag:default`.

    `lab`: lab files with places; None: those of `ASSAY_LAB`. Raises ConfigError, with the nearest name, for a
    pattern that matches nothing.
    """
    boards = load_boards(folder, lab=lab)
    chosen: dict[str, BoardSpec] = {}
    for pattern in patterns or [DEFAULT_PATTERN]:
        if pattern.startswith("tag:"):
            tag = pattern.removeprefix("tag:")
            found = [spec for spec in boards if tag in spec.tags]
            known = sorted({f"tag:{name}" for spec in boards for name in spec.tags})
        else:
            found = [spec for spec in boards if fnmatchcase(spec.kind, pattern)] or _of_place(boards, pattern)
            known = [spec.kind for spec in boards]
        if not found:
            raise ConfigError(
                f"no board matches {pattern!r}{did_you_mean(pattern, known)}",
                expected=f"a board type, a glob or a tag: {', '.join(known)}",
                seen=pattern,
                do="see `assay boards`",
            )
        for spec in found:
            before = chosen.get(spec.kind)
            if before is None:
                chosen[spec.kind] = spec
            else:  # two places of a board type, or a place and its whole type
                places = (*before.places, *(place for place in spec.places if place not in before.places))
                chosen[spec.kind] = replace(spec, places=places)
    return list(chosen.values())


def _of_place(boards: Sequence[BoardSpec], name: str) -> list[BoardSpec]:
    """The board type with a place of that name, reduced to this place; empty for none."""
    return [replace(spec, places=(place,)) for spec in boards for place in spec.places if place.name == name]


def select_one(kind: str, folder: Path = BOARDS, *, lab: Path | Sequence[Path] | None = None) -> BoardSpec:
    """The one board type of that name. Raises ConfigError for none or several."""
    found = select([kind], folder, lab=lab)
    if len(found) != 1:
        raise ConfigError(
            f"{kind!r} matches {len(found)} board types",
            expected="one board type",
            seen=", ".join(spec.kind for spec in found),
            do="name one of them",
        )
    return found[0]
