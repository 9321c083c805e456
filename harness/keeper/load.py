"""Your own program onto a board: compiled, sealed, loaded, deployed, and stored by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.errors import ConfigError, did_you_mean
from contracts.plain_file import read_plain
from contracts.program import Hook, MapDef, MapType, Program
from contracts.telemetry import Telemetry
from contracts.wire.live import LoadResponse, SwapResponse
from harness.bpf.btf_values import MapTypes, Value, map_types
from harness.bpf.compile import compile_file
from harness.bpf.elf import read_programs
from harness.bpf.native import Loaded
from harness.bpf.seal import program_id, seal
from harness.keeper.programs import KnownProgram
from harness.keeper.use import HandBoard
from harness.loop.pipeline import load

PROGRAM_MAX: Final = 16 << 20
"""The maximum size of a source or an object in bytes."""

VERDICTS: Final = {
    "pass": "verdict_pass",
    "drop": "verdict_drop",
    "tx": "verdict_tx",
    "aborted": "verdict_aborted",
}
"""The verdicts of a hook on a packet, and their counters in the telemetry."""


@dataclass(frozen=True, slots=True)
class Source:
    """A program's file: its text (empty for an object), its object, and the selected program."""

    path: Path
    text: str
    obj: bytes
    program: Program


def read_source(path: Path, name: str | None = None) -> Source:
    """A program from a C source or an eBPF ELF object named `.o`. Raises ConfigError or ProgramRejected."""
    text = ""
    if path.suffix != ".o":
        compiled = compile_file(path)
        text, data = compiled.source, compiled.elf
    else:
        try:
            data = read_plain(path, PROGRAM_MAX)
        except OSError as error:
            raise ConfigError(
                f"cannot read {path}", expected="a .c or .o file", seen=error.strerror or str(error)
            ) from error
    programs = read_programs(data)
    names = [program.name for program in programs]
    if name is None and len(programs) > 1:
        raise ConfigError(
            f"{path} holds several programs",
            expected="one, or its name",
            seen=", ".join(names),
            do="name one with --program",
        )
    for program in programs:
        if name in (None, program.name):
            return Source(path, text, data, program)
    raise ConfigError(
        f"{path} has no program {name!r}{did_you_mean(name or '', names)}",
        expected=f"one of {', '.join(names)}",
        seen=name or "",
        do="correct --program",
    )


@dataclass(frozen=True, slots=True)
class Put:
    """A program on a board: its identity, the cost of its load, and its deployment (None: only loaded)."""

    program: KnownProgram
    response: LoadResponse
    swap: SwapResponse | None


def put(hand: HandBoard, source: Source, *, memory: int = 0, watch: int = 32, deploy: bool = True) -> Put:
    """Seal, load and (except a `test` program) deploy. Raises ProgramRejected with the stage and the reason."""
    program = source.program
    board = hand.board
    image = seal(program, board.key, test_mem_size=memory)
    loaded = load(board, program, image)
    known = KnownProgram(
        handle=loaded.response.handle,
        name=program.name,
        hook=program.hook.name.lower(),
        file=str(source.path),
        slots=loaded.response.slots,
        wcet=loaded.response.wcet,
        program_id=program_id(program).hex(),
        obj=source.obj.hex(),
        memory=memory,
    )
    hand.add(known)
    swap = hand.deploy(known.handle, watch) if deploy and program.hook is not Hook.TEST else None
    return Put(known, loaded.response, swap)


def verdict_counts(before: Telemetry, after: Telemetry) -> dict[str, int]:
    """The number of packets per verdict between two telemetry samples."""
    return {name: getattr(after, field) - getattr(before, field) for name, field in VERDICTS.items()}


@dataclass(frozen=True, slots=True)
class MapShown:
    """One map of one program, with its entries as values."""

    program: str
    handle: int
    name: str
    type: str
    max_entries: int
    entries: list[tuple[Value, Value]]

    def told_entries(self) -> list[tuple[Value, Value]]:
        """The entries to show: all of a hash, the nonzero ones of an array."""
        if self.type != "array":
            return self.entries
        return [(key, value) for key, value in self.entries if any(_leaves(value))]

    def document(self) -> dict[str, Any]:
        """The JSON values."""
        return {
            "program": self.program,
            "handle": self.handle,
            "name": self.name,
            "type": self.type,
            "max_entries": self.max_entries,
            "entries": [{"key": key, "value": value} for key, value in self.entries],
        }


def _leaves(value: Value) -> list[Value]:
    """The parts of a value."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [leaf for one in parts for leaf in _leaves(one)]
    return [value]


def maps_of_loaded(source: Source, loaded: Loaded) -> list[MapShown]:
    """The maps of a program that ran on this machine."""
    types = map_types(source.obj)
    return [
        _shown(source.program.name, 0, one.definition, types.get(one.definition.name), dict(one.items()))
        for one in loaded.maps
    ]


def _shown(
    program: str, handle: int, shape: MapDef, types: MapTypes | None, entries: Mapping[bytes, bytes]
) -> MapShown:
    kinds = types or MapTypes(None)
    index = shape.type is MapType.ARRAY
    return MapShown(
        program,
        handle,
        shape.name,
        shape.type.name.lower(),
        shape.max_entries,
        [
            (int.from_bytes(key, "little") if index else kinds.key_of(key), kinds.value_of(value))
            for key, value in entries.items()
        ],
    )


def read_maps(hand: HandBoard, name: str | None = None, program: str | None = None) -> list[MapShown]:
    """The maps of the programs on the board, or the one of that name. Raises ConfigError for an unknown name."""
    known = chosen(hand, program) if program is not None else hand.programs()
    shown = []
    names = []
    for one in known:
        obj = bytes.fromhex(one["obj"])
        types = map_types(obj)
        (definition,) = (found for found in read_programs(obj) if found.name == one["name"])
        for index, shape in enumerate(definition.maps):
            names.append(shape.name)
            if name not in (None, shape.name):
                continue
            entries = hand.board.client.read_map(one["handle"], index)
            shown.append(_shown(one["name"], one["handle"], shape, types.get(shape.name), entries))
    if name is not None and not shown:
        raise ConfigError(
            f"no map {name!r} on the board{did_you_mean(name, names)}",
            expected=f"one of {', '.join(sorted(set(names)))}" if names else "a program with maps",
            seen=f"{len(known)} programs",
            do="see `assay bpf list`",
        )
    return shown


def chosen(hand: HandBoard, name: str | None) -> list[dict[str, Any]]:
    """The programs of that name or handle; without one, the only program there is. Raises ConfigError."""
    programs = hand.programs()
    found = [one for one in programs if name in (None, one["name"], str(one["handle"]))]
    if found and (name is not None or len(found) == 1):
        return found
    names = [one["name"] for one in programs]
    raise ConfigError(
        f"no program {name!r} on the board{did_you_mean(name, names)}" if name else "no program named",
        expected=f"one of {', '.join(names)}" if names else "a program that was loaded with `assay bpf load`",
        seen=name or (", ".join(names) or "none is loaded"),
        do="see `assay bpf list`",
    )
