"""Every opcode follows RFC 9669: compared with a reference written from its text, with Python's integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contracts.program import Hook, Program
from harness.bpf import asm
from harness.bpf.asm import DW, FP, R0, R1, R2, R3, B, H, Label, Reg, W
from harness.bpf.native import Engine, RunEnd

M64, M32 = (1 << 64) - 1, (1 << 32) - 1
VALUES = (
    0,
    1,
    2,
    7,
    31,
    33,
    64,
    0x7F,
    0x80,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x1234_5678_9ABC_DEF0,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFFF,
    0xFFFF_FFFF_8000_0000,
)
IMMEDIATES = (0, 1, 2, -1, -2, 7, 31, 33, 63, 64, 255, 0x7FFF_FFFF, -0x8000_0000, 0x1234_5678)


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def truncated_quotient(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def reference(op: str, off: int, bits: int, a: int, b: int) -> int:
    """Section 4.1: `a op b` on 64 or 32 bits; a 32-bit result is zero-extended."""
    mask = (1 << bits) - 1
    a, b = a & mask, b & mask
    sa, sb = signed(a, bits), signed(b, bits)
    shift = b & (bits - 1)
    if op == "div":
        if off == 1:
            return (truncated_quotient(sa, sb) if sb else 0) & mask
        return a // b if b else 0
    if op == "mod":
        if off == 1:
            return (sa - truncated_quotient(sa, sb) * sb if sb else sa) & mask
        return a % b if b else a
    if op == "mov":
        return (signed(b, off) if off else b) & mask
    table: dict[str, Callable[[], int]] = {
        "add": lambda: a + b,
        "sub": lambda: a - b,
        "mul": lambda: a * b,
        "or": lambda: a | b,
        "and": lambda: a & b,
        "xor": lambda: a ^ b,
        "lsh": lambda: a << shift,
        "rsh": lambda: a >> shift,
        "arsh": lambda: sa >> shift,
        "neg": lambda: -a,
    }
    return table[op]() & mask


BINARY = [
    ("add", 0),
    ("sub", 0),
    ("mul", 0),
    ("div", 0),
    ("div", 1),
    ("or", 0),
    ("and", 0),
    ("lsh", 0),
    ("rsh", 0),
    ("mod", 0),
    ("mod", 1),
    ("xor", 0),
    ("mov", 0),
    ("arsh", 0),
]
WIDTHS = [(64, asm.alu64), (32, asm.alu32)]


def results(engine: Engine, programs: list[list[asm.Item]]) -> list[int]:
    """r0 of each program, verified and run: acceptance and result must also match the reference."""
    found = []
    for items in programs:
        result = engine.load(Program("t", Hook.TEST, asm.assemble([*items, asm.exit_()]))).interpret()
        assert result.end is RunEnd.OK
        found.append(result.r0)
    return found


@pytest.mark.parametrize(("bits", "alu"), WIDTHS)
@pytest.mark.parametrize(("op", "off"), BINARY)
def test_arithmetic_with_a_register(engine: Engine, bits: int, alu: Any, op: str, off: int) -> None:
    pairs = [(a, b) for a in VALUES for b in VALUES]
    programs: list[list[asm.Item]] = [
        [asm.lddw(R0, a), asm.lddw(R1, b), alu(op, R0, Reg(R1), off=off)] for a, b in pairs
    ]
    for (a, b), seen in zip(pairs, results(engine, programs), strict=True):
        assert seen == reference(op, off, bits, a, b), f"{op}{bits} off {off}: {a:#x}, {b:#x}"


@pytest.mark.parametrize(("bits", "alu"), WIDTHS)
@pytest.mark.parametrize(("op", "off"), BINARY)
def test_arithmetic_with_an_immediate_sign_extends_it(
    engine: Engine, bits: int, alu: Any, op: str, off: int
) -> None:
    pairs = [(a, imm) for a in VALUES for imm in IMMEDIATES]
    programs: list[list[asm.Item]] = [[asm.lddw(R0, a), alu(op, R0, imm, off=off)] for a, imm in pairs]
    for (a, imm), seen in zip(pairs, results(engine, programs), strict=True):
        assert seen == reference(op, off, bits, a, imm & M64), f"{op}{bits} off {off}: {a:#x}, {imm}"


@pytest.mark.parametrize(("bits", "alu"), WIDTHS)
def test_negation(engine: Engine, bits: int, alu: Any) -> None:
    programs: list[list[asm.Item]] = [[asm.lddw(R0, a), alu("neg", R0)] for a in VALUES]
    assert results(engine, programs) == [reference("neg", 0, bits, a, 0) for a in VALUES]


@pytest.mark.parametrize(
    ("bits", "alu", "off"),
    [(64, asm.alu64, 8), (64, asm.alu64, 16), (64, asm.alu64, 32), (32, asm.alu32, 8), (32, asm.alu32, 16)],
)
def test_sign_extending_moves(engine: Engine, bits: int, alu: Any, off: int) -> None:
    programs: list[list[asm.Item]] = [
        [asm.lddw(R1, a), asm.lddw(R0, M64), alu("mov", R0, Reg(R1), off=off)] for a in VALUES
    ]
    assert results(engine, programs) == [reference("mov", off, bits, 0, a) for a in VALUES]


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_byte_order(engine: Engine, bits: int) -> None:
    def swapped(value: int) -> int:
        return int.from_bytes((value & ((1 << bits) - 1)).to_bytes(bits // 8, "little"), "big")

    for instruction, want in (
        (asm.le, lambda v: v & ((1 << bits) - 1)),
        (asm.be, swapped),
        (asm.bswap, swapped),
    ):
        programs: list[list[asm.Item]] = [[asm.lddw(R0, a), instruction(R0, bits)] for a in VALUES]
        assert results(engine, programs) == [want(a) for a in VALUES]


def taken(op: str, bits: int, a: int, b: int) -> bool:
    """Section 4.3."""
    mask = (1 << bits) - 1
    a, b = a & mask, b & mask
    sa, sb = signed(a, bits), signed(b, bits)
    return {
        "jeq": a == b,
        "jne": a != b,
        "jgt": a > b,
        "jge": a >= b,
        "jlt": a < b,
        "jle": a <= b,
        "jset": a & b != 0,
        "jsgt": sa > sb,
        "jsge": sa >= sb,
        "jslt": sa < sb,
        "jsle": sa <= sb,
    }[op]


@pytest.mark.parametrize(("bits", "jump"), [(64, asm.jump), (32, asm.jump32)])
@pytest.mark.parametrize("op", list(asm.JMP_OPS))
def test_jumps(engine: Engine, bits: int, jump: Any, op: str) -> None:
    cases: list[tuple[int, int, list[asm.Item]]] = []
    for a in VALUES:
        for b in VALUES:
            compare = [asm.lddw(R1, a), asm.lddw(R2, b), jump(op, R1, Reg(R2), "yes")]
            cases.append((a, b, compare))
        cases += [(a, imm & M64, [asm.lddw(R1, a), jump(op, R1, imm, "yes")]) for imm in IMMEDIATES]
    for a, b, compare in cases:
        code = asm.assemble(
            [
                asm.mov64(R0, 0),
                asm.mov64(R3, 1),
                *compare,
                asm.exit_(),
                Label("yes"),
                asm.mov64(R0, Reg(R3)),
                asm.exit_(),
            ]
        )
        result = engine.load(Program("t", Hook.TEST, code)).interpret()
        assert result.r0 == taken(op, bits, a, b), f"{op}{bits}: {a:#x}, {b:#x}"


MEMORY = bytes.fromhex("f0debc9a785634120180ff7f00ff8123")


@pytest.mark.parametrize(("size", "width"), [(B, 1), (H, 2), (W, 4), (DW, 8)])
def test_loads_are_zero_extended_and_may_be_unaligned(engine: Engine, size: int, width: int) -> None:
    for off in range(len(MEMORY) - width + 1):
        code = asm.assemble([asm.ldx(size, R0, R1, off), asm.exit_()])
        result = engine.load(Program("t", Hook.TEST, code), test_mem_size=16).interpret(MEMORY)
        assert result.r0 == int.from_bytes(MEMORY[off : off + width], "little")


@pytest.mark.parametrize(("size", "width"), [(B, 1), (H, 2), (W, 4)])
def test_sign_extending_loads(engine: Engine, size: int, width: int) -> None:
    for off in range(len(MEMORY) - width + 1):
        code = asm.assemble([asm.ldxsx(size, R0, R1, off), asm.exit_()])
        result = engine.load(Program("t", Hook.TEST, code), test_mem_size=16).interpret(MEMORY)
        assert result.r0 == int.from_bytes(MEMORY[off : off + width], "little", signed=True) & M64


@pytest.mark.parametrize(("size", "width"), [(B, 1), (H, 2), (W, 4), (DW, 8)])
def test_stores_touch_their_bytes_only(engine: Engine, size: int, width: int) -> None:
    value = 0x8877_6655_4433_2211
    for store, want in (
        ([asm.lddw(R3, value), asm.stx(size, R1, 3, R3)], value),
        ([asm.st(size, R1, 3, -2)], M64 - 1),
    ):
        code = asm.assemble([*store, asm.mov64(R0, 0), asm.exit_()])
        result = engine.load(Program("t", Hook.TEST, code), test_mem_size=16).interpret(MEMORY)
        part = (want & ((1 << 8 * width) - 1)).to_bytes(width, "little")
        assert result.memory == MEMORY[:3] + part + MEMORY[3 + width :]


@pytest.mark.parametrize("fetch", [False, True])
@pytest.mark.parametrize(("size", "bits"), [(W, 32), (DW, 64)])
@pytest.mark.parametrize("op", list(asm.ATOMIC_OPS))
def test_atomics(engine: Engine, op: str, size: int, bits: int, fetch: bool) -> None:
    if op in ("xchg", "cmpxchg") and not fetch:
        return
    mask = (1 << bits) - 1
    for old in VALUES[:12]:
        for source in VALUES[6:]:
            for r0 in (old, old ^ 1):
                memory = old.to_bytes(8, "little")
                code = asm.assemble(
                    [
                        asm.lddw(R0, r0),
                        asm.lddw(R2, source),
                        asm.atomic(size, op, R1, 0, R2, fetch=fetch),
                        *([] if op == "cmpxchg" else [asm.mov64(R0, Reg(R2))]),
                        asm.exit_(),
                    ]
                )
                result = engine.load(Program("t", Hook.TEST, code), test_mem_size=8).interpret(memory)
                was, given = old & mask, source & mask
                new = {
                    "add": was + given,
                    "or": was | given,
                    "and": was & given,
                    "xor": was ^ given,
                    "xchg": given,
                    "cmpxchg": given if was == r0 & mask else was,
                }[op] & mask
                assert int.from_bytes(result.memory, "little") == (old & ~mask & M64) | new
                assert result.r0 == (was if fetch else source)


def test_a_64_bit_immediate_is_one_instruction_of_two_slots(engine: Engine) -> None:
    loaded = engine.load(
        Program("t", Hook.TEST, asm.assemble([asm.lddw(R0, 0x8000_0000_FFFF_FFFF), asm.exit_()]))
    )
    result = loaded.interpret()
    assert (result.r0, result.executed, loaded.wcet) == (0x8000_0000_FFFF_FFFF, 2, 2)


def test_both_gotos_and_calls_keep_what_the_rfc_says_they_keep(engine: Engine) -> None:
    code = asm.assemble(
        [
            asm.mov64(6, 6),
            asm.mov64(9, 9),
            asm.mov64(R1, 30),
            asm.mov64(R2, 4),
            asm.st(DW, FP, -8, 100),
            asm.ja32("call"),
            Label("back"),
            asm.ja("end"),
            Label("call"),
            asm.call_local("f"),
            asm.ja("back"),
            Label("end"),
            asm.add64(R0, Reg(6)),
            asm.add64(R0, Reg(9)),
            asm.ldx(DW, R1, FP, -8),
            asm.add64(R0, Reg(R1)),
            asm.exit_(),
            Label("f"),
            asm.mov64(6, 1000),
            asm.mov64(9, 1000),
            asm.st(DW, FP, -8, 7),
            asm.mov64(R0, Reg(R1)),
            asm.add64(R0, Reg(R2)),
            asm.exit_(),
        ]
    )
    assert engine.load(Program("t", Hook.TEST, code)).interpret().r0 == 34 + 6 + 9 + 100


def test_the_test_hook_gives_memory_and_its_size(engine: Engine) -> None:
    code = asm.assemble([asm.mov64(R0, Reg(R2)), asm.exit_()])
    for size in (0, 1, 24):
        assert (
            engine.load(Program("t", Hook.TEST, code), test_mem_size=size).interpret(bytes(size)).r0 == size
        )


def test_the_timer_hook_gives_its_two_times(engine: Engine) -> None:
    code = asm.assemble(
        [asm.ldx(DW, R0, R1, 0), asm.ldx(DW, R1, R1, 8), asm.alu64("sub", R0, Reg(R1)), asm.exit_()]
    )
    assert engine.load(Program("t", Hook.TIMER, code)).interpret(ktime_ns=1000, period_ns=300).r0 == 700
