"""The JIT's code, executed by an A64 model on any host, matches RFC 9669 and the interpreter."""

from __future__ import annotations

from itertools import islice

import pytest
from capstone import CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, Cs

from contracts.program import Hook, Program
from harness.bpf.a64_run import CODE_VA, near_helpers, run_a64
from harness.bpf.native import Engine, Loaded, RunEnd, VerifyRejected
from suites.host.jit.corpus import Case, corners
from suites.host.jit.ebpf_model import Machine
from suites.host.jit.random_programs import random_case

KTIME, SEED = 0x1234_5678_9ABC, 5
RANDOM_PROGRAMS = 200


def program_of(case: Case) -> Program:
    return Program("case", Hook.TEST, case.insns)


def check(loaded: Loaded, case: Case, code_va: int) -> None:
    """The interpreter and the JITed code agree in result and memory."""
    fuel = 1 << 22
    expected = loaded.interpret(case.memory, ktime_ns=KTIME, seed=SEED, fuel=fuel)
    assert expected.end == RunEnd.OK, case.name
    ran = run_a64(loaded, case.memory, code_va=code_va, ktime_ns=KTIME, seed=SEED, fill=0x5A, fuel=fuel)
    assert (ran.r0, ran.memory) == (expected.r0, expected.memory), case.name


@pytest.mark.parametrize("part", range(4))
def test_operations_on_corner_operands(engine: Engine, part: int) -> None:
    for case in islice(corners(), part, None, 80):
        loaded = engine.load_unverified(program_of(case), test_mem_size=len(case.memory))
        model = Machine(case.insns, case.memory, {})
        ran = run_a64(loaded, case.memory, fuel=1 << 22)
        assert (ran.r0, ran.memory) == (model.run(1 << 22), bytes(model.memory)), case.name


@pytest.mark.parametrize("start", range(0, RANDOM_PROGRAMS, 100))
def test_random_programs_with_helpers_in_and_out_of_reach(engine: Engine, start: int) -> None:
    for seed in range(start, start + 100):
        case = random_case(seed)
        loaded = engine.load_unverified(program_of(case), test_mem_size=len(case.memory))
        check(loaded, case, CODE_VA)
        check(loaded, case, near_helpers(loaded))


def test_what_the_verifier_knows_of_unreachable_code_changes_no_result(engine: Engine) -> None:
    accepted = 0
    for seed in range(1000, 1200):
        case = random_case(seed)
        try:
            loaded = engine.load(program_of(case), test_mem_size=len(case.memory))
        except VerifyRejected:
            continue
        accepted += 1
        check(loaded, case, CODE_VA)
    assert accepted > 100


def test_every_word_is_an_instruction_to_a_disassembler_nobody_here_wrote(engine: Engine) -> None:
    decoder = Cs(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN)
    for case in (*islice(corners(), 0, None, 40), *(random_case(seed) for seed in range(50))):
        code = engine.load_unverified(program_of(case), test_mem_size=len(case.memory)).emit_arm64().code
        assert sum(1 for _ in decoder.disasm(code, 0)) == len(code) // 4, case.name
