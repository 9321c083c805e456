"""A small eBPF assembler in Python: one function per instruction, RFC 9669's names, labels for jumps.

A program is a list of instructions and `Label`s for `assemble`. Jump targets are label names.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 = range(11)
FP = R10
B, H, W, DW = 0x10, 0x08, 0x00, 0x18

LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
K, X = 0x00, 0x08
MEM, MEMSX, ATOMIC = 0x60, 0x80, 0xC0

ALU_OPS = {
    "add": 0x00,
    "sub": 0x10,
    "mul": 0x20,
    "div": 0x30,
    "or": 0x40,
    "and": 0x50,
    "lsh": 0x60,
    "rsh": 0x70,
    "neg": 0x80,
    "mod": 0x90,
    "xor": 0xA0,
    "mov": 0xB0,
    "arsh": 0xC0,
    "end": 0xD0,
}
JMP_OPS = {
    "jeq": 0x10,
    "jgt": 0x20,
    "jge": 0x30,
    "jset": 0x40,
    "jne": 0x50,
    "jsgt": 0x60,
    "jsge": 0x70,
    "jlt": 0xA0,
    "jle": 0xB0,
    "jslt": 0xC0,
    "jsle": 0xD0,
}
FETCH = 0x01
ATOMIC_OPS = {
    "add": 0x00,
    "or": 0x40,
    "and": 0x50,
    "xor": 0xA0,
    "xchg": 0xE0 | FETCH,
    "cmpxchg": 0xF0 | FETCH,
}


@dataclass(frozen=True, slots=True)
class Reg:
    """A register used as an operand (a bare int is an immediate)."""

    number: int


@dataclass(frozen=True, slots=True)
class Insn:
    """One instruction: its slots, and the label it jumps to (in `off`, or in `imm` for `wide`)."""

    slots: tuple[bytes, ...]
    target: str | None = None
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Label:
    """A place that jumps can name."""

    name: str


Item = Insn | Label
Operand = int | Reg


def raw(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    """One slot, RFC 9669 section 3. `imm` may be signed or unsigned."""
    signed = imm if imm < 1 << 31 else imm - (1 << 32)
    return struct.pack("<BBhi", code, dst | src << 4, off, signed)


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Insn:
    """One instruction from its fields."""
    return Insn((raw(code, dst, src, off, imm),))


def _operand(operand: Operand) -> tuple[int, int, int]:
    """(source bit, src, imm) of an operand."""
    return (X, operand.number, 0) if isinstance(operand, Reg) else (K, 0, operand)


def alu64(op: str, dst: int, operand: Operand = 0, off: int = 0) -> Insn:
    """`dst op= operand`, 64 bits. `off`: 1 for signed div and mod, 8, 16, 32 for sign-extending mov."""
    bit, src, imm = _operand(operand)
    return insn(ALU64 | ALU_OPS[op] | bit, dst, src, off, imm)


def alu32(op: str, dst: int, operand: Operand = 0, off: int = 0) -> Insn:
    """`dst op= operand`, 32 bits, upper half zeroed."""
    bit, src, imm = _operand(operand)
    return insn(ALU | ALU_OPS[op] | bit, dst, src, off, imm)


def mov64(dst: int, operand: Operand) -> Insn:
    """`dst = operand`."""
    return alu64("mov", dst, operand)


def mov32(dst: int, operand: Operand) -> Insn:
    """`dst = (u32)operand`."""
    return alu32("mov", dst, operand)


def add64(dst: int, operand: Operand) -> Insn:
    """`dst += operand`."""
    return alu64("add", dst, operand)


def le(dst: int, bits: int) -> Insn:
    """To little endian."""
    return insn(ALU | ALU_OPS["end"] | K, dst, 0, 0, bits)


def be(dst: int, bits: int) -> Insn:
    """To big endian."""
    return insn(ALU | ALU_OPS["end"] | X, dst, 0, 0, bits)


def bswap(dst: int, bits: int) -> Insn:
    """Swap bytes unconditionally."""
    return insn(ALU64 | ALU_OPS["end"], dst, 0, 0, bits)


def ldx(size: int, dst: int, src: int, off: int = 0) -> Insn:
    """`dst = *(size *)(src + off)`, zero-extended."""
    return insn(LDX | MEM | size, dst, src, off)


def ldxsx(size: int, dst: int, src: int, off: int = 0) -> Insn:
    """The same, sign-extended."""
    return insn(LDX | MEMSX | size, dst, src, off)


def stx(size: int, dst: int, off: int, src: int) -> Insn:
    """`*(size *)(dst + off) = src`."""
    return insn(STX | MEM | size, dst, src, off)


def st(size: int, dst: int, off: int, imm: int) -> Insn:
    """`*(size *)(dst + off) = imm`."""
    return insn(ST | MEM | size, dst, 0, off, imm)


def atomic(size: int, op: str, dst: int, off: int, src: int, *, fetch: bool = False) -> Insn:
    """An atomic operation on memory, RFC 9669 section 5.3."""
    return insn(STX | ATOMIC | size, dst, src, off, ATOMIC_OPS[op] | (FETCH if fetch else 0))


def lddw(dst: int, value: int) -> Insn:
    """A 64-bit immediate."""
    low, high = value & 0xFFFF_FFFF, value >> 32 & 0xFFFF_FFFF
    return Insn((raw(LD | DW, dst, 0, 0, low), raw(0, 0, 0, 0, high)))


def ld_map(dst: int, index: int) -> Insn:
    """The address of map number `index`."""
    return Insn((raw(LD | DW, dst, 1, 0, index), raw(0)))


def ld_map_value(dst: int, index: int, offset: int = 0) -> Insn:
    """The address of an array map's value, plus an offset."""
    return Insn((raw(LD | DW, dst, 2, 0, index), raw(0, 0, 0, 0, offset)))


