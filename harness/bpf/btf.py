"""The parts of BTF that a loader needs: the map declarations in `.maps`, and the source lines in `.BTF.ext`.

Format: Linux's Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MAGIC = 0xEB9F
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _FUNC_PROTO, _VAR, _DATASEC = 8, 9, 10, 11, 13, 14, 15
_FLOAT, _DECL_TAG, _TYPE_TAG, _ENUM64 = 16, 17, 18, 19
_NAMED_ALIASES = (_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG)
_EXTRA_FIXED = {_INT: 4, _ARRAY: 12, _VAR: 4, _DECL_TAG: 4}
_EXTRA_EACH = {_STRUCT: 12, _UNION: 12, _ENUM: 8, _FUNC_PROTO: 8, _DATASEC: 12, _ENUM64: 12}
_SIZED = (_INT, _STRUCT, _UNION, _ENUM, _FLOAT, _ENUM64)
_LAST_KIND = 19
_MAX_DEPTH = 32


class BtfError(ValueError):
    """The BTF is malformed; the text says where."""


@dataclass(frozen=True, slots=True)
class BtfType:
    """One type: `size_or_type` is the size of sized kinds, the type id that others refer to."""

    kind: int
    name: str
    size_or_type: int
    extra: bytes
    count: int
    flag: bool = False  # kind_flag: a struct's offsets hold bit-field sizes, an enum's values are signed


@dataclass(frozen=True, slots=True)
class LineRecord:
    """One line of `.BTF.ext`: byte offset of the instruction in its section, and its place in the source.

    `column` counts from 1 and is 0 where clang left none; `text` is the line itself, empty for what came from no file.
    """

    insn_offset: int
    file: str
    line: int
    column: int = 0
    text: str = ""


def _header(data: bytes, what: str, words: int) -> tuple[int, ...]:
    if len(data) < 8 + 4 * words:
        raise BtfError(f"{what} is {len(data)} bytes, too short for its header")
    magic, _version, _flags, header_length = struct.unpack_from("<HBBI", data)
    if magic != _MAGIC:
        raise BtfError(f"{what} begins with {magic:#x}, not {_MAGIC:#x}")
    if header_length < 8 + 4 * words or header_length > len(data):
        raise BtfError(f"{what} has a header of {header_length} bytes")
    return (header_length, *struct.unpack_from(f"<{words}I", data, 8))


def _part(data: bytes, start: int, length: int, what: str) -> bytes:
    if start + length > len(data):
        raise BtfError(f"{what} ends at byte {start + length} of {len(data)}")
    return data[start : start + length]


class Btf:
    """The types of a `.BTF` section. Raises BtfError if it is malformed."""

    def __init__(self, data: bytes) -> None:
        base, type_offset, type_length, string_offset, string_length = _header(data, ".BTF", 4)
        self._strings = _part(data, base + string_offset, string_length, ".BTF strings")
        self._types: list[BtfType] = [BtfType(0, "", 0, b"", 0)]
        records = _part(data, base + type_offset, type_length, ".BTF types")
        at = 0
        while at < len(records):
            if at + 12 > len(records):
                raise BtfError("the last type of .BTF is truncated")
            name, info, size_or_type = struct.unpack_from("<III", records, at)
            kind, count = info >> 24 & 0x1F, info & 0xFFFF
            if not 0 < kind <= _LAST_KIND:
                raise BtfError(f"type {len(self._types)} of .BTF has the unknown kind {kind}")
            length = _EXTRA_FIXED.get(kind, 0) + _EXTRA_EACH.get(kind, 0) * count
            extra = _part(records, at + 12, length, f"type {len(self._types)} of .BTF")
            self._types.append(BtfType(kind, self.string(name), size_or_type, extra, count, bool(info >> 31)))
            at += 12 + length

    def string(self, offset: int) -> str:
        """The string at an offset of the string table."""
        if offset >= len(self._strings):
            raise BtfError(f"string {offset} of .BTF is outside its {len(self._strings)} bytes")
        end = self._strings.find(b"\0", offset)
        return self._strings[offset : end if end >= 0 else None].decode("utf-8", "replace")

    def type(self, number: int) -> BtfType:
        """A type by its id."""
        if number >= len(self._types):
            raise BtfError(f"type {number} of .BTF does not exist ({len(self._types)} types)")
        return self._types[number]

    def resolve(self, number: int) -> BtfType:
        """The type behind typedefs and qualifiers."""
        for _ in range(_MAX_DEPTH):
            found = self.type(number)
            if found.kind not in _NAMED_ALIASES:
                return found
            number = found.size_or_type
        raise BtfError(f"type {number} of .BTF refers to itself")

    def size(self, number: int) -> int:
        """Bytes of a value of the type."""
        count = 1
        for _ in range(_MAX_DEPTH):
            found = self.resolve(number)
            if found.kind in _SIZED:
                return count * found.size_or_type
            if found.kind == _PTR:
                return count * 8
            if found.kind != _ARRAY:
                raise BtfError(f"type {number} of .BTF has no size")
            number, _, elements = struct.unpack("<III", found.extra)
            count *= elements
        raise BtfError(f"type {number} of .BTF is nested too deeply")

    def sections(self) -> list[BtfType]:
        """Each section that declares variables, as one type: the variables with their places."""
        return [one for one in self._types if one.kind == _DATASEC]

    def section_variables(self, section: str) -> dict[str, BtfType]:
        """Name to resolved type of the variables that the program put into a section."""
        found: dict[str, BtfType] = {}
        for one in self._types:
            if one.kind != _DATASEC or one.name != section:
                continue
            for number, _offset, _size in struct.iter_unpack("<III", one.extra):
                variable = self.type(number)
                if variable.kind == _VAR:
                    found[variable.name] = self.resolve(variable.size_or_type)
        return found

    def members(self, record: BtfType) -> Iterator[tuple[str, int]]:
        """(name, type id) of each member of a struct."""
        if record.kind != _STRUCT:
            raise BtfError(f"{record.name or 'a map declaration'} in .BTF is not a struct")
        for name, number, _offset in struct.iter_unpack("<III", record.extra):
            yield self.string(name), number

    def pointed(self, number: int) -> int:
        """The type id that a pointer type points to."""
        found = self.resolve(number)
        if found.kind != _PTR:
            raise BtfError(f"type {number} of .BTF is not a pointer")
        return found.size_or_type

    def integer(self, number: int) -> int:
        """The number N in `int (*x)[N]`."""
        found = self.resolve(self.pointed(number))
        if found.kind != _ARRAY:
            raise BtfError(f"type {number} of .BTF is not a pointer to an array")
        return int(struct.unpack("<III", found.extra)[2])


def line_records(ext: bytes, btf: Btf) -> dict[str, list[LineRecord]]:
    """The lines of each program section, from `.BTF.ext`. Raises BtfError if it is malformed."""
    base, _func_offset, _func_length, line_offset, line_length = _header(ext, ".BTF.ext", 4)
    data = _part(ext, base + line_offset, line_length, ".BTF.ext lines")
    found: dict[str, list[LineRecord]] = {}
    if not data:
        return found
    if len(data) < 4:
        raise BtfError(".BTF.ext lines are truncated")
    (record_size,) = struct.unpack_from("<I", data)
    if record_size < 16:
        raise BtfError(f".BTF.ext has line records of {record_size} bytes")
    at = 4
    while at + 8 <= len(data):
        section, count = struct.unpack_from("<II", data, at)
        at += 8
        if at + count * record_size > len(data):
            raise BtfError(f".BTF.ext lines end at byte {at + count * record_size} of {len(data)}")
        records = found.setdefault(btf.string(section), [])
        for _ in range(count):
            insn_offset, file_name, line_text, line_column = struct.unpack_from("<IIII", data, at)
            records.append(
                LineRecord(
                    insn_offset,
                    btf.string(file_name),
                    line_column >> 10,
                    line_column & 0x3FF,
                    btf.string(line_text),
                )
            )
            at += record_size
    return found
