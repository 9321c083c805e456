"""Known verifier bugs: each has a program here that must be refused, or computed correctly."""

from __future__ import annotations

import pytest

from contracts.program import Hook, MapDef, MapFlags, MapType, Program
from harness.bpf import asm
from harness.bpf.asm import DW, FP, R0, R1, R2, R3, R4, R5, R6, R7, B, Label, Reg, W
from harness.bpf.native import Engine, Refusal, RunEnd, VerifyRejected

VALUES = MapDef("values", MapType.ARRAY, 4, 64, 4)
FROZEN = MapDef("frozen", MapType.ARRAY, 4, 16, 1, int(MapFlags.RDONLY_PROG), bytes(range(16)))


def refusal(
    engine: Engine, *items: asm.Item, mem: int = 64, hook: Hook = Hook.TEST, maps: tuple[MapDef, ...] = ()
) -> Refusal:
    """The refusal of the program; fails if it is accepted."""
    with pytest.raises(VerifyRejected) as caught:
        engine.load(Program("bad", hook, asm.assemble(items), maps), test_mem_size=mem)
    assert caught.value.reason.startswith(f"slot {caught.value.slot}: ")
    return caught.value.refusal


def value(engine: Engine, *items: asm.Item, mem: bytes = bytes(64), maps: tuple[MapDef, ...] = ()) -> int:
    """r0 of a program that must be accepted and stay within its bound."""
    loaded = engine.load(Program("good", Hook.TEST, asm.assemble(items), maps), test_mem_size=len(mem))
    result = loaded.interpret(mem)
    assert result.end is RunEnd.OK
    assert result.executed <= loaded.wcet
    return result.r0


def index_into_memory(index: int) -> list[asm.Item]:
    """r0 = the byte at the index in a register, of 64 bytes of memory (base in r6)."""
    return [
        asm.add64(R6, Reg(index)),
        asm.ldx(B, R0, R6, 0),
        asm.exit_(),
        Label("out"),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]


def unknown(register: int) -> list[asm.Item]:
    """64 unknown bits."""
    return [asm.mov64(R6, Reg(R1)), asm.ldx(DW, register, R1, 0)]


def test_a_32_bit_move_of_an_immediate_does_not_sign_extend(engine: Engine) -> None:
    assert value(engine, asm.mov32(R0, -1), asm.exit_()) == 0xFFFF_FFFF
    # Treated as -1 it would pass the comparison, and the access would be at 0xffffffff.
    code = [*unknown(R7), asm.mov32(R7, -1), asm.jump("jsgt", R7, 0, "out"), *index_into_memory(R7)]
    assert value(engine, *code) == 0
    code = [*unknown(R7), asm.mov32(R7, -1), asm.alu64("add", R7, 1), *index_into_memory(R7)[:3]]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_64_bit_move_of_an_immediate_does_sign_extend(engine: Engine) -> None:
    assert value(engine, asm.mov64(R0, -1), asm.exit_()) == 0xFFFF_FFFF_FFFF_FFFF


def test_a_32_bit_comparison_says_nothing_of_the_upper_half(engine: Engine) -> None:
    code = [*unknown(R7), asm.jump32("jgt", R7, 8, "out"), *index_into_memory(R7)]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_32_bit_comparison_bounds_the_low_half(engine: Engine) -> None:
    code = [*unknown(R7), asm.jump32("jgt", R7, 8, "out"), asm.mov32(R7, Reg(R7)), *index_into_memory(R7)]
    assert value(engine, *code, mem=bytes([4]) + bytes(3) + bytes([200]) + bytes(59)) == 200


def test_a_64_bit_bound_is_not_taken_from_a_half_that_wraps(engine: Engine) -> None:
    # 64-bit range [1, 2^32]: the low half is anything, not [1, 0] nor [0, 1].
    code = [
        *unknown(R7),
        asm.lddw(R2, 1 << 32),
        asm.jump("jgt", R7, Reg(R2), "out"),
        asm.jump("jeq", R7, 0, "out"),
    ]
    assert (
        refusal(engine, *code, asm.mov32(R7, Reg(R7)), *index_into_memory(R7))
        == Refusal.BAD_POINTER_ARITHMETIC
    )


