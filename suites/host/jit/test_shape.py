"""The shape of emitted code: frames only if needed, bounded fixed cost, and what the JIT refuses."""

from __future__ import annotations

from itertools import pairwise

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


# --- errata of the Cortex-A53 (ARM EPM 048406), on the words themselves -----------------------------------------------

LOADS_AND_STORES, LOADS_AND_STORES_MASK = 0x08000000, 0x0A000000
ADRP, ADRP_MASK = 0x90000000, 0x9F000000


def accumulates(word: int) -> bool:
    """True for MADD, MSUB and their long forms on X registers, unless the addend is XZR."""
    return word & 0xFF000000 == 0x9B000000 and word >> 10 & 31 != 31


def test_no_accumulation_follows_a_memory_access(engine: Engine) -> None:  # erratum 835769
    found = 0
    for op in ("mul", "div", "mod"):
        for off in (0, 1) if op != "mul" else (0,):
            for operand in (3, 7, -5, 1 << 20, 0x12345, Reg(3), Reg(4), Reg(0)):
                code = engine.load_unverified(
                    Program(
                        "p",
                        Hook.TEST,
                        asm.assemble(
                            [
                                asm.ldx(DW, 3, 1, 0),
                                asm.ldx(DW, 4, 1, 8),
                                asm.mov64(0, Reg(3)),
                                asm.ldx(DW, 5, 1, 16),
                                asm.alu64(op, 0, operand, off),
                                asm.stx(DW, 10, -8, 0),
                                asm.alu64(op, 0, operand, off),
                                asm.exit_(),
                            ]
                        ),
                    )
                ).emit_arm64()
                words = [
                    int.from_bytes(code.code[at : at + 4], "little") for at in range(0, len(code.code), 4)
                ]
                for before, word in pairwise(words):
                    if accumulates(word):
                        found += 1
                        assert before & LOADS_AND_STORES_MASK != LOADS_AND_STORES
    assert found > 10, "the programs were to have accumulations"


def test_no_address_is_made_by_an_adrp_at_the_end_of_a_page(engine: Engine) -> None:  # erratum 843419
    page_aligned = 0xFFFF_8000_0104_2000
    seen = set()
    for padding in range(2048):
        items = [*[asm.alu64("add", 0, 1)] * padding, asm.lddw(3, page_aligned), asm.ldx(DW, 4, 3, 8)]
        code = engine.load_unverified(
            Program("p", Hook.TEST, asm.assemble([*items, asm.ldx(DW, 0, 3, 16), asm.exit_()]))
        ).emit_arm64(0xFFFF_8000_0100_0000)
        for at in range(0, len(code.code), 4):
            if int.from_bytes(code.code[at : at + 4], "little") & ADRP_MASK == ADRP:
                seen.add(at & 0xFFF)
        if padding == 0:
            assert seen, "the constant was to be made by ADRP"
    assert max(seen) < 0xFF8
    assert len(seen) >= 0xFF8 // 4 - 2
