"""RFC 9669 in Python, independent of the engine: what a program should compute, including memory and helpers."""

from __future__ import annotations

import struct
from collections.abc import Callable

M64 = (1 << 64) - 1
MEMORY_VA = 0x1000_0000
STACK_VA = 0x2000_0000
FRAME = 512

Helper = Callable[[list[int]], int]


def signed(value: int, bits: int) -> int:
    """The two's complement reading of the low `bits` of value."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def swapped(value: int, bits: int) -> int:
    """The low `bits` with their bytes reversed."""
    size = bits // 8
    return int.from_bytes((value & ((1 << bits) - 1)).to_bytes(size, "little"), "big")


def divided(a: int, b: int, bits: int, off: int, *, remainder: bool) -> int:
    """DIV and MOD: by zero the results are 0 and the dividend; signed ones truncate towards zero."""
    if b == 0:
        return a if remainder else 0
    if off == 0:
        return a % b if remainder else a // b
    x, y = signed(a, bits), signed(b, bits)
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return x - quotient * y if remainder else quotient


def alu(op: int, a: int, b: int, bits: int, off: int) -> int:
    """One ALU operation on values already truncated to `bits`."""
    shift = b & (bits - 1)
    match op:
        case 0x00:
            result = a + b
        case 0x10:
            result = a - b
        case 0x20:
            result = a * b
        case 0x30 | 0x90:
            result = divided(a, b, bits, off, remainder=op == 0x90)
        case 0x40:
            result = a | b
        case 0x50:
            result = a & b
        case 0x60:
            result = a << shift
        case 0x70:
            result = a >> shift
        case 0x80:
            result = -a
        case 0xA0:
            result = a ^ b
        case 0xB0:
            result = signed(b, off) if off else b
        case 0xC0:
            result = signed(a, bits) >> shift
        case _:
            raise ValueError(f"no ALU operation {op:#x}")
    return result & ((1 << bits) - 1)


def taken(op: int, a: int, b: int, bits: int) -> bool:
    """Whether a conditional jump is taken, on values already truncated to `bits`."""
    x, y = signed(a, bits), signed(b, bits)
    return {
        0x10: a == b,
        0x20: a > b,
        0x30: a >= b,
        0x40: bool(a & b),
        0x50: a != b,
        0x60: x > y,
        0x70: x >= y,
        0xA0: a < b,
        0xB0: a <= b,
        0xC0: x < y,
        0xD0: x <= y,
    }[op]


class Machine:
    """Registers, test memory at MEMORY_VA, stack frames from STACK_VA up."""

    def __init__(self, insns: bytes, memory: bytes, helpers: dict[int, Helper]) -> None:
        self.slots = list(struct.iter_unpack("<BBhi", insns))
        self.memory = bytearray(memory)
        self.stack = bytearray(FRAME * 8)
        self.helpers = helpers
        self.regs = [0] * 11
        self.regs[1], self.regs[2] = MEMORY_VA, len(memory)
        self.regs[10] = STACK_VA + FRAME
        self.frames: list[tuple[int, list[int]]] = []
        self.executed = 0

    def _at(self, address: int, size: int) -> tuple[bytearray, int]:
        for base, space in ((MEMORY_VA, self.memory), (STACK_VA, self.stack)):
            if base <= address and address + size <= base + len(space):
                return space, address - base
        raise IndexError(f"access to {address:#x}")

    def _load(self, address: int, size: int) -> int:
        space, at = self._at(address, size)
        return int.from_bytes(space[at : at + size], "little")

    def _store(self, address: int, size: int, value: int) -> None:
        space, at = self._at(address, size)
        space[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def _alu(self, code: int, dst: int, src: int, off: int, imm: int) -> None:
        op, wide = code & 0xF0, code & 7 == 7
        if op == 0xD0:
            swap = wide or bool(code & 8)
            value = self.regs[dst]
            self.regs[dst] = swapped(value, imm) if swap else value & ((1 << imm) - 1)
            return
        bits = 64 if wide else 32
        mask = (1 << bits) - 1
        operand = self.regs[src] if code & 8 else imm
        self.regs[dst] = alu(op, self.regs[dst] & mask, operand & mask, bits, off)

    def _atomic(self, address: int, size: int, src: int, imm: int) -> None:
        old, mask = self._load(address, size), (1 << 8 * size) - 1
        value = self.regs[src] & mask
        if imm == 0xF1:
            if old == self.regs[0] & mask:
                self._store(address, size, value)
            self.regs[0] = old
            return
        new = {0x00: old + value, 0x40: old | value, 0x50: old & value, 0xA0: old ^ value, 0xE0: value}[
            imm & 0xF0
        ]
        self._store(address, size, new)
        if imm & 1:
            self.regs[src] = old

    def _access(self, code: int, dst: int, src: int, off: int, imm: int) -> None:
        size = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}[code & 0x18]
        if code & 7 == 1:
            value = self._load((self.regs[src] + off) & M64, size)
            self.regs[dst] = signed(value, 8 * size) & M64 if code & 0xE0 == 0x80 else value
            return
        address = (self.regs[dst] + off) & M64
        if code & 0xE0 == 0xC0:
            self._atomic(address, size, src, imm)
        else:
            self._store(address, size, imm if code & 7 == 2 else self.regs[src])

    def _call(self, pc: int, src: int, imm: int) -> int:
        if src == 0:
            self.regs[0] = self.helpers[imm](self.regs[1:6]) & M64
            return pc
        self.frames.append((pc, self.regs[6:10]))
        self.regs[10] += FRAME
        return pc + imm

    def run(self, fuel: int) -> int:
        """Runs to the last exit; returns r0. Raises TimeoutError after `fuel` instructions."""
        pc = 0
        while True:
            self.executed += 1
            if self.executed > fuel:
                raise TimeoutError("out of fuel")
            code, both, off, imm = self.slots[pc]
            dst, src, kind = both & 15, both >> 4, code & 7
            pc += 1
            if kind in (4, 7):
                self._alu(code, dst, src, off, imm)
            elif kind == 0:
                self.regs[dst] = imm & 0xFFFF_FFFF | (self.slots[pc][3] & 0xFFFF_FFFF) << 32
                pc += 1
            elif kind <= 3:
                self._access(code, dst, src, off, imm)
            elif code == 0x95:
                if not self.frames:
                    return self.regs[0]
                pc, self.regs[6:10] = self.frames.pop()
                self.regs[10] -= FRAME
            elif code == 0x85:
                pc = self._call(pc, src, imm)
            elif code in (0x05, 0x06):
                pc += off if code == 0x05 else imm
            else:
                bits = 64 if kind == 5 else 32
                mask = (1 << bits) - 1
                operand = self.regs[src] if code & 8 else imm
                if taken(code & 0xF0, self.regs[dst] & mask, operand & mask, bits):
                    pc += off
