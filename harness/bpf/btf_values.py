"""Bytes as values according to BTF: integers, characters, enums, arrays, structs, unions, sections.

Format: Linux's Documentation/bpf/btf.rst.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from harness.bpf.btf import Btf, BtfError, BtfType

_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM = 1, 2, 3, 4, 5, 6
_VAR, _DATASEC, _FLOAT, _ENUM64 = 14, 15, 16, 19
_SIGNED, _CHAR, _BOOL = 1, 2, 4
_FLOATS: Final = {4: "<f", 8: "<d"}
_DEPTH_MAX: Final = 16
_NAME_BYTES: Final = 15

Value = bool | int | float | str | list[Any] | dict[str, Any]
"""A value for JSON: an integer, a name of an enum, a text, a list, an object by member."""


@dataclass(frozen=True, slots=True)
class MapTypes:
    """The types of one map's entries; None if the object has none (a legacy map)."""

    btf: Btf | None
    key: BtfType | None = None
    value: BtfType | None = None

    def key_of(self, data: bytes) -> Value:
        """A key's bytes as its value; hexadecimal without a type."""
        return self._of(self.key, data)

    def value_of(self, data: bytes) -> Value:
        """A value's bytes as its value; hexadecimal without a type."""
        return self._of(self.value, data)

    def _of(self, kind: BtfType | None, data: bytes) -> Value:
        if self.btf is None or kind is None:
            return data.hex()
        try:
            return decode(self.btf, kind, data)
        except BtfError:
            return data.hex()


def map_types(obj: bytes) -> dict[str, MapTypes]:
    """The types of the maps that an object declares, by the maps' names on the board; empty without BTF."""
    try:
        section = ELFFile(io.BytesIO(obj)).get_section_by_name(".BTF")
        btf = Btf(section.data()) if section is not None else None
    except (ELFError, BtfError, struct.error):
        return {}
    if btf is None:
        return {}
    found = {}
    for name, record in btf.section_variables(".maps").items():
        pointers = dict(btf.members(record))
        parts = {
            part: btf.resolve(btf.pointed(pointers[part])) if part in pointers else None
            for part in ("key", "value")
        }
        found[name[:_NAME_BYTES]] = MapTypes(btf, parts["key"], parts["value"])
    for one in btf.sections():
        if one.name.startswith((".rodata", ".bss", ".data")):
            found[one.name[:_NAME_BYTES]] = MapTypes(btf, None, one)
    return found


def decode(btf: Btf, kind: BtfType, data: bytes, depth: int = 0) -> Value:
    """A value of the type from its bytes. Raises BtfError for a type without values, or too few bytes."""
    if depth > _DEPTH_MAX:
        raise BtfError("a type is nested too deeply to be shown")
    if kind.kind == _INT:
        return _integer(kind, data)
    if kind.kind == _PTR:
        return hex(int.from_bytes(_bytes(data, 8), "little"))
    if kind.kind in (_ENUM, _ENUM64):
        return _enum(btf, kind, data)
    if kind.kind == _FLOAT and kind.size_or_type in _FLOATS:
        number: float = struct.unpack(_FLOATS[kind.size_or_type], _bytes(data, kind.size_or_type))[0]
        return number
    if kind.kind == _ARRAY:
        return _array(btf, kind, data, depth)
    if kind.kind in (_STRUCT, _UNION):
        return _record(btf, kind, data, depth)
    if kind.kind == _DATASEC:
        return _section(btf, kind, data, depth)
    raise BtfError(f"a value of kind {kind.kind} cannot be shown")


def _bytes(data: bytes, size: int) -> bytes:
    if len(data) < size:
        raise BtfError(f"{len(data)} bytes where the type has {size}")
    return data[:size]


def _integer(kind: BtfType, data: bytes) -> Value:
    (about,) = struct.unpack("<I", kind.extra)
    raw = _bytes(data, kind.size_or_type)
    encoding = about >> 24 & 0xF
    number = int.from_bytes(raw, "little", signed=bool(encoding & _SIGNED))
    return bool(number) if encoding & _BOOL else number


def _enum(btf: Btf, kind: BtfType, data: bytes) -> Value:
    raw = _bytes(data, kind.size_or_type)
    step = "<II" if kind.kind == _ENUM else "<III"
    mask = (1 << 8 * kind.size_or_type) - 1
    number = int.from_bytes(raw, "little")
    for name, *words in struct.iter_unpack(step, kind.extra):
        if sum(word << 32 * place for place, word in enumerate(words)) & mask == number:
            return btf.string(name)
    return int.from_bytes(raw, "little", signed=kind.flag)


def _array(btf: Btf, kind: BtfType, data: bytes, depth: int) -> Value:
    element, _, count = struct.unpack("<III", kind.extra)
    size, one = btf.size(element), btf.resolve(element)
    raw = _bytes(data, size * count)
    if _is_text(one):
        text = raw.split(b"\0", 1)[0]
        if text.isascii() and text.decode("ascii").isprintable():
            return text.decode("ascii")
    return [decode(btf, one, raw[at : at + size], depth + 1) for at in range(0, size * count, size or 1)]


def _is_text(one: BtfType) -> bool:
    """Whether it is `char` itself: `unsigned char` is a number (clang marks neither as a character)."""
    return one.kind == _INT and one.size_or_type == 1 and one.name == "char"


def _record(btf: Btf, kind: BtfType, data: bytes, depth: int) -> Value:
    raw = _bytes(data, kind.size_or_type)
    whole = int.from_bytes(raw, "little")
    out: dict[str, Any] = {}
    for place, (name, number, offset) in enumerate(struct.iter_unpack("<III", kind.extra)):
        bits = offset >> 24 if kind.flag else 0
        at = offset & 0xFF_FFFF if kind.flag else offset
        member = btf.resolve(number)
        label = btf.string(name) or f"member {place}"
        if bits:
            out[label] = _bits(member, whole >> at & (1 << bits) - 1, bits)
        else:
            out[label] = decode(btf, member, raw[at // 8 :], depth + 1)
    return out


def _bits(member: BtfType, number: int, bits: int) -> int:
    signed = member.kind == _INT and struct.unpack("<I", member.extra)[0] >> 24 & _SIGNED
    return number - (1 << bits) if signed and number >> (bits - 1) else number


def _section(btf: Btf, kind: BtfType, data: bytes, depth: int) -> Value:
    out: dict[str, Any] = {}
    for number, offset, _size in struct.iter_unpack("<III", kind.extra):
        variable = btf.type(number)
        if variable.kind == _VAR:
            out[variable.name] = decode(btf, btf.resolve(variable.size_or_type), data[offset:], depth + 1)
    return out


def text_of(value: Value) -> str:
    """A value as C would initialise it: `{.packets = 3, .ports = {80, 443}}`."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f".{name} = {text_of(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(text_of(one) for one in value) + "}"
    return f'"{value}"' if isinstance(value, str) and not value.isidentifier() else str(value)
