"""Programs for the JIT: every operation on every corner of its operands, and seeded random ones."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from harness.bpf import asm
from harness.bpf.asm import DW, B, H, Insn, Item, Label, Reg, W

M64 = (1 << 64) - 1

OPERANDS = (
    0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x1_0000,
    0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFE, 0xFFFF_FFFF, 0x1_0000_0000, 0x1_0000_0001,
    0x0123_4567_89AB_CDEF, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0x8000_0000_0000_0001,
    0xFFFF_FFFF_0000_0000, 0xFFFF_FFFF_7FFF_FFFF, 0xFFFF_FFFF_8000_0000, M64 - 1, M64,
)  # fmt: skip
IMMEDIATES = (
    0, 1, 2, 3, 5, 8, 9, 10, 64, 255, 256, 0xFFF, 0x1000, 0x1001, 0xFFFF, 0x10000, 0x12345, 0xFFF000, 0xFFFFFF,
    0x1000000, 0x55555555, 0x0F0F0F0F, 0x00FF00FF, 0x7FFFFFFF, 0x12345678, 0x7FFF0000, 0x00FFF000,
    -1, -2, -3, -8, -16, -255, -4095, -4096, -4097, -0x10000, -0x12345, -0xFFF000, -0x1000000, -0x7FFFFFFF,
    -0x80000000, -0x55555556, -0x0F0F0F10,
)  # fmt: skip
ALU_BINARY = ("add", "sub", "mul", "div", "or", "and", "mod", "xor", "mov", "sdiv", "smod")
SHIFTS = ("lsh", "rsh", "arsh")


@dataclass(frozen=True, slots=True)
class Case:
    """A program for the `test` hook and the memory it gets."""

    name: str
    insns: bytes
    memory: bytes


def _alu(wide: bool, op: str, dst: int, operand: int | Reg) -> Insn:
    off = 0
    if op in ("sdiv", "smod"):
        op, off = op[1:], 1
    return (asm.alu64 if wide else asm.alu32)(op, dst, operand, off)


def _words(values: Iterator[int] | tuple[int, ...] | list[int]) -> bytes:
    return b"".join(struct.pack("<Q", v & M64) for v in values)


def _finish(items: list[Item]) -> bytes:
    return asm.assemble([*items, asm.mov64(0, 0), asm.exit_()])


def operations_on_registers() -> Iterator[Case]:
    """Each ALU operation on each pair of OPERANDS, both widths; results go to memory."""
    pairs = [(a, b) for a in OPERANDS for b in OPERANDS]
    for wide in (True, False):
        for op in ALU_BINARY + SHIFTS:
            for start in range(0, len(pairs), 600):
                part = pairs[start : start + 600]
                items: list[Item] = [asm.mov64(9, Reg(1))]
                for n in range(len(part)):
                    items += [asm.ldx(DW, 3, 9, 16 * n), asm.ldx(DW, 4, 9, 16 * n + 8)]
                    items += [_alu(wide, op, 3, Reg(4)), asm.stx(DW, 9, 16 * n, 3)]
                yield Case(
                    f"{op}{64 if wide else 32}_x", _finish(items), _words([v for p in part for v in p])
                )


def operations_on_one_register() -> Iterator[Case]:
    """The same with both operands in one register, unary operations, and every sign extension and swap."""
    unary: list[tuple[str, Insn]] = []
    for wide in (True, False):
        make, bits = (asm.alu64, 64) if wide else (asm.alu32, 32)
        unary += [(f"{op}{bits}_self", _alu(wide, op, 3, Reg(3))) for op in ALU_BINARY + SHIFTS]
        unary += [(f"neg{bits}", make("neg", 3))]
        unary += [(f"movsx{n}_{bits}", make("mov", 3, Reg(3), n)) for n in ((8, 16, 32) if wide else (8, 16))]
        unary += [
            (f"movsx{n}_{bits}_other", make("mov", 3, Reg(4), n)) for n in ((8, 16, 32) if wide else (8, 16))
        ]
    for n in (16, 32, 64):
        unary += [(f"le{n}", asm.le(3, n)), (f"be{n}", asm.be(3, n)), (f"bswap{n}", asm.bswap(3, n))]
    for name, insn in unary:
        items: list[Item] = [asm.mov64(9, Reg(1))]
        for n in range(len(OPERANDS)):
            items += [asm.ldx(DW, 3, 9, 8 * n), asm.mov64(4, Reg(3)), insn, asm.stx(DW, 9, 8 * n, 3)]
        yield Case(name, _finish(items), _words(OPERANDS))


def operations_on_constants() -> Iterator[Case]:
    """Each ALU operation on OPERANDS and each immediate (shifts: each amount), both widths, after a move and in place."""
    for wide in (True, False):
        for op in ALU_BINARY + SHIFTS:
            amounts = tuple(range(64 if wide else 32)) if op in SHIFTS else IMMEDIATES
            for fused in (False, True):
                for imm in amounts:
                    items: list[Item] = [asm.mov64(9, Reg(1))]
                    for n in range(len(OPERANDS)):
                        items.append(asm.ldx(DW, 3, 9, 8 * n))
                        if fused:
                            items.append((asm.mov64 if wide else asm.mov32)(4, Reg(3)))
                        items += [
                            _alu(wide, op, 4 if fused else 3, imm),
                            asm.stx(DW, 9, 8 * n, 4 if fused else 3),
                        ]
                    yield Case(f"{op}{64 if wide else 32}_k {imm:#x}", _finish(items), _words(OPERANDS))


def jumps() -> Iterator[Case]:
    """Each conditional jump on each pair of OPERANDS, and on OPERANDS with each immediate."""
    for make, bits in ((asm.jump, 64), (asm.jump32, 32)):
        for op in asm.JMP_OPS:
            pairs = [(a, b) for a in OPERANDS for b in OPERANDS]
            for start in range(0, len(pairs), 400):
                part = pairs[start : start + 400]
                items: list[Item] = [asm.mov64(9, Reg(1))]
                for n in range(len(part)):
                    items += [asm.ldx(DW, 3, 9, 16 * n), asm.ldx(DW, 4, 9, 16 * n + 8), asm.mov64(5, 1)]
                    items += [
                        make(op, 3, Reg(4), f"l{n}"),
                        asm.mov64(5, 0),
                        Label(f"l{n}"),
                        asm.stx(DW, 9, 16 * n, 5),
                    ]
                yield Case(f"{op}{bits}_x", _finish(items), _words([v for p in part for v in p]))
            for imm in IMMEDIATES:
                items = [asm.mov64(9, Reg(1))]
                for n in range(len(OPERANDS)):
                    items += [asm.ldx(DW, 3, 9, 8 * n), asm.mov64(5, 1), make(op, 3, imm, f"l{n}")]
                    items += [asm.mov64(5, 0), Label(f"l{n}"), asm.stx(DW, 9, 8 * n, 5)]
                yield Case(f"{op}{bits}_k {imm:#x}", _finish(items), _words(OPERANDS))


def shift_pairs() -> Iterator[Case]:
    """Two shifts in a row and shift-and-mask, which become one instruction."""
    for make, bits in ((asm.alu64, 64), (asm.alu32, 32)):
        for first in SHIFTS:
            for second in (*SHIFTS, "and"):
                items: list[Item] = [asm.mov64(9, Reg(1))]
                n = 0
                for a in (0, 1, 8, 16, bits // 2, bits - 8, bits - 1):
                    amounts = (
                        (1, 0xFF, 0xFFFF, 0x7FFFFFFF, 6)
                        if second == "and"
                        else (0, 1, 8, bits // 2, bits - 1)
                    )
                    for b in amounts:
                        items += [asm.ldx(DW, 3, 9, 0), make(first, 3, a), make(second, 3, b)]
                        items += [asm.stx(DW, 9, 8 + 8 * n, 3)]
                        n += 1
                for value in (0xF123_4567_89AB_CDEF, 0x7EDC_BA98_7654_3210, 0xFFFF_FFFF_8000_0001):
                    yield Case(f"{first}_{second}_{bits}", _finish(items), _words([value] + [0] * n))


def memory_accesses() -> Iterator[Case]:
    """Each size at offsets of each addressing form, through a pointer and through r10, aligned and not."""
    size_of = {B: 1, H: 2, W: 4, DW: 8}
    data = bytes(random.Random(1).randbytes(40000))
    for size, width in size_of.items():
        for sign in (False, True):
            if sign and size == DW:
                continue
            load = asm.ldxsx if sign else asm.ldx
            items: list[Item] = [asm.mov64(9, Reg(1)), asm.add64(9, 16384), asm.mov64(8, 0)]
            offsets = (
                0,
                1,
                2,
                3,
                4,
                8,
                255,
                256,
                257,
                4095 * width,
                4096 * width - width + 1,
                8000,
                32760 - 9384,
            )
            for off in offsets + tuple(-o for o in offsets):
                if not -16384 <= off < 23000:
                    continue
                items += [load(size, 3, 9, off), asm.alu64("mul", 8, 31), asm.add64(8, Reg(3))]
                items += [asm.stx(size, 9, off + 1 if off < 20000 else off, 8)]
                items += [asm.st(size, 9, off + 3 if off < 20000 else off, -0x123456)]
            for off in (-8, -16, -24, -64, -256, -264, -504, -512, -9, -13, -511):
                if off + width > 0:
                    continue
                items += [asm.stx(size, 10, off, 8), load(size, 4, 10, off), asm.add64(8, Reg(4))]
                items += [asm.mov64(5, Reg(10)), asm.add64(5, off), load(size, 4, 5, 0), asm.add64(8, Reg(4))]
            items += [asm.stx(DW, 9, 0, 8)]
            yield Case(f"memory{width}{'sx' if sign else ''}", _finish(items), data)


def atomics() -> Iterator[Case]:
    """Each atomic operation, both sizes, with and without fetch, through memory and stack."""
    for size in (W, DW):
        for op in asm.ATOMIC_OPS:
            for fetch in (False, True):
                if fetch and op in ("xchg", "cmpxchg"):
                    continue
                for base in (9, 10):
                    for a in (0, 1, 0x8000_0000, 0xFFFF_FFFF, M64, 0x0123_4567_89AB_CDEF):
                        for b in (0, 1, 0xFFFF_FFFF, M64, 0xFEDC_BA98_7654_3210):
                            off = 8 if base == 9 else -16
                            items: list[Item] = [asm.mov64(9, Reg(1)), asm.lddw(3, a), asm.lddw(4, b)]
                            items += [asm.stx(DW, base, off, 3), asm.lddw(0, a if b & 1 else b)]
                            items += [asm.atomic(size, op, base, off, 4, fetch=fetch)]
                            items += [asm.ldx(DW, 5, base, off), asm.stx(DW, 9, 0, 5), asm.stx(DW, 9, 16, 4)]
                            items += [asm.stx(DW, 9, 24, 0)]
                            yield Case(f"atomic {op} {size} {fetch}", _finish(items), bytes(32))


def large_programs() -> Iterator[Case]:
    """Programs near 4096 slots, with branches over nearly all of them, both ways."""
    for op, imm in (("jset", 2), ("jslt", 0), ("jeq", 0), ("jgt", 0x123456)):
        for filler in (10, 300, 345, 1000, 4000):
            items: list[Item] = [asm.ldx(DW, 6, 1, 0), asm.mov64(7, 3), Label("again")]
            items += [asm.jump(op, 6, imm, "out")]
            for n in range(filler):
                items.append(asm.alu64("xor", 6, 0x12345 + 7 * n))
            items += [
                Label("out"),
                asm.alu64("sub", 7, 1),
                asm.alu64("mul", 6, 7),
                asm.jump(op, 7, imm, "end"),
            ]
            items += [asm.jump("jne", 7, 0, "again"), Label("end"), asm.stx(DW, 1, 0, 6)]
            for value in (0, 1, 2, M64, 0x1234567):
                yield Case(f"large {op} {filler}", _finish(items), _words([value]))


def known_widths() -> Iterator[Case]:
    """A narrow register is widened (or not), then truncated: old knowledge about it must be dropped."""
    narrow = [asm.ldx(size, 3, 9, 8) for size in (B, H, W, DW)]
    narrow += [asm.mov64(3, 5), asm.alu64("and", 3, 0xFF), asm.mov32(3, -1), asm.le(3, 16)]
    widen: list[list[Item]] = [[]]
    widen += [
        [asm.mov64(3, Reg(4)), op] for op in (asm.alu64("rsh", 3, 1), asm.alu64("add", 3, 0), asm.le(3, 64))
    ]
    widen += [
        [asm.alu64("sub", 3, 7)],
        [asm.alu64("rsh", 3, 3)],
        [asm.mov64(3, Reg(4))],
        [asm.lddw(3, M64 - 5)],
    ]
    widen += [[asm.alu32("arsh", 3, 1)], [asm.atomic(DW, "xchg", 9, 0, 3)], [asm.ldxsx(B, 3, 9, 0)]]
    widen += [[asm.jump("jne", 4, 0, "over"), asm.mov64(3, 1), Label("over")], [asm.alu64("rsh", 3, 1)] * 2]
    cuts = [
        asm.be(3, 16),
        asm.be(3, 32),
        asm.le(3, 16),
        asm.le(3, 32),
        asm.mov32(3, Reg(3)),
        asm.alu32("mov", 5, Reg(3)),
    ]
    for first in narrow:
        for middle in widen:
            for last in cuts:
                items: list[Item] = [
                    asm.mov64(9, Reg(1)),
                    asm.ldx(DW, 3, 9, 0),
                    asm.ldx(DW, 4, 9, 16),
                    asm.mov64(5, 0),
                ]
                items += [first, *middle, last, asm.stx(DW, 9, 24, 3), asm.stx(DW, 9, 32, 5)]
                yield Case("widths", _finish(items), _words([M64, 0x8123_4567_89AB_CDEF, M64 - 0xF0F0, 0, 0]))


def corners() -> Iterator[Case]:
    """All of the above."""
    yield from operations_on_registers()
    yield from operations_on_one_register()
    yield from operations_on_constants()
    yield from jumps()
    yield from shift_pairs()
    yield from memory_accesses()
    yield from atomics()
    yield from large_programs()
    yield from known_widths()
