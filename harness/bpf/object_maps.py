"""The maps that an object declares, in `.maps` (BTF) and in `maps` (legacy), and the names that the kernel uses."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from contracts.ebpf.engine import MAP_NAME_SIZE
from contracts.ebpf.maps import LINUX_MAP_TYPES, kinds_text
from contracts.program import MapDef, MapType
from harness.bpf.btf import Btf
from harness.bpf.object_sections import Section, Symbol, reject

MAP_SECTIONS = (".maps", "maps")
NAME_BYTES = MAP_NAME_SIZE - 1
_LEGACY_MAP = struct.Struct("<5I")
_MAP_INTEGERS = ("type", "max_entries", "key_size", "value_size", "map_flags")


def declared_maps(
    sections: Sequence[Section], symbols: Sequence[Symbol], btf: Btf | None
) -> tuple[list[MapDef], dict[tuple[int, int], int]]:
    """The declared maps, and the (section, offset) where each is declared."""
    maps: list[MapDef] = []
    places: dict[tuple[int, int], int] = {}
    named: list[Symbol] = []
    for index, section in enumerate(sections):
        if section.name not in MAP_SECTIONS:
            continue
        declared = sorted(
            (s for s in symbols if s.section == index and s.name and s.size), key=lambda s: s.value
        )
        variables = btf.section_variables(".maps") if btf is not None else {}
        for symbol in declared:
            places[index, symbol.value] = len(maps)
            named.append(symbol)
            if section.name == "maps":
                maps.append(_legacy_map(symbol, section))
            else:
                maps.append(_btf_map(symbol, btf, variables))
    check_names([symbol.name for symbol in named])
    return maps, places


def _btf_map(symbol: Symbol, btf: Btf | None, variables: dict[str, Any]) -> MapDef:
    if btf is None or symbol.name not in variables:
        raise reject(f"map {symbol.name!r} has no BTF", "no .BTF declaration", do="compile with -g")
    values = dict.fromkeys(_MAP_INTEGERS, 0)
    for name, number in btf.members(variables[symbol.name]):
        if name in values:
            values[name] = _agreeing(
                symbol.name, name, values[name] if "size" in name else 0, btf.integer(number)
            )
        elif name in ("key", "value"):
            size = btf.size(btf.pointed(number))
            values[f"{name}_size"] = _agreeing(symbol.name, f"{name}_size", values[f"{name}_size"], size)
        else:
            raise reject(
                f"map {symbol.name!r} has an unknown attribute",
                name,
                expected=", ".join((*_MAP_INTEGERS, "key", "value")),
            )
    return _map(
        symbol.name,
        *(values[name] for name in ("type", "key_size", "value_size", "max_entries", "map_flags")),
    )


def _agreeing(name: str, what: str, before: int, now: int) -> int:
    if before and before != now:
        raise reject(
            f"map {name!r} declares its {what} twice", f"{before} and {now} bytes", do="declare only the type"
        )
    return now


def _map(name: str, kind: int, key_size: int, value_size: int, max_entries: int, flags: int) -> MapDef:
    if not name.isascii() or not name.isprintable():
        raise reject(f"map {name!r} has a name that is not ASCII", name, expected="letters, digits and _")
    try:
        known = MapType(kind)
    except ValueError:
        raise reject(
            f"map {name!r} is of an unsupported type",
            f"{kind} ({LINUX_MAP_TYPES[kind]})" if kind in LINUX_MAP_TYPES else str(kind),
            expected=kinds_text(),
        ) from None
    return MapDef(name[:NAME_BYTES], known, key_size, value_size, max_entries, flags)


def check_names(names: Sequence[str]) -> None:
    """Raises ProgramRejected for two names that are equal for the kernel, which uses their first 15 bytes."""
    kept: dict[str, str] = {}
    for name in names:
        other = kept.setdefault(name[:NAME_BYTES], name)
        if other is not name:
            raise reject(
                "two maps have the same name"
                if other == name
                else f"two maps have the same first {NAME_BYTES} characters",
                f"{other!r} and {name!r}",
                expected=f"names that differ within {NAME_BYTES} characters: the kernel keeps no more",
                do="rename one",
            )


def _legacy_map(symbol: Symbol, section: Section) -> MapDef:
    data = section.data[symbol.value : symbol.value + symbol.size]
    if len(data) < _LEGACY_MAP.size:
        raise reject(
            f"map {symbol.name!r} is cut off",
            f"{len(data)} bytes",
            expected=f"at least {_LEGACY_MAP.size} bytes",
        )
    if any(data[_LEGACY_MAP.size :]):
        raise reject(
            f"map {symbol.name!r} uses fields beyond map_flags",
            data[_LEGACY_MAP.size :].hex(),
            expected="zeros",
        )
    return _map(symbol.name, *_LEGACY_MAP.unpack_from(data))
