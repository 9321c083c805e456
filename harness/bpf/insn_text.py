"""eBPF instructions as text, in LLVM's notation."""

from __future__ import annotations

import struct
from collections.abc import Callable

from contracts.ebpf.helpers import HELPER_NAMES
from contracts.program import Program
from harness.bpf.a64_align import Slot

_ALU = ("+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=")
_JUMP = {
    0x10: "==",
    0x20: ">",
    0x30: ">=",
    0x40: "&",
    0x50: "!=",
    0x60: "s>",
    0x70: "s>=",
    0xA0: "<",
    0xB0: "<=",
    0xC0: "s<",
    0xD0: "s<=",
}
_ATOMIC = {0x00: "+", 0x40: "|", 0x50: "&", 0xA0: "^"}
_ATOMIC_NAMES = {0x00: "add", 0x40: "or", 0x50: "and", 0xA0: "xor"}


def _signed(value: int) -> str:
    return f"+ {value}" if value >= 0 else f"- {-value}"


def _unknown(slot: Slot) -> str:
    return f"<unknown {slot.code:#04x}>"


def _alu(slot: Slot) -> str:
    op, letter = slot.code >> 4, "r" if slot.code & 7 == 7 else "w"
    dst = f"{letter}{slot.dst}"
    operand = f"{letter}{slot.src}" if slot.code & 8 else f"{slot.imm}"
    if op == 13:
        name = "bswap" if slot.code & 7 == 7 else "be" if slot.code & 8 else "le"
        return f"r{slot.dst} = {name}{slot.imm} r{slot.dst}"
    if op >= len(_ALU):
        return _unknown(slot)
    if op == 8:
        return f"{dst} = -{dst}"
    if op == 11 and slot.off:
        return f"{dst} = (s{slot.off}){operand}"
    return f"{dst} {'s' if op in (3, 9) and slot.off == 1 else ''}{_ALU[op]} {operand}"


def _access(slot: Slot) -> str:
    size = ("u32", "u16", "u8", "u64")[slot.code >> 3 & 3]
    mode = slot.code & 0xE0
    if slot.code & 7 == 1:
        if mode not in (0x60, 0x80):
            return _unknown(slot)
        kind = size.replace("u", "s") if mode == 0x80 else size
        return f"r{slot.dst} = *({kind} *)(r{slot.src} {_signed(slot.off)})"
    place = f"*({size} *)(r{slot.dst} {_signed(slot.off)})"
    if mode == 0xC0:
        return _atomic(slot, place)
    if mode != 0x60:
        return _unknown(slot)
    return f"{place} = {slot.imm if slot.code & 7 == 2 else f'r{slot.src}'}"


def _atomic(slot: Slot, place: str) -> str:
    op, address = slot.imm & 0xF0, place.split(" ", 1)[1].removeprefix("*)")
    if slot.imm == 0xE1:
        return f"r{slot.src} = xchg({address}, r{slot.src})"
    if slot.imm == 0xF1:
        return f"r0 = cmpxchg({address}, r0, r{slot.src})"
    if op not in _ATOMIC:
        return _unknown(slot)
    if slot.imm & 1:
        return f"r{slot.src} = atomic_fetch_{_ATOMIC_NAMES[op]}({address}, r{slot.src})"
    return f"lock {place} {_ATOMIC[op]}= r{slot.src}"


def _jump(slot: Slot) -> str:
    op, wide = slot.code & 0xF0, slot.code & 7 == 5
    if op == 0x00:
        return f"goto {slot.number + 1 + (slot.off if wide else slot.imm)}"
    if slot.code == 0x95:
        return "exit"
    if slot.code == 0x85:
        if slot.src == 1:
            return f"call {slot.number + 1 + slot.imm}"
        return f"call {HELPER_NAMES.get(slot.imm, f'helper {slot.imm}')}"
    if op not in _JUMP:
        return _unknown(slot)
    letter = "r" if wide else "w"
    operand = f"{letter}{slot.src}" if slot.code & 8 else f"{slot.imm}"
    return f"if {letter}{slot.dst} {_JUMP[op]} {operand} goto {slot.number + 1 + slot.off}"


def _constant(slot: Slot, program: Program) -> str:
    if slot.code != 0x18:
        return _unknown(slot)
    if slot.src in (1, 2):
        name = program.maps[slot.imm].name if 0 <= slot.imm < len(program.maps) else f"#{slot.imm}"
        return f"r{slot.dst} = map {name}" + (f" value + {slot.second}" if slot.src == 2 else "")
    value = (slot.second & 0xFFFF_FFFF) << 32 | slot.imm & 0xFFFF_FFFF
    return f"r{slot.dst} = {value:#x} ll"


_BY_CLASS: dict[int, Callable[[Slot], str]] = {
    1: _access,
    2: _access,
    3: _access,
    4: _alu,
    5: _jump,
    6: _jump,
    7: _alu,
}


def slots_of(insns: bytes) -> list[Slot]:
    """The instructions of a program; a 64-bit constant is one `Slot`, whose number is its first.

    Raises ValueError when `insns` is not a number of 8-byte slots.
    """
    if len(insns) % 8:
        raise ValueError(f"{len(insns)} bytes are not a number of 8-byte slots")
    raw = list(struct.iter_unpack("<BBhi", insns))
    out, at = [], 0
    while at < len(raw):
        code, both, off, imm = raw[at]
        double = code & 7 == 0 and at + 1 < len(raw)
        out.append(Slot(at, code, both & 15, both >> 4, off, imm, raw[at + 1][3] if double else 0))
        at += 2 if double else 1
    return out


def text_of(slot: Slot, program: Program) -> str:
    """One instruction in LLVM's notation; jump targets are slot numbers."""
    by_class = _BY_CLASS.get(slot.code & 7)
    return by_class(slot) if by_class else _constant(slot, program)
