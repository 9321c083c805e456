"""A compiled extension: instructions, maps, hook."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ebpf.hooks import Hook
from contracts.ebpf.maps import MapFlags, MapType

__all__ = ["Hook", "MapDef", "MapFlags", "MapType", "Place", "Program"]


@dataclass(frozen=True, slots=True)
class MapDef:
    """One map: at most 15 bytes of name, sizes in bytes; `init` fills a frozen array map (`.rodata`)."""

    name: str
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    init: bytes = b""


@dataclass(frozen=True, slots=True)
class Place:
    """The source of an instruction: its slot, file and line, and the line's text (empty if unknown)."""

    slot: int
    file: str
    line: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """A program before sealing.

    `insns` is the RFC 9669 encoding, 8 bytes per slot, little-endian. An `lddw` refers to a map with
    src_reg 1 (imm = index into `maps`) or 2 (address of its value; next imm = offset), RFC 9669 section 5.4.
    `lines` holds the (slot, source line) pairs that the compiler emitted for the program's own file; `places` holds all
    of them in slot order, including those of headers.
    """

    name: str
    hook: Hook
    insns: bytes
    maps: tuple[MapDef, ...] = ()
    lines: tuple[tuple[int, int], ...] = ()
    places: tuple[Place, ...] = ()

    @property
    def slots(self) -> int:
        """Number of 8-byte instruction slots."""
        return len(self.insns) // 8

    def place_of(self, slot: int) -> Place | None:
        """The source of the instruction at a slot: the last place at or before it, None without debug information.

        Places follow one another inside a function; the first of each is its own declaration.
        """
        found = None
        for place in self.places:
            if place.slot > slot:
                break
            found = place
        return found
