"""The shape of emitted code: frames only where needed, fixed cost at most, and what the JIT refuses."""

from __future__ import annotations

import pytest
from capstone import CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, Cs

from contracts.errors import ProgramRejected
from contracts.program import Hook, Program
from harness.bpf import asm
from harness.bpf.asm import DW, Insn, Item, Reg
from harness.bpf.native import Engine


def listing(engine: Engine, *items: Item) -> list[str]:
    code = engine.load_unverified(Program("p", Hook.TEST, asm.assemble(items))).emit_arm64().code
    decoder = Cs(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN)
    return [f"{i.mnemonic} {i.op_str}".strip() for i in decoder.disasm(code, 0)]


def test_a_leaf_without_stack_has_no_frame_and_saves_nothing(engine: Engine) -> None:
    assert listing(engine, asm.mov64(6, Reg(1)), asm.ldx(DW, 0, 6, 8), asm.exit_()) == [
        "mov x6, x0",
        "ldr x0, [x6, #8]",
        "ret",
    ]


def test_a_program_that_calls_makes_a_frame_record_and_saves_what_it_uses(engine: Engine) -> None:
    code = listing(engine, asm.mov64(6, 1), asm.call(5), asm.add64(0, Reg(6)), asm.exit_())
    assert code[:3] == ["stp x29, x30, [sp, #-0x20]!", "mov x29, sp", "str x19, [sp, #0x10]"]
    assert code[-3:] == ["ldr x19, [sp, #0x10]", "ldp x29, x30, [sp], #0x20", "ret"]


def test_a_negative_32_bit_move_is_not_sign_extended(engine: Engine) -> None:
    assert listing(engine, asm.mov32(0, -1), asm.exit_()) == ["mov w0, #-1", "ret"]


@pytest.mark.parametrize(
    ("insn", "why"),
    [
        (asm.insn(0xE7), "no such ALU"),
        (asm.insn(0xB7, dst=11), "registers are r0 to r10"),
        (asm.insn(0xB7, dst=10), "r10 is read-only"),
        (asm.insn(0x05, off=-7), "jump out of the program"),
        (asm.insn(0x85, imm=9999), "no helper of this number"),
        (asm.insn(0x85, src=2), "only helpers and local functions"),
        (asm.insn(0x20, imm=1), "second slot"),
        (asm.insn(0xDB, dst=1, src=2, imm=0x20), "no such atomic"),
        (asm.insn(0xE5), "no such jump"),
    ],
)
def test_what_is_no_instruction_is_refused_with_its_slot(engine: Engine, insn: Insn, why: str) -> None:
    items = [asm.mov64(0, 0), insn, asm.exit_()]
    with pytest.raises(ProgramRejected) as refused:
        engine.load_unverified(Program("p", Hook.TEST, asm.assemble(items))).emit_arm64()
    assert why in refused.value.reason
    assert "slot 1" in str(refused.value)