def test_bounds_after_or_are_not_cut_to_32_bits(engine: Engine) -> None:
    code = [*unknown(R7), asm.lddw(R2, 1 << 32), asm.alu64("and", R7, 7), asm.alu64("or", R7, Reg(R2))]
    assert refusal(engine, *code, *index_into_memory(R7)[:3]) == Refusal.BAD_POINTER_ARITHMETIC
    assert (
        refusal(engine, *code, asm.alu64("rsh", R7, 27), *index_into_memory(R7)[:3], mem=32)
        == Refusal.BAD_ACCESS
    )
    small = [*unknown(R7), asm.alu64("and", R7, 7), asm.alu64("or", R7, 56), *index_into_memory(R7)[:3]]
    assert value(engine, *small) == 0
    assert refusal(engine, *small, mem=63) == Refusal.BAD_ACCESS


@pytest.mark.parametrize("op", ["and", "or", "xor"])
def test_32_bit_bounds_follow_a_32_bit_bitwise_operation(engine: Engine, op: str) -> None:
    # A comparison makes the low half 0; then an unknown value is combined with it.
    code = [
        *unknown(R7),
        asm.ldx(DW, R3, R1, 8),
        asm.jump32("jne", R7, 0 if op != "and" else 0x7FFF_FFFF, "out"),
        asm.alu32(op, R7, Reg(R3)),
    ]
    assert refusal(engine, *code, *index_into_memory(R7)) in (
        Refusal.BAD_POINTER_ARITHMETIC,
        Refusal.BAD_ACCESS,
    )


def test_modulo_zero_on_32_bits_leaves_the_low_half_only(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.lddw(R0, 0x1_0000_0005),
        asm.ldx(W, R2, R1, 0),
        asm.alu32("mod", R0, Reg(R2)),
        asm.exit_(),
    ]
    assert value(engine, *code) == 5
    # A divisor that may be 0 leaves the dividend: no bound follows from the divisor.
    code = [*unknown(R7), asm.ldx(B, R2, R1, 8), asm.alu64("and", R2, 3), asm.alu64("mod", R7, Reg(R2))]
    assert refusal(engine, *code, *index_into_memory(R7)[:3]) == Refusal.BAD_POINTER_ARITHMETIC


def test_division_by_zero_and_the_one_that_overflows(engine: Engine) -> None:
    code = [asm.lddw(R0, 1 << 63), asm.ldx(DW, R2, R1, 0), asm.alu64("div", R0, Reg(R2), off=1), asm.exit_()]
    assert value(engine, *code, mem=b"\xff" * 8) == 1 << 63
    assert value(engine, *code, mem=bytes(8)) == 0


def lookup(*then: asm.Item, key_at: int = -4) -> list[asm.Item]:
    return [
        asm.mov64(R7, Reg(R1)),
        asm.st(W, FP, -4, 1),
        asm.mov64(R2, Reg(FP)),
        asm.add64(R2, key_at),
        asm.ld_map(R1, 0),
        asm.call(1),
        *then,
    ]


def test_arithmetic_on_a_lookup_that_may_be_null(engine: Engine) -> None:
    code = lookup(
        asm.add64(R0, 8),
        asm.jump("jeq", R0, 0, "out"),
        asm.ldx(DW, R0, R0, 0),
        Label("out"),
        asm.mov64(R0, 0),
        asm.exit_(),
    )
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_lookup_must_be_compared_before_it_is_used(engine: Engine) -> None:
    code = lookup(asm.ldx(DW, R0, R0, 0), asm.exit_())
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.BAD_ACCESS


def test_comparing_one_copy_of_a_lookup_settles_the_others(engine: Engine) -> None:
    code = lookup(
        asm.mov64(R6, Reg(R0)),
        asm.stx(DW, FP, -16, R0),
        asm.jump("jeq", R0, 0, "out"),
        asm.ldx(DW, R0, R6, 0),
        asm.ldx(DW, R1, FP, -16),
        asm.ldx(DW, R1, R1, 56),
        Label("out"),
        asm.mov64(R0, 0),
        asm.exit_(),
    )
    assert value(engine, *code, maps=(VALUES,)) == 0


