"""Programs as text: eBPF in LLVM's notation, and the JIT's A64 beside the slots and source lines it came from."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from contracts.ebpf.helpers import HELPER_NAMES
from contracts.errors import AssayError
from contracts.program import Program
from harness.bpf.a64_align import Slot, align_slots

_ALU = ("+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=")
_JUMP = {
    0x10: "==",
    0x20: ">",
    0x30: ">=",
    0x40: "&",
    0x50: "!=",
    0x60: "s>",
    0x70: "s>=",
    0xA0: "<",
    0xB0: "<=",
    0xC0: "s<",
    0xD0: "s<=",
}
_ATOMIC = {0x00: "+", 0x40: "|", 0x50: "&", 0xA0: "^"}
_ATOMIC_NAMES = {0x00: "add", 0x40: "or", 0x50: "and", 0xA0: "xor"}


def _signed(value: int) -> str:
    return f"+ {value}" if value >= 0 else f"- {-value}"


def _unknown(slot: Slot) -> str:
    return f"<unknown {slot.code:#04x}>"


def _alu(slot: Slot) -> str:
    op, letter = slot.code >> 4, "r" if slot.code & 7 == 7 else "w"
    dst = f"{letter}{slot.dst}"
    operand = f"{letter}{slot.src}" if slot.code & 8 else f"{slot.imm}"
    if op == 13:
        name = "bswap" if slot.code & 7 == 7 else "be" if slot.code & 8 else "le"
        return f"r{slot.dst} = {name}{slot.imm} r{slot.dst}"
    if op >= len(_ALU):
        return _unknown(slot)
    if op == 8:
        return f"{dst} = -{dst}"
    if op == 11 and slot.off:
        return f"{dst} = (s{slot.off}){operand}"
    return f"{dst} {'s' if op in (3, 9) and slot.off == 1 else ''}{_ALU[op]} {operand}"


def _access(slot: Slot) -> str:
    size = ("u32", "u16", "u8", "u64")[slot.code >> 3 & 3]
    mode = slot.code & 0xE0
    if slot.code & 7 == 1:
        if mode not in (0x60, 0x80):
            return _unknown(slot)
        kind = size.replace("u", "s") if mode == 0x80 else size
        return f"r{slot.dst} = *({kind} *)(r{slot.src} {_signed(slot.off)})"
    place = f"*({size} *)(r{slot.dst} {_signed(slot.off)})"
    if mode == 0xC0:
        return _atomic(slot, place)
    if mode != 0x60:
        return _unknown(slot)
    return f"{place} = {slot.imm if slot.code & 7 == 2 else f'r{slot.src}'}"


def _atomic(slot: Slot, place: str) -> str:
    op, address = slot.imm & 0xF0, place.split(" ", 1)[1].removeprefix("*)")
    if slot.imm == 0xE1:
        return f"r{slot.src} = xchg({address}, r{slot.src})"
    if slot.imm == 0xF1:
        return f"r0 = cmpxchg({address}, r0, r{slot.src})"
    if op not in _ATOMIC:
        return _unknown(slot)
    if slot.imm & 1:
        return f"r{slot.src} = atomic_fetch_{_ATOMIC_NAMES[op]}({address}, r{slot.src})"
    return f"lock {place} {_ATOMIC[op]}= r{slot.src}"


def _jump(slot: Slot) -> str:
    op, wide = slot.code & 0xF0, slot.code & 7 == 5
    if op == 0x00:
        return f"goto {slot.number + 1 + (slot.off if wide else slot.imm)}"
    if slot.code == 0x95:
        return "exit"
    if slot.code == 0x85:
        if slot.src == 1:
            return f"call {slot.number + 1 + slot.imm}"
        return f"call {HELPER_NAMES.get(slot.imm, f'helper {slot.imm}')}"
    if op not in _JUMP:
        return _unknown(slot)
    letter = "r" if wide else "w"
    operand = f"{letter}{slot.src}" if slot.code & 8 else f"{slot.imm}"
    return f"if {letter}{slot.dst} {_JUMP[op]} {operand} goto {slot.number + 1 + slot.off}"


def _constant(slot: Slot, program: Program) -> str:
    if slot.code != 0x18:
        return _unknown(slot)
    if slot.src in (1, 2):
        name = program.maps[slot.imm].name if 0 <= slot.imm < len(program.maps) else f"#{slot.imm}"
        return f"r{slot.dst} = map {name}" + (f" value + {slot.second}" if slot.src == 2 else "")
    value = (slot.second & 0xFFFF_FFFF) << 32 | slot.imm & 0xFFFF_FFFF
    return f"r{slot.dst} = {value:#x} ll"


_BY_CLASS: dict[int, Callable[[Slot], str]] = {
    1: _access,
    2: _access,
    3: _access,
    4: _alu,
    5: _jump,
    6: _jump,
    7: _alu,
}


def slots_of(insns: bytes) -> list[Slot]:
    """The instructions of a program; a 64-bit constant is one `Slot`, whose number is its first.

    Raises ValueError when `insns` is not a number of 8-byte slots.
    """
    if len(insns) % 8:
        raise ValueError(f"{len(insns)} bytes are not a number of 8-byte slots")
    raw = list(struct.iter_unpack("<BBhi", insns))
    out, at = [], 0
    while at < len(raw):
        code, both, off, imm = raw[at]
        double = code & 7 == 0 and at + 1 < len(raw)
        out.append(Slot(at, code, both & 15, both >> 4, off, imm, raw[at + 1][3] if double else 0))
        at += 2 if double else 1
    return out


def text_of(slot: Slot, program: Program) -> str:
    """One instruction in LLVM's notation; jump targets are slot numbers."""
    by_class = _BY_CLASS.get(slot.code & 7)
    return by_class(slot) if by_class else _constant(slot, program)


class _Source:
    """Source lines to be shown once each time the program moves on to another."""

    def __init__(self, program: Program, source: str) -> None:
        self._line_of = dict(program.lines)
        self._text = source.splitlines()
        self._last = 0

    def before(self, slot: int) -> list[str]:
        """What to print above a slot: its line, if that is another one than the last."""
        line = self._line_of.get(slot)
        if line is None or line == self._last:
            return []
        self._last = line
        text = self._text[line - 1].strip() if 0 < line <= len(self._text) else ""
        return [f"; {line}: {text}".rstrip()]


def disassemble(program: Program, source: str = "") -> str:
    """The program's eBPF as text, a slot a line, with source lines above what came from them where they are known."""
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
    """The JIT's code with the source line and eBPF slot above the A64 instructions that each became.

    `code` lies at virtual address `code_va`. `slot_offsets` are the byte offsets of the slots (and the end) as
    `bpf_jit_arm64` gives them. Without them, the program is emitted here and the two are aligned: only addresses of
    maps and helpers differ (see `a64_align`). Where that fails the A64 is printed alone, with the reason above it.
    A slot fused into the one before it, or found unreachable, has no instructions of its own.
    """
    if slot_offsets is None:
        try:
            slot_offsets = _host_offsets(code, code_va, program, test_mem_size)
        except AssayError as error:
            return (
                "\n".join([f"; slots are not known: {error}", *_a64_lines(code, code_va, 0, len(code))])
                + "\n"
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
