"""A compiled extension: instructions, maps, hook."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.ebpf.hooks import Hook
from contracts.ebpf.maps import MapFlags, MapType

__all__ = ["Hook", "MapDef", "MapFlags", "MapType", "Program"]


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
class Program:
    """A program before sealing.

    `insns` is the RFC 9669 encoding, 8 bytes a slot, little-endian. A map is referred to by an `lddw` with
    src_reg 1 (imm = index into `maps`) or 2 (address of its value; next imm = offset), RFC 9669 section 5.4.
    `lines` gives (slot, source line) pairs where the compiler left them.
    """

    name: str
    hook: Hook
    insns: bytes
    maps: tuple[MapDef, ...] = ()
    lines: tuple[tuple[int, int], ...] = ()

    @property
    def slots(self) -> int:
        """Number of 8-byte instruction slots."""
        return len(self.insns) // 8
