"""The transfer functions are sound: their result contains the concrete result of the operation."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.program import Hook, Program
from harness.bpf import asm
from harness.bpf.asm import R0, R1, B, Label, Reg
from harness.bpf.native import Engine, VerifyRejected

CASES = 100_000
OPERATIONS = [
    (name, off)
    for name in asm.ALU_OPS
    if name not in ("end", "mov")
    for off in ((0, 1) if name in ("div", "mod") else (0,))
]
MOVES = [
    ("mov", off, narrow) for off in (0, 8, 16, 32) for narrow in (False, True) if not (off == 32 and narrow)
]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize(("op", "off"), OPERATIONS)
def test_arithmetic_on_sampled_operands(engine: Engine, op: str, off: int, narrow: bool) -> None:
    assert engine.lib.native_sample_alu(7, CASES, asm.ALU_OPS[op], off, narrow) == 0


@pytest.mark.parametrize(("op", "off", "narrow"), MOVES)
def test_moves_on_sampled_operands(engine: Engine, op: str, off: int, narrow: bool) -> None:
    assert engine.lib.native_sample_alu(8, CASES, asm.ALU_OPS[op], off, narrow) == 0


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("bits", [16, 32, 64])
def test_byte_order_on_sampled_operands(engine: Engine, bits: int, swap: bool) -> None:
    assert engine.lib.native_sample_end(9, CASES, bits, swap) == 0


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("op", list(asm.JMP_OPS))
def test_branches_on_sampled_operands(engine: Engine, op: str, narrow: bool) -> None:
    assert engine.lib.native_sample_branch(10, CASES, asm.JMP_OPS[op], narrow) == 0


def test_meet_and_inclusion_on_sampled_operands(engine: Engine) -> None:
    assert engine.lib.native_sample_meet(11, 10 * CASES) == 0


def test_the_sampled_code_runs_without_undefined_behaviour(checked_engine: Engine) -> None:
    lib: Any = checked_engine.lib
    for op, off in OPERATIONS:
        for narrow in (False, True):
            assert lib.native_sample_alu(12, CASES // 5, asm.ALU_OPS[op], off, narrow) == 0
    for number in asm.JMP_OPS.values():
        assert lib.native_sample_branch(13, CASES // 5, number, False) == 0


SMALL = st.integers(0, 63)


def largest_index(engine: Engine, *compute: asm.Item) -> int:
    """The smallest memory with which the access at r1 + r0 is accepted: one more than the verifier's bound on r0."""
    code = asm.assemble([*compute, asm.add64(R1, Reg(R0)), asm.ldx(B, R0, R1, 0), asm.exit_()])
    low, high = 1, 1 << 14
    while low < high:
        middle = (low + high) // 2
        try:
            engine.load(Program("bound", Hook.TEST, code), test_mem_size=middle)
            high = middle
        except VerifyRejected:
            low = middle + 1
    return low - 1


@settings(max_examples=60, deadline=None)
@given(mask=st.integers(1, 255), factor=st.integers(1, 15), shift=st.integers(0, 3), add=SMALL)
def test_bounds_are_as_tight_as_the_arithmetic_allows(
    engine: Engine, mask: int, factor: int, shift: int, add: int
) -> None:
    compute = [
        asm.ldx(B, R0, R1, 0),
        asm.alu64("and", R0, mask),
        asm.alu64("mul", R0, factor),
        asm.alu64("rsh", R0, shift),
        asm.add64(R0, add),
    ]
    assert largest_index(engine, *compute) == (mask * factor >> shift) + add


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(0, 254), narrow=st.booleans())
def test_a_comparison_bounds_exactly(engine: Engine, limit: int, narrow: bool) -> None:
    jump = asm.jump32 if narrow else asm.jump
    compute: list[asm.Item] = [
        asm.ldx(B, R0, R1, 0),
        jump("jle", R0, limit, "in"),
        asm.mov64(R0, 0),
        Label("in"),
    ]
    assert largest_index(engine, *compute) == limit