def test_comparing_one_lookup_does_not_settle_another(engine: Engine) -> None:
    code = lookup(
        asm.mov64(R6, Reg(R0)),
        asm.mov64(R2, Reg(FP)),
        asm.add64(R2, -4),
        asm.ld_map(R1, 0),
        asm.call(1),
        asm.jump("jeq", R0, 0, "out"),
        asm.ldx(DW, R0, R6, 0),
        Label("out"),
        asm.mov64(R0, 0),
        asm.exit_(),
    )
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.BAD_ACCESS


@pytest.mark.parametrize("key_at", [-2, 0, -516, 4])
def test_a_helper_argument_outside_the_stack(engine: Engine, key_at: int) -> None:
    code = lookup(asm.mov64(R0, 0), asm.exit_(), key_at=key_at)
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.BAD_ACCESS


def test_a_helper_argument_that_is_not_written(engine: Engine) -> None:
    code = lookup(asm.mov64(R0, 0), asm.exit_(), key_at=-6)
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.UNINITIALISED


def test_a_helper_argument_at_the_end_of_a_map_value(engine: Engine) -> None:
    code = lookup(
        asm.jump("jeq", R0, 0, "out"),
        asm.mov64(R2, Reg(R0)),
        asm.add64(R2, 61),
        asm.ld_map(R1, 0),
        asm.call(1),
        Label("out"),
        asm.mov64(R0, 0),
        asm.exit_(),
    )
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.BAD_ACCESS


def test_pruning_keeps_a_path_whose_range_is_wider(engine: Engine) -> None:
    # The first path reaches the join with r7 <= 8, the second with any byte: the second must also be verified.
    code = [
        *unknown(R7),
        asm.ldx(B, R3, R1, 8),
        asm.alu64("and", R7, 255),
        asm.jump("jeq", R3, 0, "join"),
        asm.alu64("and", R7, 7),
        asm.ja("join"),
        Label("join"),
        *index_into_memory(R7)[:3],
    ]
    assert refusal(engine, *code) == Refusal.BAD_ACCESS


def test_pruning_keeps_a_path_with_less_of_the_packet_checked(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.ldx(W, R6, R1, 0),
        asm.ldx(W, R2, R1, 4),
        asm.ldx(W, R5, R1, 12),
        asm.mov64(R3, Reg(R6)),
        asm.add64(R3, 14),
        asm.mov64(R4, Reg(R6)),
        asm.add64(R4, 34),
        asm.mov64(R0, 2),
        asm.jump("jgt", R3, Reg(R2), "out"),
        asm.jump("jeq", R5, 0, "join"),
        asm.jump("jgt", R4, Reg(R2), "out"),
        Label("join"),
        asm.ldx(W, R0, R6, 26),
        Label("out"),
        asm.exit_(),
    ]
    assert refusal(engine, *code, hook=Hook.NET_RX) == Refusal.BAD_ACCESS


def test_pruning_keeps_a_path_with_an_unwritten_stack_slot(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.ldx(B, R3, R1, 0),
        asm.jump("jeq", R3, 0, "join"),
        asm.st(DW, FP, -8, 5),
        asm.ja("join"),
        Label("join"),
        asm.ldx(DW, R0, FP, -8),
        asm.exit_(),
    ]
    assert refusal(engine, *code) == Refusal.UNINITIALISED


def test_pruning_keeps_pointers_and_numbers_apart(engine: Engine) -> None:
    # The number's path is verified first, and its value is irrelevant: the pointer's path must not count as equal.
    in_register: list[asm.Item] = [
        asm.ldx(B, R3, R1, 0),
        asm.mov64(R7, Reg(R1)),
        asm.jump("jeq", R3, 0, "join"),
        asm.mov64(R7, 5),
        Label("join"),
        asm.mov64(R0, Reg(R7)),
        asm.exit_(),
    ]
    assert refusal(engine, *in_register) == Refusal.POINTER_LEAK
    on_stack: list[asm.Item] = [
        asm.ldx(B, R3, R1, 0),
        asm.stx(DW, FP, -8, R1),
        asm.jump("jeq", R3, 0, "join"),
        asm.st(DW, FP, -8, 5),
        Label("join"),
        asm.ldx(DW, R0, FP, -8),
        asm.exit_(),
    ]
    assert refusal(engine, *on_stack) == Refusal.POINTER_LEAK


