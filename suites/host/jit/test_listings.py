"""Listings: eBPF as text, and A64 code aligned with its slots, also if it was emitted at other addresses."""

from __future__ import annotations

import pytest

from contracts.errors import ProgramRejected
from contracts.program import Hook, Program
from harness.bpf import asm, samples
from harness.bpf.a64_align import align_slots
from harness.bpf.a64_run import CODE_VA, near_helpers
from harness.bpf.asm import DW, Reg
from harness.bpf.disasm import annotate, disassemble
from harness.bpf.insn_text import slots_of
from harness.bpf.native import Engine


def test_instructions_read_as_llvm_writes_them() -> None:
    items: list[asm.Item] = [
        asm.alu64("div", 1, Reg(2), 1),
        asm.alu32("mov", 3, Reg(4), 8),
        asm.stx(DW, 10, -8, 1),
        asm.atomic(DW, "cmpxchg", 10, -8, 2),
        asm.jump32("jsgt", 3, -1, "end"),
        asm.lddw(0, 1 << 40),
        asm.Label("end"),
        asm.exit_(),
    ]
    text = disassemble(Program("p", Hook.TEST, asm.assemble(items)))
    assert [line.split(":", 1)[1].strip() for line in text.splitlines()] == [
        "r1 s/= r2",
        "w3 = (s8)w4",
        "*(u64 *)(r10 - 8) = r1",
        "r0 = cmpxchg((r10 - 8), r0, r2)",
        "if w3 s> -1 goto 7",
        "r0 = 0x10000000000 ll",
        "exit",
    ]


def test_code_from_other_addresses_lines_up_with_its_slots(engine: Engine) -> None:
    program = samples.tally_by_lookup()
    loaded = engine.load(program)
    here, there = loaded.emit_arm64(CODE_VA), loaded.emit_arm64(near_helpers(loaded))
    assert here.offsets != there.offsets
    slots = slots_of(program.insns)
    assert align_slots(there.code, here.code, here.offsets, slots) == there.offsets
    assert annotate(here.code, CODE_VA, program) == annotate(here.code, CODE_VA, program, here.offsets)


def test_code_of_another_program_is_refused_and_still_listed(engine: Engine) -> None:
    program = samples.tally_by_lookup()
    other = engine.load(samples.answer(2)).emit_arm64(CODE_VA)
    here = engine.load(program).emit_arm64(CODE_VA)
    with pytest.raises(ProgramRejected, match="not emitted from this program"):
        align_slots(other.code, here.code, here.offsets, slots_of(program.insns))
    assert annotate(other.code, CODE_VA, program).startswith("; slots are unknown")
