"""BPF objects to programs: sections to hooks, declarations to maps, relocations to references and calls.

Supported: programs in the sections that `contracts.ebpf.hooks` names, each optionally followed by `/name`; functions
in `.text`; `.maps` (BTF) and `maps` (legacy) declarations; `.rodata*` as frozen maps, `.bss*` as writable ones. What is
not understood is refused: nothing of an object is dropped without a word.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.ebpf.engine import MAX_MAPS, MAX_SLOTS, MAX_VALUE_SIZE
from contracts.ebpf.hooks import SECTIONS, names_text
from contracts.errors import ProgramRejected, did_you_mean
from contracts.program import MapDef, MapFlags, MapType, Place, Program
from harness.bpf.btf import Btf, BtfError, LineRecord, line_records
from harness.bpf.dwarf import declared_at, shown_path
from harness.bpf.object_maps import MAP_SECTIONS, NAME_BYTES, check_names, declared_maps
from harness.bpf.object_sections import Section, Symbol, read_object, reject

_R_BPF_64_64, _R_BPF_64_32 = 1, 10
_LDDW, _CALL = 0x18, 0x85
_TRAP = "__bpf_trap"
_DATA_SECTIONS = (".rodata", ".bss", ".data")
_CONSTANT_SECTIONS = (".rodata", ".data.rel.ro")


@dataclass(frozen=True, slots=True)
class _Function:
    section: int
    start: int
    data: bytes
    name: str


class _Object:
    """The parts of an object file that a program needs."""

    def __init__(self, elf: bytes) -> None:
        self.elf = elf
        self.sections, self.symbols = read_object(elf)
        self.btf: Btf | None = None
        self.lines: dict[str, list[LineRecord]] = {}
        try:
            for section in self.sections:
                if section.name == ".BTF" and section.data:
                    self.btf = Btf(section.data)
            for section in self.sections:
                if section.name == ".BTF.ext" and section.data and self.btf is not None:
                    self.lines = line_records(section.data, self.btf)
            for index, section in enumerate(self.sections):
                if section.name in MAP_SECTIONS:
                    self.check_pointers(index)
            self.maps, self.map_places = declared_maps(self.sections, self.symbols, self.btf)
        except (BtfError, struct.error) as malformed:
            raise reject(
                "the object's BTF is malformed", str(malformed), do="compile it again with -g"
            ) from malformed

    def check_pointers(self, index: int) -> None:
        """Raises ProgramRejected if a data section contains an address: the kernel would store a plain offset."""
        section = self.sections[index]
        if not section.relocations:
            return
        offset, (_, target) = min(section.relocations.items(), key=lambda one: one[0])
        addend = int.from_bytes(section.data[offset : offset + 8], "little")
        holder = next(
            (
                s
                for s in self.symbols
                if s.section == index and s.name and s.value <= offset < s.value + max(s.size, 1)
            ),
            None,
        )
        place = declared_at(self.elf, holder.name) if holder is not None else None
        constant = section.name.startswith(_CONSTANT_SECTIONS)
        what = f"a pointer in {'constants' if constant else 'a variable'} cannot be relocated"
        raise reject(
            what,
            f"{f'{place}: ' if place else ''}{what}: "
            f"{repr(holder.name) if holder is not None else f'byte {offset}'} in section {section.name} holds the "
            f"address of {self.described(target, target.value + addend)}",
            expected="numbers and texts, whole: `char words[2][8]` holds its texts, `char *words[2]` their addresses",
            do="keep the texts themselves in the array, and choose functions and maps with `if` or `switch`",
        )

    def described(self, symbol: Symbol, offset: int) -> str:
        """The kind of a symbol, for messages."""
        if symbol.section <= 0:
            return f"{symbol.name!r}, which is not defined"
        section = self.sections[symbol.section]
        name = symbol.name
        if not name:
            name = next(
                (s.name for s in self.symbols if s.name and (s.section, s.value) == (symbol.section, offset)),
                "",
            )
        if section.is_code:
            return f"function {name!r}" if name else f"code of section {section.name}"
        if section.name in MAP_SECTIONS:
            return f"map {name!r}" if name else "a map"
        return repr(name) if name else f"a constant or variable of section {section.name}"

    def place_at(self, section: int, offset: int) -> str:
        """`file:line: ` of an instruction, empty when it is not known."""
        found = ""
        for record in self.lines.get(self.sections[section].name, []):
            if record.insn_offset <= offset and record.line > 0:
                found = f"{shown_path(record.file)}:{record.line}: "
        return found

    def function_at(self, section: int, offset: int) -> _Function:
        """The function that starts at an offset of a section."""
        for symbol in self.symbols:
            if symbol.is_function and symbol.section == section and symbol.value == offset:
                data = self.sections[section].data[offset : offset + symbol.size]
                if symbol.size == 0 or symbol.size % 8 or offset % 8 or len(data) != symbol.size:
                    raise reject(
                        f"function {symbol.name!r} is malformed",
                        f"{symbol.size} bytes at {offset} of section {self.sections[section].name!r}",
                        expected="a whole number of 8-byte slots inside its section",
                    )
                return _Function(section, offset, data, symbol.name)
        raise reject(
            "a call has no target function", f"offset {offset} of section {self.sections[section].name!r}"
        )


class _Linker:
    """One program: its function, those it calls, and the maps they use."""

    def __init__(self, source: _Object, entry: _Function) -> None:
        self.source = source
        self.maps = list(source.maps)
        self._data_maps: dict[int, int] = {}
        self._data_names: list[str] = []
        self._placed: dict[tuple[int, int], int] = {}
        self._queue: list[_Function] = []
        self.code = bytearray()
        self._calls: list[tuple[int, _Function]] = []
        self.lines: list[tuple[int, int]] = []
        self.places: list[Place] = []
        self._place(entry)
        at = 0
        while at < len(self._queue):
            self._link(self._queue[at])
            at += 1
        check_names([*(one.name for one in source.maps), *self._data_names])
        for slot, callee in self._calls:
            struct.pack_into(
                "<i", self.code, slot * 8 + 4, self._placed[callee.section, callee.start] - slot - 1
            )

    @property
    def placed(self) -> set[tuple[int, int]]:
        """The functions of the program, by section and offset."""
        return set(self._placed)

    def _place(self, function: _Function) -> None:
        key = (function.section, function.start)
        if key in self._placed:
            return
        self._placed[key] = sum(len(one.data) for one in self._queue) // 8
        self._queue.append(function)
        if sum(len(one.data) for one in self._queue) // 8 > MAX_SLOTS:
            raise reject("the program is too large", expected=f"at most {MAX_SLOTS} slots")

    def _link(self, function: _Function) -> None:
        base = len(self.code) // 8
        section = self.source.sections[function.section]
        self.code += function.data
        slots = len(function.data) // 8
        self._check_offsets(function, section)
        tail = False
        for index in range(slots):
            code, regs = function.data[index * 8], function.data[index * 8 + 1]
            relocation = section.relocations.get(function.start + index * 8)
            if tail and relocation is None:
                tail = False
            elif not tail and code == _LDDW:
                if index + 1 >= slots:
                    raise reject(f"function {function.name!r} ends in half an lddw")
                tail = True
                if relocation is not None:
                    where = self.source.place_at(function.section, function.start + index * 8)
                    self._refer(base + index, *relocation, where)
            elif not tail and code == _CALL and (regs >> 4 == 1 or relocation is not None):
                self._call(base + index, function, index, relocation)
            elif relocation is not None:
                raise reject(
                    f"unexpected relocation of an instruction in function {function.name!r}",
                    f"type {relocation[0]} at slot {index}",
                    expected="lddw or call",
                )
        self._take_lines(function, section, base)

    def _check_offsets(self, function: _Function, section: Section) -> None:
        end = function.start + len(function.data)
        odd = [at for at in section.relocations if function.start <= at < end and at % 8]
        if odd:
            raise reject(
                f"a relocation in function {function.name!r} is inside an instruction",
                f"offset {odd[0]} of section {section.name!r}",
                expected="a multiple of 8",
                do="compile it again",
            )

    def _take_lines(self, function: _Function, section: Section, base: int) -> None:
        end = function.start + len(function.data)
        for record in self.source.lines.get(section.name, []):
            if not function.start <= record.insn_offset < end or record.line <= 0:
                continue
            slot = base + (record.insn_offset - function.start) // 8
            self.places.append(Place(slot, record.file, record.line, record.text))
            if not record.file.endswith(".h"):
                self.lines.append((slot, record.line))

    def _call(self, slot: int, caller: _Function, index: int, relocation: tuple[int, Symbol] | None) -> None:
        (distance,) = struct.unpack_from("<i", self.code, slot * 8 + 4)
        if relocation is None:
            section, offset = caller.section, caller.start + (index + 1 + distance) * 8
        else:
            kind, symbol = relocation
            if kind != _R_BPF_64_32:
                raise reject(
                    "a call has a relocation of the wrong type", str(kind), expected=str(_R_BPF_64_32)
                )
            if symbol.section <= 0:
                where = self.source.place_at(caller.section, caller.start + index * 8)
                raise _undefined_function(symbol.name, where)
            section, offset = symbol.section, symbol.value + (distance + 1) * 8
        callee = self.source.function_at(section, offset)
        self._place(callee)
        self._calls.append((slot, callee))

    def _refer(self, slot: int, kind: int, symbol: Symbol, where: str) -> None:
        """An lddw of an address: a map, or data that becomes a map."""
        low, high = (struct.unpack_from("<I", self.code, slot * 8 + at)[0] for at in (4, 12))
        offset = symbol.value + (low | high << 32)
        if kind != _R_BPF_64_64:
            raise reject("an lddw has a relocation of the wrong type", str(kind), expected=str(_R_BPF_64_64))
        if symbol.section <= 0:
            raise reject(
                f"{symbol.name!r} is not defined",
                f"{where}an undefined symbol",
                do="define it in this program",
            )
        section = self.source.sections[symbol.section]
        if section.is_code:
            raise reject(
                "the address of a function cannot be taken",
                f"{where}the address of {self.source.described(symbol, offset)}",
                expected="calls by name",
                do="choose between functions with `if` or `switch`",
            )
        if section.name in MAP_SECTIONS:
            if (symbol.section, offset) not in self.source.map_places:
                raise reject("a reference into the middle of a map declaration", f"offset {offset}")
            self._set_reference(slot, 1, self.source.map_places[symbol.section, offset], 0)
            return
        if not 0 <= offset < max(section.size, 1):
            raise reject(
                f"a reference outside section {section.name!r}", f"offset {offset} of {section.size}"
            )
        self._set_reference(slot, 2, self._data_map(symbol.section, where), offset)

    def _set_reference(self, slot: int, source: int, low: int, high: int) -> None:
        self.code[slot * 8 + 1] = self.code[slot * 8 + 1] & 0x0F | source << 4
        struct.pack_into("<I", self.code, slot * 8 + 4, low)
        struct.pack_into("<I", self.code, slot * 8 + 12, high)

    def _data_map(self, index: int, where: str) -> int:
        if index in self._data_maps:
            return self._data_maps[index]
        section = self.source.sections[index]
        if section.name.startswith(_DATA_SECTIONS):
            self.source.check_pointers(index)
        name = section.name[:NAME_BYTES]
        if section.size > MAX_VALUE_SIZE:
            raise reject(
                f"section {section.name!r} is too large",
                f"{where}{section.size} bytes",
                expected=f"at most {MAX_VALUE_SIZE} bytes",
            )
        if section.name.startswith(".rodata"):
            made = MapDef(name, MapType.ARRAY, 4, section.size, 1, int(MapFlags.RDONLY_PROG), section.data)
        elif section.name.startswith((".bss", ".data")) and not any(section.data):
            made = MapDef(name, MapType.ARRAY, 4, section.size, 1)
        else:
            raise reject(
                f"a reference to section {section.name!r}",
                where
                + (
                    "initialised writable data"
                    if section.name.startswith(".data")
                    else "a section that does not become a map"
                ),
                expected="a map, constants (.rodata) or zeroed globals (.bss)",
                do="make the variable const, or initialise it to zero",
            )
        self._data_maps[index] = len(self.maps)
        self._data_names.append(section.name)
        self.maps.append(made)
        return self._data_maps[index]


_C_LIBRARY = ("mem", "str", "print", "malloc", "free", "abort", "exit")


def _undefined_function(name: str, where: str) -> ProgramRejected:
    if name == _TRAP:
        return reject(
            "the compiler found code that must not be reached",
            f"{where}a call of {name}",
            do="set every variable before it is read, return from every function, and remove __builtin_trap",
        )
    library = name.startswith(_C_LIBRARY)
    return reject(
        f"function {name!r} is not defined",
        f"{where}an undefined symbol{', of the C library, which programs do not have' if library else ''}",
        do="define it, or use a helper of assay.h",
    )


def read_programs(elf: bytes) -> tuple[Program, ...]:
    """Every program of a BPF object, in section order.

    Raises ProgramRejected (stage `compile`) for an object that is malformed, is for another machine, or needs an
    unsupported feature.
    """
    source = _Object(elf)
    found: list[Program] = []
    placed: set[tuple[int, int]] = set()
    for index, section in enumerate(source.sections):
        if section.kind != "SHT_PROGBITS" or section.name.partition("/")[0] not in SECTIONS:
            continue
        entries = [s for s in source.symbols if s.is_function and s.section == index]
        if section.size and not entries:
            raise reject(
                f"section {section.name!r} holds no function",
                f"{section.size} bytes",
                expected="a function, or another section for data",
            )
        for symbol in sorted(entries, key=lambda s: s.value):
            linked = _Linker(source, source.function_at(index, symbol.value))
            placed |= linked.placed
            found.append(_program(symbol, section, linked))
    if not found:
        _no_program(source)
    _check_programs(source, found, placed)
    return tuple(found)


def _program(symbol: Symbol, section: Section, linked: _Linker) -> Program:
    if not symbol.name.isascii() or not symbol.name.isprintable():
        raise reject(f"program {symbol.name!r} has a name that is not ASCII", symbol.name)
    if len(linked.maps) > MAX_MAPS:
        raise reject(
            f"program {symbol.name!r} has too many maps",
            str(len(linked.maps)),
            expected=f"at most {MAX_MAPS}",
        )
    return Program(
        name=symbol.name,
        hook=SECTIONS[section.name.partition("/")[0]],
        insns=bytes(linked.code),
        maps=tuple(linked.maps),
        lines=tuple(linked.lines),
        places=tuple(linked.places),
    )


def _check_programs(source: _Object, found: Sequence[Program], placed: set[tuple[int, int]]) -> None:
    """Raises ProgramRejected for two programs of one name, and for a program of a hook that does not exist."""
    names = [program.name for program in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise reject("two programs have the same name", twice[0], do="rename one")
    for symbol in source.symbols:
        if not symbol.is_function or symbol.section <= 0 or (symbol.section, symbol.value) in placed:
            continue
        name = source.sections[symbol.section].name
        if not name.startswith(".text"):
            hint = did_you_mean(name.partition("/")[0], list(SECTIONS))
            raise reject(
                f"function {symbol.name!r} is on no hook",
                f"section {name!r}{hint}",
                expected=f"a section {names_text()}",
                do="correct SEC(), or remove the function",
            )


def _no_program(source: _Object) -> None:
    names = [
        s.name
        for i, s in enumerate(source.sections)
        if any(y.is_function and y.section == i for y in source.symbols)
    ]
    hint = "".join(did_you_mean(name, list(SECTIONS)) for name in names[:1])
    raise reject(
        "the object contains no program",
        f"functions in sections {', '.join(names) or 'none'}{hint}",
        expected=f"a function in section {names_text()}",
        do='put SEC("net_rx") before the function',
    )


def read_program(elf: bytes, name: str | None = None) -> Program:
    """The only program of an object, or the one of that name. Raises ProgramRejected like `read_programs`."""
    programs = read_programs(elf)
    if name is None:
        if len(programs) == 1:
            return programs[0]
        raise reject(
            "the object contains several programs", ", ".join(p.name for p in programs), do="name one"
        )
    for program in programs:
        if program.name == name:
            return program
    known = [p.name for p in programs]
    raise reject(f"the object has no program {name!r}{did_you_mean(name, known)}", ", ".join(known))