def test_a_narrow_spill_leaves_the_rest_of_its_slot_alone(engine: Engine) -> None:
    code = [*unknown(R7), asm.stx(W, FP, -8, R7), asm.ldx(DW, R0, FP, -8), asm.exit_()]
    assert refusal(engine, *code) == Refusal.UNINITIALISED
    code = [
        *unknown(R7),
        asm.alu64("and", R7, 7),
        asm.ldx(DW, R3, R1, 8),
        asm.stx(DW, FP, -8, R3),
        asm.stx(W, FP, -8, R7),
        asm.ldx(DW, R7, FP, -8),
        *index_into_memory(R7)[:3],
    ]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC


def test_pruning_keeps_equalities_apart(engine: Engine) -> None:
    # On one path r8 is a copy of r7, on the other not: a bound on r8 bounds r7 only on the first.
    code = [
        *unknown(R7),
        asm.ldx(B, R3, R1, 8),
        asm.ldx(DW, 8, R1, 16),
        asm.jump("jeq", R3, 0, "join"),
        asm.mov64(8, Reg(R7)),
        Label("join"),
        asm.jump("jgt", 8, 7, "out"),
        *index_into_memory(R7),
    ]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_bound_on_a_copy_holds_for_the_original_and_its_spill(engine: Engine) -> None:
    code = [
        *unknown(R7),
        asm.mov64(R3, Reg(R7)),
        asm.stx(DW, FP, -8, R7),
        asm.jump("jgt", R3, 7, "out"),
        asm.ldx(DW, R4, FP, -8),
        asm.add64(R1, Reg(R4)),
        asm.ldx(B, R0, R1, 0),
        *index_into_memory(R7),
    ]
    assert value(engine, *code) == 0


def test_a_bound_on_a_stale_copy_does_not_hold_for_a_new_value(engine: Engine) -> None:
    # r7 changes after it was copied; the spill changes after it was made.
    code = [
        *unknown(R7),
        asm.mov64(R3, Reg(R7)),
        asm.add64(R7, 100),
        asm.jump("jgt", R3, 7, "out"),
        *index_into_memory(R7),
    ]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC
    code = [
        *unknown(R7),
        asm.mov64(R3, Reg(R7)),
        asm.stx(DW, FP, -8, R7),
        asm.ldx(DW, R5, R1, 8),
        asm.stx(B, FP, -8, R5),
        asm.jump("jgt", R3, 7, "out"),
        asm.ldx(DW, R7, FP, -8),
        *index_into_memory(R7),
    ]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_narrow_spill_has_no_upper_half(engine: Engine) -> None:
    # Spilled with 4 bytes, an id shared with the 64-bit original would bound it by its low half.
    code = [
        *unknown(R7),
        asm.stx(W, FP, -8, R7),
        asm.ldx(W, R3, FP, -8),
        asm.jump("jgt", R3, 7, "out"),
        *index_into_memory(R7),
    ]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC
    code = [
        *unknown(R7),
        asm.stx(W, FP, -8, R7),
        asm.ldx(W, R3, FP, -8),
        asm.jump("jgt", R3, 7, "out"),
        asm.ldx(W, R7, FP, -8),
        *index_into_memory(R7),
    ]
    assert value(engine, *code) == 0