def jump(op: str, dst: int, operand: Operand, target: str) -> Insn:
    """`if dst op operand goto target`."""
    bit, src, imm = _operand(operand)
    return Insn((raw(JMP | JMP_OPS[op] | bit, dst, src, 0, imm),), target)


def jump32(op: str, dst: int, operand: Operand, target: str) -> Insn:
    """The same, on the low 32 bits."""
    bit, src, imm = _operand(operand)
    return Insn((raw(JMP32 | JMP_OPS[op] | bit, dst, src, 0, imm),), target)


def ja(target: str) -> Insn:
    """`goto target`."""
    return Insn((raw(JMP),), target)


def ja32(target: str) -> Insn:
    """`goto target`, with the 32-bit displacement."""
    return Insn((raw(JMP32),), target, wide=True)


def call(helper: int) -> Insn:
    """Call a helper by number."""
    return insn(JMP | 0x80, 0, 0, 0, helper)


def call_local(target: str) -> Insn:
    """Call a function of the program."""
    return Insn((raw(JMP | 0x80, 0, 1),), target, wide=True)


def exit_() -> Insn:
    """Return r0."""
    return insn(JMP | 0x90)


def assemble(items: Sequence[Item]) -> bytes:
    """The program's bytes. Raises ValueError for a label that is unknown, duplicated or out of range."""
    places: dict[str, int] = {}
    slot = 0
    for item in items:
        if isinstance(item, Label):
            if item.name in places:
                raise ValueError(f"label {item.name!r} is defined twice")
            places[item.name] = slot
        else:
            slot += len(item.slots)
    out = bytearray()
    for item in items:
        if isinstance(item, Label):
            continue
        first = bytearray(item.slots[0])
        if item.target is not None:
            if item.target not in places:
                raise ValueError(f"label {item.target!r} is not defined")
            distance = places[item.target] - len(out) // 8 - 1
            if not item.wide and not -0x8000 <= distance < 0x8000:
                raise ValueError(f"label {item.target!r} is {distance} slots away: use ja32")
            struct.pack_into("<i" if item.wide else "<h", first, 4 if item.wide else 2, distance)
        out += first + b"".join(item.slots[1:])
    return bytes(out)
