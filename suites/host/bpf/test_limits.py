"""Limits on control flow, depth and length; each refusal has a reason, a location, a path and a fix."""

from __future__ import annotations

import pytest

from contracts.program import Hook, MapDef, MapType, Program
from harness.bpf import asm
from harness.bpf.asm import DW, FP, R0, R1, R2, R3, R4, R6, B, Label, Reg
from harness.bpf.native import Engine, Refusal, RunEnd, VerifyRejected


def refused(
    engine: Engine, code: bytes, *, mem: int = 0, maps: tuple[MapDef, ...] = (), hook: Hook = Hook.TEST
) -> VerifyRejected:
    with pytest.raises(VerifyRejected) as caught:
        engine.load(Program("bad", hook, code, maps), test_mem_size=mem)
    return caught.value


EXIT = asm.raw(0x95)
MOV0 = asm.raw(0xB7)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (asm.raw(0xB7, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # mov imm with a source register
        (asm.raw(0xB7, 0, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # mov imm with an offset
        (asm.raw(0xBF, 0, 1, 7) + EXIT, Refusal.BAD_ENCODING),  # sign-extension from 7 bits
        (asm.raw(0xBC, 0, 1, 32) + EXIT, Refusal.BAD_ENCODING),  # 32 to 32 bits
        (asm.raw(0x37, 0, 0, 2, 1) + EXIT, Refusal.BAD_ENCODING),  # div with offset 2
        (asm.raw(0x07, 0, 0, 1, 1) + EXIT, Refusal.BAD_ENCODING),  # add with offset 1
        (asm.raw(0x0F, 0, 1, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # add register with an immediate
        (asm.raw(0x8F, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # neg of a register operand
        (asm.raw(0xD4, 0, 0, 0, 8) + EXIT, Refusal.BAD_ENCODING),  # swap of 8 bits
        (asm.raw(0xDF, 0, 0, 0, 16) + EXIT, Refusal.BAD_ENCODING),  # bswap with the source bit
        (asm.raw(0xE7, 0) + EXIT, Refusal.BAD_ENCODING),  # no such operation
        (asm.raw(0x95, 1), Refusal.BAD_ENCODING),  # exit with a register
        (asm.raw(0x95, 0, 0, 0, 1), Refusal.BAD_ENCODING),
        (asm.raw(0x05, 0, 0, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # goto with an immediate
        (asm.raw(0x06, 0, 0, 1, 0) + EXIT, Refusal.BAD_ENCODING),  # long goto with an offset
        (asm.raw(0x1D, 0, 1, 0, 9) + EXIT, Refusal.BAD_ENCODING),  # jump on a register with an immediate
        (asm.raw(0x15, 0, 1, 0, 9) + EXIT, Refusal.BAD_ENCODING),  # jump on an immediate with a register
        (asm.raw(0xE5, 0) + EXIT, Refusal.BAD_ENCODING),
        (asm.raw(0x61, 0, 1, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # load with an immediate
        (asm.raw(0x99, 0, 1) + EXIT, Refusal.BAD_ENCODING),  # sign-extending load of 8 bytes
        (asm.raw(0x62, 1, 2) + EXIT, Refusal.BAD_ENCODING),  # store immediate with a source register
        (asm.raw(0x63, 1, 2, 0, 1) + EXIT, Refusal.BAD_ENCODING),
        (asm.raw(0xC3, 1, 2, 0, 0x20) + EXIT, Refusal.BAD_ENCODING),  # atomic multiply
        (asm.raw(0xCB, 1, 2, 0, 0) + EXIT, Refusal.BAD_ENCODING),  # atomic of 2 bytes
        (asm.raw(0x18, 0) + EXIT, Refusal.BAD_ENCODING),  # half an lddw
        (asm.raw(0x18, 0), Refusal.BAD_ENCODING),
        (asm.raw(0x18, 0, 0, 1) + asm.raw(0) + EXIT, Refusal.BAD_ENCODING),
        (asm.raw(0x18, 0) + asm.raw(0, 1) + EXIT, Refusal.BAD_ENCODING),
        (asm.raw(0x18, 0, 1) + asm.raw(0) + EXIT, Refusal.BAD_MAP),
        (asm.raw(0x18, 0, 3) + asm.raw(0) + EXIT, Refusal.UNSUPPORTED),
        (asm.raw(0x20, 0, 0, 0, 4) + EXIT, Refusal.UNSUPPORTED),  # legacy packet loads
        (asm.raw(0x48, 0, 1) + EXIT, Refusal.UNSUPPORTED),
        (asm.raw(0x85, 0, 2, 0, 1) + EXIT, Refusal.UNSUPPORTED),  # call by BTF id
        (asm.raw(0x8D, 0, 0, 0, 1) + EXIT, Refusal.UNSUPPORTED),  # indirect call
        (asm.raw(0x85, 0, 0, 1, 5) + EXIT, Refusal.BAD_ENCODING),
        (asm.raw(0xB7, 11) + EXIT, Refusal.BAD_REGISTER),
        (asm.raw(0xBF, 0, 12) + EXIT, Refusal.BAD_REGISTER),
        (asm.raw(0xB7, 10) + EXIT, Refusal.BAD_REGISTER),  # r10 is read-only
        (asm.raw(0x79, 10, 10, -8) + EXIT, Refusal.BAD_REGISTER),
        (asm.raw(0x85, 0, 0, 0, 4) + EXIT, Refusal.BAD_HELPER),  # no such helper
        (MOV0 + asm.raw(0x05, 0, 0, 5) + EXIT, Refusal.BAD_JUMP),
        (MOV0 + asm.raw(0x05, 0, 0, -3) + EXIT, Refusal.BAD_JUMP),
        (asm.raw(0x06, 0, 0, 0, 0x7FFFFFFF) + EXIT, Refusal.BAD_JUMP),
        (MOV0, Refusal.BAD_JUMP),  # runs off the end
        (MOV0 + asm.raw(0x05, 0, 0, 1) + MOV0 + EXIT, Refusal.BAD_JUMP),  # unreachable
        (MOV0 + asm.raw(0x15, 0, 0, 1) + asm.raw(0x18) + asm.raw(0) + EXIT, Refusal.BAD_JUMP),  # into an lddw
        (MOV0 + asm.raw(0x85, 0, 1, 0, 100) + EXIT, Refusal.BAD_CALL),
        (EXIT, Refusal.BAD_RETURN),
    ],
)
def test_malformed_code_is_refused_with_its_class(engine: Engine, code: bytes, why: Refusal) -> None:
    error = refused(engine, code)
    assert error.refusal == why, error.reason


def test_a_refusal_says_what_where_by_which_path_and_the_fix(engine: Engine) -> None:
    code = asm.assemble(
        [
            asm.ldx(B, R3, R1, 0),
            asm.jump("jgt", R3, 9, "far"),
            asm.mov64(R0, 0),
            asm.exit_(),
            Label("far"),
            asm.add64(R1, Reg(R3)),
            asm.ldx(B, R0, R1, 0),
            asm.exit_(),
        ]
    )
    error = refused(engine, code, mem=16)
    assert error.slot == 5
    assert "bytes 10 to 255 of 16" in error.reason
    assert "path: 1 taken" in error.reason
    assert "fix: compare the offset with the size first" in error.reason


def test_a_loop_that_nothing_ends_is_refused(engine: Engine) -> None:
    forever: list[asm.Item] = [Label("a"), asm.ja("a")]
    assert refused(engine, asm.assemble(forever)).refusal == Refusal.INFINITE_LOOP
    until_random: list[asm.Item] = [Label("a"), asm.call(7), asm.jump("jne", R0, 5, "a"), asm.exit_()]
    assert refused(engine, asm.assemble(until_random)).refusal == Refusal.INFINITE_LOOP
    counts_nothing: list[asm.Item] = [
        asm.mov64(R6, 0),
        Label("a"),
        asm.add64(R6, 2),
        asm.jump("jne", R6, 5, "a"),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refused(engine, asm.assemble(counts_nothing)).refusal == Refusal.TOO_COMPLEX


def test_a_loop_that_counts_an_unknown_number_down_is_accepted(engine: Engine) -> None:
    # Each round's number is one of the previous round's, but fewer remain: not the same state again.
    counts_down: list[asm.Item] = [
        asm.ldx(B, R3, R1, 0),
        asm.mov64(R0, 0),
        Label("a"),
        asm.jump("jeq", R3, 0, "out"),
        asm.add64(R3, -1),
        asm.add64(R0, 2),
        asm.ja("a"),
        Label("out"),
        asm.exit_(),
    ]
    loaded = engine.load(Program("loop", Hook.TEST, asm.assemble(counts_down)), test_mem_size=8)
    for rounds in (0, 1, 255):
        result = loaded.interpret(bytes([rounds]) + bytes(7))
        assert result.r0 == 2 * rounds
        assert result.executed <= loaded.wcet
    halves: list[asm.Item] = [
        asm.alu64("rsh", R3, 1) if item is counts_down[4] else item for item in counts_down
    ]
    assert engine.load(Program("loop", Hook.TEST, asm.assemble(halves)), test_mem_size=8).wcet < 100
    wraps: list[asm.Item] = [
        asm.alu64("sub", R3, 2) if item is counts_down[4] else item for item in counts_down
    ]
    assert refused(engine, asm.assemble(wraps), mem=8).refusal in (
        Refusal.INFINITE_LOOP,
        Refusal.TOO_COMPLEX,
    )


def test_the_bound_of_a_loop_is_exact_where_it_has_one_way(engine: Engine) -> None:
    for rounds in (1, 10, 1000):
        code: list[asm.Item] = [
            asm.mov64(R0, 0),
            Label("a"),
            asm.add64(R0, 1),
            asm.jump("jlt", R0, rounds, "a"),
            asm.exit_(),
        ]
        loaded = engine.load(Program("loop", Hook.TEST, asm.assemble(code)))
        assert loaded.wcet == loaded.interpret().executed == 2 + 2 * rounds


def test_the_bound_is_that_of_the_longest_way(engine: Engine) -> None:
    code = asm.assemble(
        [
            asm.ldx(B, R3, R1, 0),
            asm.mov64(R0, 0),
            asm.jump("jeq", R3, 0, "short"),
            *[asm.add64(R0, 1)] * 50,
            Label("short"),
            asm.jump("jeq", R3, 1, "end"),
            *[asm.add64(R0, 1)] * 7,
            Label("end"),
            asm.exit_(),
        ]
    )
    loaded = engine.load(Program("ways", Hook.TEST, code), test_mem_size=1)
    longest = max(loaded.interpret(bytes([n])).executed for n in range(3))
    assert loaded.wcet == longest == 3 + 50 + 1 + 7 + 1


def test_many_ways_that_differ_in_nothing_that_matters_are_walked_once(engine: Engine) -> None:
    items: list[asm.Item] = [asm.mov64(R0, 0)]
    for bit in range(31):
        items += [
            asm.ldx(B, R3, R1, bit % 8),
            asm.jump("jset", R3, 1, f"b{bit}"),
            asm.add64(R0, bit),
            Label(f"b{bit}"),
        ]
    loaded = engine.load(Program("diamonds", Hook.TEST, asm.assemble([*items, asm.exit_()])), test_mem_size=8)
    assert loaded.processed < 31 * 8
    assert loaded.wcet == loaded.interpret(bytes(8)).executed


def test_ways_beyond_the_cap_are_refused_not_walked_forever(engine: Engine) -> None:
    items: list[asm.Item] = [asm.ldx(DW, R3, R1, 0), asm.mov64(R4, 0)]
    for bit in range(31):  # the sum decides an access: every path is another state
        items += [asm.jump("jset", R3, 1 << bit, f"b{bit}"), asm.alu64("or", R4, 1 << bit), Label(f"b{bit}")]
    items += [asm.alu64("and", R4, 7), asm.add64(R1, Reg(R4)), asm.ldx(B, R0, R1, 0), asm.exit_()]
    error = refused(engine, asm.assemble(items), mem=8)
    assert error.refusal == Refusal.TOO_COMPLEX
    assert error.processed <= 200_000


def test_recursion_and_deep_calls_are_refused(engine: Engine) -> None:
    recursion: list[asm.Item] = [
        asm.call_local("f"),
        asm.exit_(),
        Label("f"),
        asm.call_local("f"),
        asm.mov64(R0, 0),
        asm.exit_(),
    ]
    assert refused(engine, asm.assemble(recursion)).refusal == Refusal.BAD_CALL

    def chain(calls: int) -> bytes:
        items: list[asm.Item] = []
        for level in range(calls):
            items += [Label(f"f{level}"), asm.call_local(f"f{level + 1}"), asm.exit_()]
        return asm.assemble([*items, Label(f"f{calls}"), asm.mov64(R0, 9), asm.exit_()])

    assert engine.load(Program("chain", Hook.TEST, chain(7))).interpret().r0 == 9
    assert refused(engine, chain(8)).refusal == Refusal.BAD_CALL


def test_the_stack_of_a_call_chain_is_512_bytes_in_all(engine: Engine) -> None:
    def two(first: int, second: int) -> bytes:
        return asm.assemble(
            [
                asm.st(DW, FP, -first, 1),
                asm.call_local("f"),
                asm.exit_(),
                Label("f"),
                asm.st(DW, FP, -second, 2),
                asm.ldx(DW, R0, FP, -second),
                asm.exit_(),
            ]
        )

    loaded = engine.load(Program("deep", Hook.TEST, two(256, 256)))
    assert (loaded.stack_bytes, loaded.interpret().r0) == (512, 2)
    assert refused(engine, two(256, 264)).refusal == Refusal.STACK_TOO_DEEP
    assert (
        refused(engine, asm.assemble([asm.st(DW, FP, -520, 1), asm.mov64(R0, 0), asm.exit_()])).refusal
        == Refusal.BAD_ACCESS
    )


def test_a_refused_program_is_left_as_it_was(engine: Engine) -> None:
    maps = (MapDef("m", MapType.HASH, 8, 8, 4),)
    code = asm.assemble([asm.ld_map(R1, 0), asm.ldx(DW, R0, R1, 0), asm.exit_()])
    loaded = engine.load_unverified(Program("bad", Hook.TEST, code, maps))
    refused(engine, code, maps=maps)
    assert loaded.insns == code


def test_too_many_maps_functions_and_slots_are_refused(engine: Engine) -> None:
    from contracts.errors import ProgramRejected

    good = MOV0 + EXIT
    with pytest.raises(ProgramRejected, match="too many maps"):
        engine.load(Program("maps", Hook.TEST, good, (MapDef("m", MapType.ARRAY, 4, 8, 1),) * 9))
    with pytest.raises(ProgramRejected, match="8-byte slots"):
        engine.load(Program("odd", Hook.TEST, good[:-1]))
    with pytest.raises(ProgramRejected, match="8-byte slots"):
        engine.load(Program("large", Hook.TEST, MOV0 * 4096 + EXIT))
    assert engine.load(Program("large", Hook.TEST, MOV0 * 4095 + EXIT)).wcet == 4096
    functions: list[asm.Item] = [asm.call_local(f"f{n}") for n in range(16)]
    functions.append(asm.exit_())
    for n in range(16):
        functions += [Label(f"f{n}"), asm.mov64(R0, n), asm.exit_()]
    assert refused(engine, asm.assemble(functions)).refusal == Refusal.TOO_COMPLEX


def test_the_interpreter_stops_by_itself(engine: Engine) -> None:
    loop = Program("loop", Hook.TEST, asm.assemble([Label("a"), asm.ja("a")]))
    result = engine.load_unverified(loop).interpret(fuel=1000)
    assert (result.end, result.executed) == (RunEnd.OUT_OF_FUEL, 1000)
    wild = Program("wild", Hook.TEST, asm.assemble([asm.ldx(DW, R0, R2, 64), asm.exit_()]))
    result = engine.load_unverified(wild, test_mem_size=8).interpret(bytes(8), fuel=10)
    assert (result.end, result.slot, result.address) == (RunEnd.OUT_OF_BOUNDS, 0, 72)
    recursion = Program("deep", Hook.TEST, asm.assemble([Label("f"), asm.call_local("f"), asm.exit_()]))
    assert engine.load_unverified(recursion).interpret(fuel=100).end is RunEnd.BAD_CALL


def test_traces_are_formatted_as_linux_does(engine: Engine) -> None:
    text = b"a=%d b=%llx c=%u%%\0"
    constant = MapDef("fmt", MapType.ARRAY, 4, len(text), 1, 0x80, text)
    code = asm.assemble(
        [
            asm.ld_map_value(R1, 0),
            asm.mov64(R2, len(text)),
            asm.mov64(R3, -5),
            asm.lddw(R4, 0x1234_5678_9ABC),
            asm.mov64(5, 7),
            asm.call(6),
            asm.exit_(),
        ]
    )
    result = engine.load(Program("trace", Hook.TEST, code, (constant,))).interpret()
    assert result.trace == ("a=-5 b=123456789abc c=7%",)
    assert result.r0 == len(result.trace[0])
    missing = code[: 8 * 3] + code[8 * 4 :]
    assert refused(engine, missing, maps=(constant,)).refusal == Refusal.UNINITIALISED