@pytest.mark.parametrize(
    "leak",
    [
        [asm.mov64(R0, Reg(R1)), asm.exit_()],
        [asm.mov32(R0, Reg(R1)), asm.exit_()],
        [asm.alu64("mov", R0, Reg(R1), off=32), asm.exit_()],
        [asm.stx(DW, R1, 0, R1), asm.mov64(R0, 0), asm.exit_()],
        [asm.stx(DW, FP, -8, R1), asm.ldx(W, R0, FP, -8), asm.exit_()],
        [asm.stx(DW, FP, -8, R1), asm.st(B, FP, -8, 0), asm.ldx(DW, R0, FP, -8), asm.exit_()],
        [asm.stx(W, FP, -8, R1), asm.mov64(R0, 0), asm.exit_()],
        [asm.mov64(R0, 0), asm.jump("jgt", R1, 5, "o"), Label("o"), asm.exit_()],
        [asm.mov64(R0, 0), asm.jump32("jeq", R1, 0, "o"), Label("o"), asm.exit_()],
        [asm.mov64(R2, 0), asm.atomic(DW, "xchg", R1, 0, FP, fetch=True), asm.mov64(R0, 0), asm.exit_()],
        [asm.mov64(R0, Reg(R1)), asm.alu64("xor", R0, Reg(R1)), asm.exit_()],
        [asm.mov64(R0, Reg(R1)), asm.bswap(R0, 64), asm.exit_()],
        [asm.mov64(R0, Reg(R1)), asm.alu64("neg", R0), asm.exit_()],
        [asm.mov64(R0, Reg(R1)), asm.alu64("sub", R0, Reg(FP)), asm.exit_()],
    ],
)
def test_pointers_do_not_become_numbers(engine: Engine, leak: list[asm.Item]) -> None:
    assert refusal(engine, *leak) in (
        Refusal.POINTER_LEAK,
        Refusal.BAD_ACCESS,
        Refusal.UNINITIALISED,
        Refusal.BAD_POINTER_ARITHMETIC,
    )


