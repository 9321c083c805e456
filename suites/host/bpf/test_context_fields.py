"""Context fields read as signed numbers: what every hook's row promises, in the interpreter and in A64."""

from __future__ import annotations

import pytest

from contracts.ebpf.hooks import HOOKS, Field, HookRow, Points
from contracts.program import Program
from harness.bpf import asm
from harness.bpf.a64_run import run_a64
from harness.bpf.asm import R0, R1
from harness.bpf.compile import compile_c
from harness.bpf.elf import read_program
from harness.bpf.native import Engine, Refusal, VerifyRejected

PACKET = bytes(64)
SIZES = {1: asm.B, 2: asm.H, 4: asm.W}


def _cases() -> list[tuple[HookRow, Field, int, int]]:
    """(hook, number, offset, bytes) of each sign-extending load that a row allows."""
    found = []
    for row in HOOKS:
        if row.context is None:
            continue
        for field, off in zip(row.context.fields, row.context.offsets(kernel=False), strict=True):
            if field.points is Points.NOWHERE:
                sizes = (field.size,) if row.context.is_rewritten else (1, 2, 4)
                found += [(row, field, off, size) for size in sizes if size in SIZES]
    return found


def _program(row: HookRow, off: int, size: int) -> Program:
    return Program("p", row.hook, asm.assemble([asm.ldxsx(SIZES[size], R0, R1, off), asm.exit_()]))


@pytest.mark.parametrize(
    ("row", "field", "off", "size"), _cases(), ids=lambda one: getattr(one, "name", str(one))
)
@pytest.mark.parametrize("sign", [0, 1])
def test_a_number_of_a_context_is_sign_extended(
    engine: Engine, row: HookRow, field: Field, off: int, size: int, sign: int
) -> None:
    value = 0x1234_5678 & ((1 << 8 * size - 1) - 1) | sign << (8 * size - 1)
    loaded = engine.load(_program(row, off, size))
    expected = (value - (sign << 8 * size)) & 0xFFFF_FFFF_FFFF_FFFF
    values = {field.name: value}
    assert loaded.interpret(PACKET, context_values=values).r0 == expected
    assert run_a64(loaded, PACKET, context_values=values).r0 == expected


@pytest.mark.parametrize("off", [0, 4, 8], ids=["data", "data_end", "data_meta"])
def test_a_pointer_of_a_context_is_not_sign_extended(engine: Engine, off: int) -> None:
    row = next(row for row in HOOKS if row.has_packet)
    with pytest.raises(VerifyRejected) as no:
        engine.load(_program(row, off, 4))
    assert no.value.refusal is Refusal.BAD_ACCESS
    assert "a pointer is not sign-extended; fix: load it as unsigned" in no.value.reason


def test_what_clang_makes_of_a_signed_field_is_accepted(engine: Engine) -> None:
    source = """#include <assay.h>
HASH(seen, u64, u64, 8);
SEC("net_rx") int f(struct xdp_md *c)
{
    u64 key = (s64)(s32)c->ingress_ifindex, one = 1;
    bpf_map_update_elem(&seen, &key, &one, BPF_ANY);
    return XDP_PASS;
}
"""
    program = read_program(compile_c(source).elf)
    assert 0x81 in program.insns[::8], "one load of 4 bytes that extends the sign"
    loaded = engine.load(program)
    assert loaded.interpret(PACKET, context_values={"ingress_ifindex": 0x8000_0001}).r0 == 2
    assert dict(loaded.map("seen").items()) == {b"\x01\0\0\x80\xff\xff\xff\xff": (1).to_bytes(8, "little")}
