"""Programs as text: eBPF in LLVM's notation, and the JIT's A64 code with its slots and source lines."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.errors import AssayError
from contracts.program import Program
from harness.bpf.a64_align import align_slots
from harness.bpf.insn_text import slots_of, text_of


class _Source:
    """Source lines, each shown once when the program reaches it."""

    def __init__(self, program: Program, source: str) -> None:
        self._line_of = dict(program.lines)
        self._text = source.splitlines()
        self._last = 0

    def before(self, slot: int) -> list[str]:
        """What to print above a slot: its line, if it differs from the last one."""
        line = self._line_of.get(slot)
        if line is None or line == self._last:
            return []
        self._last = line
        text = self._text[line - 1].strip() if 0 < line <= len(self._text) else ""
        return [f"; {line}: {text}".rstrip()]


def disassemble(program: Program, source: str = "") -> str:
    """The program's eBPF as text, one slot per line, with known source lines above their instructions."""
    lines: list[str] = []
    at = _Source(program, source)
    for slot in slots_of(program.insns):
        lines += at.before(slot.number)
        lines.append(f"{slot.number:5}:  {text_of(slot, program)}")
    return "\n".join(lines) + "\n"


def _a64_lines(code: bytes, code_va: int, start: int, end: int) -> list[str]:
    from capstone import CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN, Cs

    decoder = Cs(CS_ARCH_ARM64, CS_MODE_LITTLE_ENDIAN)
    lines = []
    for offset in range(start, end, 4):
        word = code[offset : offset + 4]
        text = next(
            (f"{i.mnemonic:<7} {i.op_str}" for i in decoder.disasm(word, code_va + offset)), "undefined"
        )
        lines.append(f"        {code_va + offset:x}:  {word[::-1].hex()}  {text}".rstrip())
    return lines


def _host_offsets(code: bytes, code_va: int, program: Program, test_mem_size: int) -> tuple[int, ...]:
    from harness.bpf.native import Engine

    emitted = Engine().load(program, test_mem_size=test_mem_size).emit_arm64(code_va)
    return align_slots(code, emitted.code, emitted.offsets, slots_of(program.insns))


def annotate(
    code: bytes,
    code_va: int,
    program: Program,
    slot_offsets: Sequence[int] | None = None,
    *,
    source: str = "",
    test_mem_size: int = 0,
) -> str:
    """The JIT's code, with the source line and eBPF slot above their A64 instructions.

    `code` is at virtual address `code_va`. `slot_offsets` are the byte offsets of the slots (and the end) from
    `bpf_jit_arm64`. Without them, the program is emitted here and the two are aligned: only addresses of maps and
    helpers differ (see `a64_align`). If that fails, only the A64 code is printed, with the reason above it. A slot
    that is fused into the previous one or unreachable has no instructions.
    """
    if slot_offsets is None:
        try:
            slot_offsets = _host_offsets(code, code_va, program, test_mem_size)
        except AssayError as error:
            return (
                "\n".join([f"; slots are unknown: {error}", *_a64_lines(code, code_va, 0, len(code))]) + "\n"
            )
    lines: list[str] = []
    at = _Source(program, source)
    if slot_offsets[0]:
        lines += ["; prologue", *_a64_lines(code, code_va, 0, slot_offsets[0])]
    for slot in slots_of(program.insns):
        lines += at.before(slot.number)
        lines.append(f"{slot.number:5}:  {text_of(slot, program)}")
        end = slot_offsets[slot.number + slot.length]
        lines += _a64_lines(code, code_va, slot_offsets[slot.number], end)
    return "\n".join(lines) + "\n"
