"""Over 10,000 random programs: accepted programs run within their memory and their bound."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from contracts.program import Hook, Program
from harness.bpf.asm import raw
from harness.bpf.fuzz import random_program
from harness.bpf.native import Engine, Loaded, Refusal, RunEnd, VerifyRejected

PROGRAMS = 10_000
BATCH = 1_000
ACCEPTED_AT_LEAST = 0.6


def inputs(program: Program, memory: bytes) -> list[bytes]:
    """The program's own memory, other inputs that take other branches, and packets of every length that it checks."""
    size = len(memory)
    found = [memory, bytes(size), b"\xff" * size, (b"\x80\x01" * size)[:size], bytes(range(size))]
    if program.hook == Hook.NET_RX:
        found += [(memory * 8)[:length] for length in (0, 13, 14, 33, 34, 53, 54)]
    return found


def run_everywhere(loaded: Loaded, memory: bytes, seed: int) -> None:
    """Runs on each input with two different stacks: bounds hold, and nothing depends on unwritten bytes."""
    for given in inputs(loaded.program, memory):
        ends = []
        for fill in (0x00, 0xA5):
            for one in loaded.maps:
                one.clear()
            result = loaded.interpret(given, fill=fill, seed=seed, ktime_ns=seed)
            assert result.end is RunEnd.OK, f"seed {seed}: {result}"
            assert result.executed <= loaded.wcet, f"seed {seed}: {result.executed} of {loaded.wcet}"
            ends.append((result.r0, result.memory, [list(one.items()) for one in loaded.maps]))
        assert ends[0] == ends[1], f"seed {seed}: the result depends on unwritten stack or on addresses"


@pytest.mark.parametrize("first", range(0, PROGRAMS, BATCH))
def test_accepted_programs_stay_inside_their_memory_and_their_bound_and_most_are_accepted(
    engine: Engine, first: int, record_property: Callable[[str, object], None]
) -> None:
    tally: Counter[str] = Counter()
    for seed in range(first, first + BATCH):
        program, memory = random_program(seed)
        try:
            loaded = engine.load(program, test_mem_size=len(memory) if program.hook == Hook.TEST else 0)
        except VerifyRejected as refused:
            tally[refused.refusal.name] += 1
            continue
        tally["ACCEPTED"] += 1
        run_everywhere(loaded, memory, seed)
    record_property("verdicts", dict(tally))
    assert tally["ACCEPTED"] / BATCH >= ACCEPTED_AT_LEAST, tally


def test_the_same_seed_gives_the_same_program() -> None:
    assert [random_program(seed) for seed in range(50)] == [random_program(seed) for seed in range(50)]


def test_the_engine_has_no_undefined_behaviour_on_random_programs(checked_engine: Engine) -> None:
    accepted = 0
    for seed in range(50_000, 50_600):
        program, memory = random_program(seed)
        try:
            loaded = checked_engine.load(
                program, test_mem_size=len(memory) if program.hook == Hook.TEST else 0
            )
        except VerifyRejected:
            continue
        run_everywhere(loaded, memory, seed)
        accepted += 1
    assert accepted > 300


def test_random_bytes_are_refused_or_run(engine: Engine) -> None:
    rng = random.Random(5)
    immediate, register = (
        [0xB7, 0x07, 0x57, 0x15, 0x55, 0x7A],
        [0xBF, 0x0F, 0x79, 0x7B, 0x61, 0x63, 0x2D, 0x1F],
    )
    reasons: Counter[Refusal] = Counter()
    for seed in range(3_000):
        slots = rng.randrange(1, 24)
        code = bytearray(rng.randbytes(8 * slots))
        if seed % 4:  # well-formed instructions with wild operands
            for slot in range(slots):
                op = rng.choice(immediate + register)
                src = rng.choice((0, 1, 6, 10)) if op in register else 0
                imm = 0 if op in register else rng.choice((0, 1, 5, 8, -1))
                off = rng.randrange(-9, 6) if op & 7 in (1, 2, 3, 5) else 0
                code[8 * slot : 8 * slot + 8] = raw(op, rng.choice((0, 0, 1, 2, 6)), src, off, imm)
            code += raw(0xB7) + raw(0x95)
        try:
            loaded = engine.load(Program("bytes", Hook.TEST, bytes(code)), test_mem_size=16)
        except VerifyRejected as refused:
            reasons[refused.refusal] += 1
            continue
        run_everywhere(loaded, bytes(16), seed)
    assert len(reasons) > 5, reasons
    assert sum(reasons.values()) < 3_000
