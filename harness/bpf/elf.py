"""BPF objects to programs: sections to hooks, declarations to maps, relocations to references and calls.

Understood: programs in the sections that `contracts.ebpf.hooks` names, each optionally followed by `/name`; functions
in `.text`; `.maps` (BTF) and `maps` (legacy) declarations; `.rodata*` as frozen maps, `.bss*` as writable ones.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts.ebpf.engine import MAP_NAME_SIZE, MAX_MAPS, MAX_SLOTS, MAX_VALUE_SIZE
from contracts.ebpf.hooks import SECTIONS, names_text
from contracts.ebpf.maps import kinds_text
from contracts.errors import ProgramRejected, did_you_mean
from contracts.program import MapDef, MapFlags, MapType, Program
from harness.bpf.btf import Btf, BtfError, LineRecord, line_records

_EM_BPF = 247
_R_BPF_64_64, _R_BPF_64_32 = 1, 10
_MAX_ELF_BYTES = 16 << 20
_NAME_BYTES = MAP_NAME_SIZE - 1
_LDDW, _CALL = 0x18, 0x85
_LEGACY_MAP = struct.Struct("<5I")
_MAP_INTEGERS = ("type", "max_entries", "key_size", "value_size", "map_flags")


def _reject(what: str, seen: str = "", *, expected: str = "", do: str = "") -> ProgramRejected:
    return ProgramRejected(what, stage="compile", reason=seen or what, expected=expected, do=do)


@dataclass(frozen=True, slots=True)
class _Symbol:
    name: str
    section: int
    value: int
    size: int
    is_function: bool


@dataclass(slots=True)
class _Section:
    name: str
    kind: str
    size: int
    data: bytes
    relocations: dict[int, tuple[int, _Symbol]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Function:
    section: int
    start: int
    data: bytes
    name: str


class _Object:
    """The parts of an object file that a program is made from."""

    def __init__(self, elf: bytes) -> None:
        self.sections, self.symbols = _read(elf)
        self.btf: Btf | None = None
        self.lines: dict[str, list[LineRecord]] = {}
        try:
            for section in self.sections:
                if section.name == ".BTF" and section.data:
                    self.btf = Btf(section.data)
            for section in self.sections:
                if section.name == ".BTF.ext" and section.data and self.btf is not None:
                    self.lines = line_records(section.data, self.btf)
            self.maps, self.map_places = self._declared_maps()
        except (BtfError, struct.error) as malformed:
            raise _reject(
                "the object's BTF is malformed", str(malformed), do="compile it again with -g"
            ) from malformed

    def _declared_maps(self) -> tuple[list[MapDef], dict[tuple[int, int], int]]:
        """The declared maps, and the (section, offset) where each is declared."""
        maps: list[MapDef] = []
        places: dict[tuple[int, int], int] = {}
        for index, section in enumerate(self.sections):
            if section.name not in (".maps", "maps"):
                continue
            declared = sorted(
                (s for s in self.symbols if s.section == index and s.name and s.size), key=lambda s: s.value
            )
            variables = self.btf.section_variables(".maps") if self.btf is not None else {}
            for symbol in declared:
                places[index, symbol.value] = len(maps)
                if section.name == "maps":
                    maps.append(_legacy_map(symbol, section))
                else:
                    maps.append(self._btf_map(symbol, variables))
        names = [one.name for one in maps]
        if len(set(names)) != len(names):
            raise _reject(
                "two maps have the same name",
                ", ".join(names),
                expected=f"names that differ within {_NAME_BYTES} bytes",
            )
        return maps, places

    def _btf_map(self, symbol: _Symbol, variables: dict[str, Any]) -> MapDef:
        if self.btf is None or symbol.name not in variables:
            raise _reject(f"map {symbol.name!r} has no BTF", "no .BTF declaration", do="compile with -g")
        values = dict.fromkeys(_MAP_INTEGERS, 0)
        for name, number in self.btf.members(variables[symbol.name]):
            if name in values:
                values[name] = self.btf.integer(number)
            elif name in ("key", "value"):
                values[f"{name}_size"] = self.btf.size(self.btf.pointed(number))
            else:
                raise _reject(
                    f"map {symbol.name!r} has an unknown attribute",
                    name,
                    expected=", ".join((*_MAP_INTEGERS, "key", "value")),
                )
        return _map(
            symbol.name,
            *(values[name] for name in ("type", "key_size", "value_size", "max_entries", "map_flags")),
        )

    def function_at(self, section: int, offset: int) -> _Function:
        """The function that starts at an offset of a section."""
        for symbol in self.symbols:
            if symbol.is_function and symbol.section == section and symbol.value == offset:
                data = self.sections[section].data[offset : offset + symbol.size]
                if symbol.size == 0 or symbol.size % 8 or offset % 8 or len(data) != symbol.size:
                    raise _reject(
                        f"function {symbol.name!r} is malformed",
                        f"{symbol.size} bytes at {offset} of section {self.sections[section].name!r}",
                        expected="a whole number of 8-byte slots inside its section",
                    )
                return _Function(section, offset, data, symbol.name)
        raise _reject(
            "a call leads to no function", f"offset {offset} of section {self.sections[section].name!r}"
        )


def _read(elf: bytes) -> tuple[list[_Section], list[_Symbol]]:
    """Sections and symbols of the object, every size checked against the file."""
    if len(elf) > _MAX_ELF_BYTES:
        raise _reject(
            "the object is too large", f"{len(elf)} bytes", expected=f"at most {_MAX_ELF_BYTES} bytes"
        )
    if elf[:4] != b"\x7fELF":
        raise _reject(
            "this is not an ELF object",
            repr(elf[:4]),
            expected="a BPF object file, as clang -target bpfel makes",
        )
    from elftools.common.exceptions import ELFError

    try:
        return _read_checked(elf)
    except ProgramRejected:
        raise
    except (
        ELFError,
        struct.error,
        ValueError,
        LookupError,
        AttributeError,
        TypeError,
        OverflowError,
        MemoryError,
    ) as bad:
        raise _reject(
            "the object is malformed or truncated", f"{type(bad).__name__}: {bad}", do="compile it again"
        ) from bad


def _read_checked(elf: bytes) -> tuple[list[_Section], list[_Symbol]]:
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(elf))
    machine = file.header["e_machine"]
    if machine not in ("EM_BPF", _EM_BPF) or file.elfclass != 64 or not file.little_endian:
        endian = "little" if file.little_endian else "big"
        raise _reject(
            "the object is for another machine",
            f"{machine}, {file.elfclass} bits, {endian} endian",
            expected="EM_BPF, 64 bits, little endian",
            do="compile with -target bpfel",
        )
    sections: list[_Section] = []
    raw = list(file.iter_sections())
    for one in raw:
        size, offset = int(one["sh_size"]), int(one["sh_offset"])
        is_empty = one["sh_type"] in ("SHT_NOBITS", "SHT_NULL")
        if not is_empty and offset + size > len(elf):
            raise _reject(
                f"section {one.name!r} lies outside the file",
                f"ends at byte {offset + size} of {len(elf)}",
                expected="a whole object file",
            )
        data = b"" if is_empty else elf[offset : offset + size]
        sections.append(_Section(one.name, str(one["sh_type"]), size, data))
    symbols = list(_symbols(raw))
    for one, section in zip(raw, sections, strict=True):
        if one["sh_type"] == "SHT_REL" and int(one["sh_info"]) < len(sections):
            target = sections[int(one["sh_info"])]
            if target.name.startswith((".debug", ".BTF")):
                continue
            for offset, info in struct.iter_unpack("<QQ", section.data):
                if info >> 32 >= len(symbols):
                    raise _reject(
                        f"a relocation of section {target.name!r} names no symbol", f"symbol {info >> 32}"
                    )
                target.relocations[offset] = (info & 0xFFFF_FFFF, symbols[info >> 32])
        elif one["sh_type"] == "SHT_RELA":
            raise _reject(
                f"section {one.name!r} has relocations of the wrong kind", "SHT_RELA", expected="SHT_REL"
            )
    return sections, symbols


def _symbols(raw: list[Any]) -> Iterator[_Symbol]:
    for section in raw:
        if section["sh_type"] != "SHT_SYMTAB":
            continue
        for one in section.iter_symbols():
            place = one["st_shndx"]
            yield _Symbol(
                name=one.name,
                section=place if isinstance(place, int) and place < len(raw) else -1,
                value=int(one["st_value"]),
                size=int(one["st_size"]),
                is_function=one["st_info"]["type"] == "STT_FUNC",
            )
        return


def _map(name: str, kind: int, key_size: int, value_size: int, max_entries: int, flags: int) -> MapDef:
    try:
        known = MapType(kind)
    except ValueError:
        raise _reject(f"map {name!r} is of an unsupported type", str(kind), expected=kinds_text()) from None
    return MapDef(_short(name), known, key_size, value_size, max_entries, flags)


def _short(name: str) -> str:
    return name.encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore")


def _legacy_map(symbol: _Symbol, section: _Section) -> MapDef:
    data = section.data[symbol.value : symbol.value + symbol.size]
    if len(data) < _LEGACY_MAP.size:
        raise _reject(
            f"map {symbol.name!r} is cut off",
            f"{len(data)} bytes",
            expected=f"at least {_LEGACY_MAP.size} bytes",
        )
    if any(data[_LEGACY_MAP.size :]):
        raise _reject(
            f"map {symbol.name!r} uses fields beyond map_flags",
            data[_LEGACY_MAP.size :].hex(),
            expected="zeros",
        )
    return _map(symbol.name, *_LEGACY_MAP.unpack_from(data))


class _Linker:
    """One program: its function, those it calls, and the maps they use."""

    def __init__(self, source: _Object, entry: _Function) -> None:
        self.source = source
        self.maps = list(source.maps)
        self._data_maps: dict[int, int] = {}
        self._placed: dict[tuple[int, int], int] = {}
        self._queue: list[_Function] = []
        self.code = bytearray()
        self._calls: list[tuple[int, _Function]] = []
        self.lines: list[tuple[int, int]] = []
        self._place(entry)
        at = 0
        while at < len(self._queue):
            self._link(self._queue[at])
            at += 1
        for slot, callee in self._calls:
            struct.pack_into(
                "<i", self.code, slot * 8 + 4, self._placed[callee.section, callee.start] - slot - 1
            )

    def _place(self, function: _Function) -> None:
        key = (function.section, function.start)
        if key in self._placed:
            return
        self._placed[key] = sum(len(one.data) for one in self._queue) // 8
        self._queue.append(function)
        if sum(len(one.data) for one in self._queue) // 8 > MAX_SLOTS:
            raise _reject("the program is too large", expected=f"at most {MAX_SLOTS} slots")

    def _link(self, function: _Function) -> None:
        base = len(self.code) // 8
        section = self.source.sections[function.section]
        self.code += function.data
        slots = len(function.data) // 8
        tail = False
        for index in range(slots):
            code, regs = function.data[index * 8], function.data[index * 8 + 1]
            relocation = section.relocations.get(function.start + index * 8)
            if tail:
                tail = False
            elif code == _LDDW:
                if index + 1 >= slots:
                    raise _reject(f"function {function.name!r} ends in half an lddw")
                tail = True
                if relocation is not None:
                    self._refer(base + index, *relocation)
            elif code == _CALL and (regs >> 4 == 1 or relocation is not None):
                self._call(base + index, function, index, relocation)
            elif relocation is not None:
                raise _reject(
                    f"relocation of an instruction that has none in function {function.name!r}",
                    f"type {relocation[0]} at slot {index}",
                    expected="lddw or call",
                )
        end = function.start + len(function.data)
        for record in self.source.lines.get(section.name, []):
            if (
                function.start <= record.insn_offset < end
                and not record.file.endswith(".h")
                and record.line > 0
            ):
                self.lines.append((base + (record.insn_offset - function.start) // 8, record.line))

    def _call(self, slot: int, caller: _Function, index: int, relocation: tuple[int, _Symbol] | None) -> None:
        (distance,) = struct.unpack_from("<i", self.code, slot * 8 + 4)
        if relocation is None:
            section, offset = caller.section, caller.start + (index + 1 + distance) * 8
        else:
            kind, symbol = relocation
            if kind != _R_BPF_64_32:
                raise _reject(
                    "a call has a relocation of the wrong type", str(kind), expected=str(_R_BPF_64_32)
                )
            if symbol.section <= 0:
                raise _reject(
                    f"function {symbol.name!r} is not defined",
                    "an undefined symbol",
                    do="define it, or use a helper of assay.h",
                )
            section, offset = symbol.section, symbol.value + (distance + 1) * 8
        callee = self.source.function_at(section, offset)
        self._place(callee)
        self._calls.append((slot, callee))

    def _refer(self, slot: int, kind: int, symbol: _Symbol) -> None:
        """An lddw of something that has an address: a map, or data that becomes one."""
        low, high = (struct.unpack_from("<I", self.code, slot * 8 + at)[0] for at in (4, 12))
        offset = symbol.value + (low | high << 32)
        if kind != _R_BPF_64_64:
            raise _reject("an lddw has a relocation of the wrong type", str(kind), expected=str(_R_BPF_64_64))
        if symbol.section <= 0:
            raise _reject(
                f"{symbol.name!r} is not defined", "an undefined symbol", do="define it in this program"
            )
        section = self.source.sections[symbol.section]
        if section.name in (".maps", "maps"):
            if (symbol.section, offset) not in self.source.map_places:
                raise _reject("a reference into the middle of a map declaration", f"offset {offset}")
            self._set_reference(slot, 1, self.source.map_places[symbol.section, offset], 0)
            return
        if not 0 <= offset < max(section.size, 1):
            raise _reject(
                f"a reference outside section {section.name!r}", f"offset {offset} of {section.size}"
            )
        self._set_reference(slot, 2, self._data_map(symbol.section), offset)

    def _set_reference(self, slot: int, source: int, low: int, high: int) -> None:
        self.code[slot * 8 + 1] = self.code[slot * 8 + 1] & 0x0F | source << 4
        struct.pack_into("<I", self.code, slot * 8 + 4, low)
        struct.pack_into("<I", self.code, slot * 8 + 12, high)

    def _data_map(self, index: int) -> int:
        if index in self._data_maps:
            return self._data_maps[index]
        section = self.source.sections[index]
        name = _short(section.name)
        if section.size > MAX_VALUE_SIZE:
            raise _reject(
                f"section {section.name!r} is too large",
                f"{section.size} bytes",
                expected=f"at most {MAX_VALUE_SIZE} bytes",
            )
        if section.name.startswith(".rodata"):
            made = MapDef(name, MapType.ARRAY, 4, section.size, 1, int(MapFlags.RDONLY_PROG), section.data)
        elif section.name.startswith((".bss", ".data")) and not any(section.data):
            made = MapDef(name, MapType.ARRAY, 4, section.size, 1)
        else:
            raise _reject(
                f"a reference to section {section.name!r}",
                "initialised writable data"
                if section.name.startswith(".data")
                else "a section that becomes no map",
                expected="a map, constants (.rodata) or zeroed globals (.bss)",
                do="make the variable const, or start it at zero",
            )
        self._data_maps[index] = len(self.maps)
        self.maps.append(made)
        return self._data_maps[index]


def read_programs(elf: bytes) -> tuple[Program, ...]:
    """Every program of a BPF object, in the order of their sections.

    Raises ProgramRejected (stage `compile`) for what is malformed, for another machine, or needs what the engine does
    not have.
    """
    source = _Object(elf)
    found: list[Program] = []
    for index, section in enumerate(source.sections):
        if section.kind != "SHT_PROGBITS" or section.name.partition("/")[0] not in SECTIONS:
            continue
        entries = [s for s in source.symbols if s.is_function and s.section == index]
        for symbol in sorted(entries, key=lambda s: s.value):
            linked = _Linker(source, source.function_at(index, symbol.value))
            if len(linked.maps) > MAX_MAPS:
                raise _reject(
                    f"program {symbol.name!r} has too many maps",
                    str(len(linked.maps)),
                    expected=f"at most {MAX_MAPS}",
                )
            found.append(
                Program(
                    name=symbol.name,
                    hook=SECTIONS[section.name.partition("/")[0]],
                    insns=bytes(linked.code),
                    maps=tuple(linked.maps),
                    lines=tuple(linked.lines),
                )
            )
    if not found:
        _no_program(source)
    return tuple(found)


def _no_program(source: _Object) -> None:
    names = [
        s.name
        for i, s in enumerate(source.sections)
        if any(y.is_function and y.section == i for y in source.symbols)
    ]
    hint = "".join(did_you_mean(name, list(SECTIONS)) for name in names[:1])
    raise _reject(
        "the object holds no program",
        f"functions in sections {', '.join(names) or 'none'}{hint}",
        expected=f"a function in section {names_text()}",
        do='put SEC("net_rx") before the function',
    )


def read_program(elf: bytes, name: str | None = None) -> Program:
    """The one program of an object, or the one of that name. Raises ProgramRejected as `read_programs` does."""
    programs = read_programs(elf)
    if name is None:
        if len(programs) == 1:
            return programs[0]
        raise _reject(
            "the object holds several programs", ", ".join(p.name for p in programs), do="say which"
        )
    for program in programs:
        if program.name == name:
            return program
    known = [p.name for p in programs]
    raise _reject(f"the object has no program {name!r}{did_you_mean(name, known)}", ", ".join(known))
