"""The sections and symbols of a BPF object file, every size checked against the file."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from contracts.errors import ProgramRejected

_EM_BPF = 247
_MAX_ELF_BYTES = 16 << 20
_SHF_EXECINSTR = 4


def reject(what: str, seen: str = "", *, expected: str = "", do: str = "") -> ProgramRejected:
    """A refusal of the object."""
    return ProgramRejected(what, stage="compile", reason=seen or what, expected=expected, do=do)


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol; `section` is -1 if it is in no section of the object (undefined: 0)."""

    name: str
    section: int
    value: int
    size: int
    is_function: bool


@dataclass(slots=True)
class Section:
    """One section: its bytes (none of `.bss`), and its relocations, (type, symbol) by offset."""

    name: str
    kind: str
    size: int
    data: bytes
    is_code: bool = False
    relocations: dict[int, tuple[int, Symbol]] = field(default_factory=dict)


def read_object(elf: bytes) -> tuple[list[Section], list[Symbol]]:
    """Sections and symbols of an object. Raises ProgramRejected (stage `compile`)."""
    if len(elf) > _MAX_ELF_BYTES:
        raise reject(
            "the object is too large", f"{len(elf)} bytes", expected=f"at most {_MAX_ELF_BYTES} bytes"
        )
    if elf[:4] != b"\x7fELF":
        raise reject(
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
        raise reject(
            "the object is malformed or truncated", f"{type(bad).__name__}: {bad}", do="compile it again"
        ) from bad


def _read_checked(elf: bytes) -> tuple[list[Section], list[Symbol]]:
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(elf))
    machine = file.header["e_machine"]
    if machine not in ("EM_BPF", _EM_BPF) or file.elfclass != 64 or not file.little_endian:
        endian = "little" if file.little_endian else "big"
        raise reject(
            "the object is for another machine",
            f"{machine}, {file.elfclass} bits, {endian} endian",
            expected="EM_BPF, 64 bits, little endian",
            do="compile with -target bpfel",
        )
    sections: list[Section] = []
    raw = list(file.iter_sections())
    for one in raw:
        size, offset = int(one["sh_size"]), int(one["sh_offset"])
        is_empty = one["sh_type"] in ("SHT_NOBITS", "SHT_NULL")
        if not is_empty and offset + size > len(elf):
            raise reject(
                f"section {one.name!r} lies outside the file",
                f"ends at byte {offset + size} of {len(elf)}",
                expected="a whole object file",
            )
        data = b"" if is_empty else elf[offset : offset + size]
        is_code = bool(int(one["sh_flags"]) & _SHF_EXECINSTR)
        sections.append(Section(one.name, str(one["sh_type"]), size, data, is_code))
    symbols = list(_symbols(raw))
    for one, section in zip(raw, sections, strict=True):
        if one["sh_type"] == "SHT_REL" and int(one["sh_info"]) < len(sections):
            target = sections[int(one["sh_info"])]
            if target.name.startswith((".debug", ".BTF")):
                continue
            for offset, info in struct.iter_unpack("<QQ", section.data):
                if info >> 32 >= len(symbols):
                    raise reject(
                        f"a relocation of section {target.name!r} names no symbol", f"symbol {info >> 32}"
                    )
                if offset in target.relocations or offset >= max(target.size, 1):
                    raise reject(
                        f"a relocation of section {target.name!r} is "
                        f"{'given twice' if offset in target.relocations else 'outside of it'}",
                        f"offset {offset} of {target.size}",
                        do="compile it again",
                    )
                target.relocations[offset] = (info & 0xFFFF_FFFF, symbols[info >> 32])
        elif one["sh_type"] == "SHT_RELA":
            raise reject(
                f"section {one.name!r} has relocations of the wrong kind", "SHT_RELA", expected="SHT_REL"
            )
    return sections, symbols


def _symbols(raw: list[Any]) -> Iterator[Symbol]:
    for section in raw:
        if section["sh_type"] != "SHT_SYMTAB":
            continue
        for one in section.iter_symbols():
            place = one["st_shndx"]
            yield Symbol(
                name=one.name,
                section=place if isinstance(place, int) and place < len(raw) else -1,
                value=int(one["st_value"]),
                size=int(one["st_size"]),
                is_function=one["st_info"]["type"] == "STT_FUNC",
            )
        return