def test_a_pointer_in_a_key_or_a_map_value_is_a_leak(engine: Engine) -> None:
    wide = MapDef("wide", MapType.HASH, 8, 8, 4)
    code: list[asm.Item] = [
        asm.stx(DW, FP, -8, R1),
        asm.mov64(R2, Reg(FP)),
        asm.add64(R2, -8),
        asm.ld_map(R1, 0),
        asm.call(1),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refusal(engine, *code, maps=(wide,)) == Refusal.POINTER_LEAK
    code = lookup(
        asm.jump("jeq", R0, 0, "out"), asm.stx(DW, R0, 0, R7), Label("out"), asm.mov64(R0, 0), asm.exit_()
    )
    assert refusal(engine, *code, maps=(VALUES,)) == Refusal.POINTER_LEAK


def test_a_frozen_map_is_read_only_and_known(engine: Engine) -> None:
    assert (
        refusal(
            engine,
            asm.ld_map_value(R3, 0),
            asm.st(B, R3, 0, 1),
            asm.mov64(R0, 0),
            asm.exit_(),
            maps=(FROZEN,),
        )
        == Refusal.BAD_ACCESS
    )
    code = [
        asm.ld_map_value(R3, 0),
        asm.ldx(B, R3, R3, 9),
        asm.add64(R1, Reg(R3)),
        asm.ldx(B, R0, R1, 0),
        asm.exit_(),
    ]
    assert value(engine, *code, mem=bytes(10), maps=(FROZEN,)) == 0
    assert refusal(engine, *code, mem=9, maps=(FROZEN,)) == Refusal.BAD_ACCESS
    update = [
        asm.st(W, FP, -4, 0),
        asm.st(DW, FP, -16, 0),
        asm.st(DW, FP, -24, 0),
        asm.mov64(R2, Reg(FP)),
        asm.add64(R2, -4),
        asm.mov64(R3, Reg(FP)),
        asm.add64(R3, -24),
        asm.mov64(R4, 0),
        asm.ld_map(R1, 0),
        asm.call(2),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refusal(engine, *update, maps=(FROZEN,)) == Refusal.BAD_HELPER


def test_signed_bounds_alone_do_not_allow_a_negative_offset(engine: Engine) -> None:
    code = [*unknown(R7), asm.jump("jsgt", R7, 8, "out"), *index_into_memory(R7)]
    assert refusal(engine, *code) == Refusal.BAD_POINTER_ARITHMETIC
    code = [
        *unknown(R7),
        asm.jump("jsgt", R7, 8, "out"),
        asm.jump("jslt", R7, -1, "out"),
        *index_into_memory(R7),
    ]
    assert refusal(engine, *code) == Refusal.BAD_ACCESS
    code = [
        *unknown(R7),
        asm.jump("jsgt", R7, 8, "out"),
        asm.jump("jslt", R7, 0, "out"),
        *index_into_memory(R7),
    ]
    assert value(engine, *code) == 0


def test_an_offset_that_overflows_is_not_small(engine: Engine) -> None:
    code = [
        *unknown(R7),
        asm.lddw(R2, 0xFFFF_FFFF_FFFF_FFF8),
        asm.jump("jlt", R7, Reg(R2), "out"),
        asm.add64(R7, 16),
    ]
    assert value(engine, *code, *index_into_memory(R7), mem=b"\xf8" + b"\xff" * 7 + bytes(56)) == 0
    code = [
        *unknown(R7),
        asm.lddw(R2, 0xFFFF_FFFF_FFFF_FFF0),
        asm.jump("jlt", R7, Reg(R2), "out"),
        asm.add64(R7, 8),
    ]
    assert refusal(engine, *code, *index_into_memory(R7)) in (
        Refusal.BAD_ACCESS,
        Refusal.BAD_POINTER_ARITHMETIC,
    )


def test_shifts_by_the_width_or_more_are_masked(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.mov64(R0, 3),
        asm.ldx(B, R2, R1, 0),
        asm.alu64("lsh", R0, Reg(R2)),
        asm.exit_(),
    ]
    assert value(engine, *code, mem=b"\x41") == 6
    code = [*unknown(R7), asm.mov64(R3, 60), asm.alu32("rsh", R7, Reg(R3)), *index_into_memory(R7)[:3]]
    assert value(engine, *code) == 0  # 60 & 31 = 28: the low half is below 16
    assert refusal(engine, *code, mem=15) == Refusal.BAD_ACCESS


def test_packet_pointers_do_not_wrap(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.ldx(W, R6, R1, 0),
        asm.ldx(W, R2, R1, 4),
        asm.ldx(W, R5, R1, 12),
        asm.mov64(R0, 0),
        asm.alu64("and", R5, 0x1FFF_FFFF),
        asm.add64(R6, Reg(R5)),
        asm.mov64(R3, Reg(R6)),
        asm.add64(R3, 8),
        asm.jump("jgt", R3, Reg(R2), "out"),
        asm.ldx(DW, R0, R6, 0),
        Label("out"),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refusal(engine, *code, hook=Hook.NET_RX) == Refusal.BAD_ACCESS


@pytest.mark.parametrize(
    ("op", "first", "last_byte", "fine"),
    [
        ("jgt", "packet", 13, True),
        ("jgt", "packet", 14, False),
        ("jge", "packet", 14, True),
        ("jge", "packet", 15, False),
        ("jlt", "end", 13, True),
        ("jlt", "end", 14, False),
        ("jle", "end", 14, True),
        ("jle", "end", 15, False),
    ],
)
def test_what_a_comparison_with_the_end_of_the_packet_says(
    engine: Engine, op: str, first: str, last_byte: int, fine: bool
) -> None:
    # Out when packet + 14 OP end (or end OP' packet + 14); inside, bytes up to 13 exist, or 14 when strictly before.
    left, right = (R3, R2) if first == "packet" else (R2, R3)
    code: list[asm.Item] = [
        asm.ldx(W, R6, R1, 0),
        asm.ldx(W, R2, R1, 4),
        asm.mov64(R3, Reg(R6)),
        asm.add64(R3, 14),
        asm.mov64(R0, 0),
        asm.jump(op, left, Reg(right), "out"),
        asm.ldx(B, R0, R6, last_byte),
        Label("out"),
        asm.exit_(),
    ]
    program = Program("p", Hook.NET_RX, asm.assemble(code))
    if not fine:
        assert refusal(engine, *code, hook=Hook.NET_RX) == Refusal.BAD_ACCESS
        return
    loaded = engine.load(program)
    for length in (0, 13, 14, 15, 60):
        assert loaded.interpret(bytes(length)).end is RunEnd.OK


def test_one_load_cannot_serve_the_context_and_other_memory(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.ldx(W, R3, R1, 12),
        asm.st(DW, FP, -8, 0),
        asm.mov64(R2, Reg(R1)),
        asm.jump("jeq", R3, 0, "join"),
        asm.mov64(R2, Reg(FP)),
        asm.add64(R2, -8),
        Label("join"),
        asm.ldx(W, R0, R2, 0),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refusal(engine, *code, hook=Hook.NET_RX) == Refusal.BAD_ACCESS


def test_the_context_is_read_as_whole_fields_and_never_written(engine: Engine) -> None:
    for bad in (
        asm.ldx(DW, R0, R1, 0),
        asm.ldx(B, R0, R1, 12),
        asm.ldx(W, R0, R1, 2),
        asm.ldx(W, R0, R1, 24),
        asm.ldx(W, R0, R1, -4),
    ):
        assert refusal(engine, bad, asm.mov64(R0, 0), asm.exit_(), hook=Hook.NET_RX) == Refusal.BAD_ACCESS
    assert (
        refusal(engine, asm.st(W, R1, 12, 0), asm.mov64(R0, 0), asm.exit_(), hook=Hook.NET_RX)
        == Refusal.BAD_ACCESS
    )


def test_atomics_are_aligned_and_stay_off_the_packet(engine: Engine) -> None:
    for off in (1, 4):
        assert (
            refusal(
                engine, asm.mov64(R2, 1), asm.atomic(DW, "add", R1, off, R2), asm.mov64(R0, 0), asm.exit_()
            )
            == Refusal.BAD_ACCESS
        )
    code: list[asm.Item] = [
        asm.ldx(W, R6, R1, 0),
        asm.ldx(W, R2, R1, 4),
        asm.mov64(R3, Reg(R6)),
        asm.add64(R3, 8),
        asm.mov64(R0, 0),
        asm.jump("jgt", R3, Reg(R2), "out"),
        asm.mov64(R4, 1),
        asm.atomic(DW, "add", R6, 0, R4),
        Label("out"),
        asm.exit_(),
    ]
    assert refusal(engine, *code, hook=Hook.NET_RX) == Refusal.BAD_ACCESS


def test_a_callee_cannot_hand_out_its_stack(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.call_local("f"),
        asm.ldx(DW, R0, R0, 0),
        asm.exit_(),
        Label("f"),
        asm.st(DW, FP, -8, 1),
        asm.mov64(R0, Reg(FP)),
        asm.add64(R0, -8),
        asm.exit_(),
    ]
    assert refusal(engine, *code) == Refusal.BAD_RETURN
    code = [
        asm.mov64(R1, Reg(FP)),
        asm.add64(R1, -8),
        asm.st(DW, FP, -8, 0),
        asm.call_local("f"),
        asm.ldx(DW, R1, FP, -8),
        asm.ldx(DW, R0, R1, 0),
        asm.exit_(),
        Label("f"),
        asm.st(DW, FP, -8, 1),
        asm.mov64(R2, Reg(FP)),
        asm.add64(R2, -8),
        asm.stx(DW, R1, 0, R2),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refusal(engine, *code) == Refusal.POINTER_LEAK


def test_a_callee_writes_to_the_stack_it_is_lent(engine: Engine) -> None:
    code: list[asm.Item] = [
        asm.mov64(R1, Reg(FP)),
        asm.add64(R1, -8),
        asm.st(DW, FP, -8, 1),
        asm.call_local("f"),
        asm.ldx(DW, R0, FP, -8),
        asm.exit_(),
        Label("f"),
        asm.ldx(DW, R2, R1, 0),
        asm.add64(R2, 41),
        asm.stx(DW, R1, 0, R2),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert value(engine, *code) == 42


def test_registers_do_not_survive_a_call(engine: Engine) -> None:
    for register in (1, 2, 3, 4, 5):
        code: list[asm.Item] = [
            asm.mov64(register, 1),
            asm.call(5),
            asm.mov64(R0, Reg(register)),
            asm.exit_(),
        ]
        assert refusal(engine, *code) == Refusal.UNINITIALISED
    code = [
        asm.mov64(R6, 1),
        asm.call_local("f"),
        asm.exit_(),
        Label("f"),
        asm.mov64(R0, Reg(R6)),
        asm.exit_(),
    ]
    assert refusal(engine, *code) == Refusal.UNINITIALISED


def test_a_stack_slot_that_held_four_bytes_holds_a_pointer_next(engine: Engine) -> None:
    # The four bytes are irrelevant, so their value is dropped at the join; their width must be dropped too.
    code: list[asm.Item] = [
        asm.ldx(B, R3, R1, 0),
        asm.stx(W, FP, -8, R3),
        asm.jump("jeq", R3, 7, "join"),
        asm.mov64(R4, 1),
        Label("join"),
        asm.ldx(W, R5, FP, -8),
        asm.stx(DW, FP, -8, R1),
        asm.ldx(DW, R2, FP, -8),
        asm.ldx(B, R0, R2, 0),
        asm.exit_(),
    ]
    assert value(engine, *code, mem=bytes([9]) + bytes(63)) == 9
    # With one half overwritten it is no longer a pointer.
    broken = [*code[:7], asm.st(W, FP, -4, 0), *code[7:]]
    assert refusal(engine, *broken) in (Refusal.UNINITIALISED, Refusal.POINTER_LEAK)


# Values changed by a callee, an atomic operation or a join are unknown: r6 + r2 may then be anywhere.
INDEXED = [asm.add64(R6, Reg(R2)), asm.ldx(B, R0, R6, 0), asm.exit_()]


@pytest.mark.parametrize(
    "callee",
    [
        [asm.st(DW, R1, -4, 100)],
        [asm.st(W, R1, 0, 100)],
        [asm.alu64("and", R2, 4), asm.add64(R1, Reg(R2)), asm.st(W, R1, -4, 100)],
    ],
    ids=["across two slots", "the upper half", "somewhere"],
)
def test_what_a_callee_may_have_overwritten_is_not_known(engine: Engine, callee: list[asm.Item]) -> None:
    code = [
        asm.mov64(R6, Reg(R1)),
        asm.ldx(B, R2, R1, 0),
        asm.st(DW, FP, -8, 1),
        asm.st(DW, FP, -16, 1),
        asm.mov64(R1, Reg(FP)),
        asm.add64(R1, -4),
        asm.call_local("f"),
        asm.ldx(DW, R2, FP, -8),
        *INDEXED,
        Label("f"),
        *callee,
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refusal(engine, *code) in (Refusal.BAD_ACCESS, Refusal.BAD_POINTER_ARITHMETIC)


@pytest.mark.parametrize(
    "change",
    [
        [asm.atomic(DW, "add", FP, -8, R2), asm.ldx(DW, R2, FP, -8)],
        [asm.atomic(W, "add", FP, -4, R2), asm.ldx(DW, R2, FP, -8)],
        [asm.atomic(DW, "xchg", FP, -8, R2)],
        [asm.atomic(DW, "cmpxchg", FP, -8, R2), asm.mov64(R2, Reg(R0))],
    ],
    ids=["memory", "upper half", "fetched", "exchanged"],
)
def test_what_an_atomic_operation_leaves_is_not_known(engine: Engine, change: list[asm.Item]) -> None:
    code = [asm.mov64(R6, Reg(R1)), asm.mov64(R0, 0), asm.st(DW, FP, -8, 0), asm.mov64(R2, 2), *change]
    assert refusal(engine, *code, *INDEXED) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_spilled_copy_is_bounded_on_the_path_that_copied_only(engine: Engine) -> None:
    code = [
        *unknown(R7),
        asm.stx(DW, FP, -8, R7),
        asm.ldx(B, R3, R1, 16),
        asm.jump("jne", R3, 0, "join"),
        asm.ldx(DW, R4, R1, 8),
        asm.stx(DW, FP, -8, R4),
        Label("join"),
        asm.jump("jgt", R7, 8, "out"),
        asm.ldx(DW, R2, FP, -8),
    ]
    assert refusal(engine, *code, *index_into_memory(R2)) == Refusal.BAD_POINTER_ARITHMETIC


def test_a_loop_that_narrows_a_number_is_left_with_no_more_than_its_bound(engine: Engine) -> None:
    def narrows(until: int) -> list[asm.Item]:
        return [
            asm.mov64(R6, Reg(R1)),
            asm.ldx(B, R2, R1, 0),
            Label("again"),
            asm.jump("jle", R2, until, "enough"),
            asm.alu64("rsh", R2, 1),
            asm.ja("again"),
            Label("enough"),
            *INDEXED,
        ]

    assert value(engine, *narrows(63), mem=bytes([255]) + bytes(62) + b"\x07") == 7
    assert refusal(engine, *narrows(64)) == Refusal.BAD_ACCESS
