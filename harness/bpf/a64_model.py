"""A small A64: executes the instructions that the JIT emits, with all registers, flags and bounds-checked memory.

Written from ARM DDI 0487 (chapter C6 and the shared pseudo-code), independently of the encoders in firmware/bpf/a64.h,
so that a wrong encoding there gives a wrong result or an `UndefinedInstruction` here. It counts instructions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

M64 = (1 << 64) - 1
SP = 31
RETURN_VA = 0x5AFE_0000_0000_0000
_GARBAGE = 0xDEAD_0000_0000_0000

Call = Callable[["Machine"], int]
Operation = Callable[["Machine"], None]


class ModelFault(Exception):
    """The program did something that the model forbids; the message says what and where."""


class UndefinedInstruction(ModelFault):
    """An unknown word: not an instruction, or not one that the JIT should emit."""


@dataclass(frozen=True, slots=True)
class Region:
    """Memory at `base`."""

    base: int
    data: Any  # a bytearray, or a cffi buffer over real memory
    writable: bool = True


def _mask(sf: int) -> int:
    return M64 if sf else 0xFFFF_FFFF


def _sext(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _field(word: int, high: int, low: int) -> int:
    return word >> low & ((1 << (high - low + 1)) - 1)


def _ror(value: int, amount: int, width: int) -> int:
    value &= (1 << width) - 1
    return (value >> amount | value << (width - amount)) & ((1 << width) - 1)


def decode_bit_masks(n: int, imms: int, immr: int, width: int) -> int:
    """DecodeBitMasks (shared/functions/integer) for the logical class. Raises UndefinedInstruction if reserved."""
    highest = (n << 6 | (~imms & 0x3F)).bit_length() - 1
    if highest < 1 or (width == 32 and n):
        raise UndefinedInstruction(f"reserved bitmask immediate N={n} imms={imms:#x}")
    size = 1 << highest
    levels = size - 1
    length, turn = imms & levels, immr & levels
    if length == levels:
        raise UndefinedInstruction(f"reserved bitmask immediate N={n} imms={imms:#x}")
    element = _ror((1 << (length + 1)) - 1, turn, size)
    return sum(element << at for at in range(0, width, size))


class Machine:
    """Registers, flags and memory of one processing element.

    `calls` maps addresses outside the code to functions of the machine that return x0. After such a call every
    caller-saved register holds garbage, as AAPCS64 allows.
    """

    def __init__(
        self, code: bytes, code_va: int, regions: Iterable[Region], calls: Mapping[int, Call] | None = None
    ) -> None:
        self.words = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]
        self.code_va = code_va
        self.regions = tuple(regions)
        self.calls = dict(calls or {})
        self.x = [0] * 31
        self.sp = 0
        self.n = self.z = self.c = self.v = False
        self.pc = code_va
        self.next = code_va
        self.executed = 0
        self.exclusive: tuple[int, int] | None = None
        self.visits: dict[int, int] = {}

    # ---- registers -----------------------------------------------------------------------------------------------

    def get(self, r: int, sf: int = 1) -> int:
        """X<r> or W<r>, register 31 being zero."""
        return 0 if r == 31 else self.x[r] & _mask(sf)

    def put(self, r: int, value: int, sf: int = 1) -> None:
        """Writes X<r> or W<r>, the latter clearing the upper half; register 31 discards."""
        if r != 31:
            self.x[r] = value & _mask(sf)

    def get_sp(self, r: int, sf: int = 1) -> int:
        """X<r>, register 31 being SP."""
        return (self.sp if r == SP else self.x[r]) & _mask(sf)

    def put_sp(self, r: int, value: int, sf: int = 1) -> None:
        """Writes X<r>, register 31 being SP."""
        if r == SP:
            self.sp = value & M64
        else:
            self.x[r] = value & _mask(sf)

    # ---- memory --------------------------------------------------------------------------------------------------

    def _at(self, address: int, size: int, write: bool) -> tuple[Any, int]:
        for region in self.regions:
            if region.base <= address and address + size <= region.base + len(region.data):
                if write and not region.writable:
                    break
                return region.data, address - region.base
        raise ModelFault(f"{'write' if write else 'read'} of {size} bytes at {address:#x}, pc {self.pc:#x}")

    def base_address(self, r: int) -> int:
        """X<r> or SP as the base of an access; SP must be aligned to 16 (D1.8.2)."""
        if r == SP and self.sp % 16:
            raise ModelFault(f"SP is not aligned: {self.sp:#x}, pc {self.pc:#x}")
        return self.get_sp(r)

    def load(self, address: int, size: int) -> int:
        """`size` bytes, little-endian."""
        data, at = self._at(address & M64, size, False)
        return int.from_bytes(data[at : at + size], "little")

    def store(self, address: int, size: int, value: int) -> None:
        """`size` bytes, little-endian."""
        data, at = self._at(address & M64, size, True)
        data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    # ---- running -------------------------------------------------------------------------------------------------

    def add_with_carry(self, a: int, b: int, carry: int, sf: int, set_flags: bool) -> int:
        """AddWithCarry (shared/functions/integer)."""
        mask, width = _mask(sf), 64 if sf else 32
        total = a + b + carry
        result = total & mask
        if set_flags:
            self.n, self.z, self.c = bool(result >> (width - 1)), result == 0, total > mask
            self.v = _sext(a, width) + _sext(b, width) + carry != _sext(result, width)
        return result

    def holds(self, cond: int) -> bool:
        """ConditionHolds (shared/functions/system)."""
        base = (
            self.z,
            self.c,
            self.n,
            self.v,
            self.c and not self.z,
            self.n == self.v,
            self.n == self.v and not self.z,
            True,
        )[cond >> 1]
        return base != bool(cond & 1 and cond != 15)

    def branch(self, words: int) -> None:
        """Jumps `words` words relative to this instruction."""
        self.next = (self.pc + 4 * words) & M64

    def link(self, target: int) -> None:
        """A call: to code, or to one of `calls`."""
        self.x[30] = (self.pc + 4) & M64
        inside = self.code_va <= target < self.code_va + 4 * len(self.words)
        if inside:
            self.next = target
            return
        if target not in self.calls:
            raise ModelFault(f"call to {target:#x}, pc {self.pc:#x}")
        if self.sp % 16:
            raise ModelFault(f"call with SP not aligned: {self.sp:#x}, pc {self.pc:#x}")
        result = self.calls[target](self)
        for r in range(1, 19):
            self.x[r] = _GARBAGE | r << 32 | self.executed & 0xFFFF_FFFF
        self.x[0] = result & M64
        self.x[30] = _GARBAGE
        self.next = self.pc + 4

    def step(self) -> None:
        """Executes one instruction."""
        at = self.pc - self.code_va
        if at % 4 or not 0 <= at < 4 * len(self.words):
            raise ModelFault(f"pc outside the code: {self.pc:#x}")
        self.next = self.pc + 4
        operation(self.words[at // 4])(self)
        self.executed += 1
        self.visits[at] = self.visits.get(at, 0) + 1
        self.pc = self.next

    def run(self, arguments: Iterable[int], stack_top: int, fuel: int = 1_000_000) -> int:
        """Calls the code's entry according to AAPCS64; returns x0.

        Raises ModelFault after `fuel` instructions, or if a callee-saved register or SP was not preserved.
        """
        for r in range(31):
            self.x[r] = (_GARBAGE | r << 32) & M64
        for r, value in enumerate(arguments):
            self.x[r] = value & M64
        self.x[30], self.sp = RETURN_VA, stack_top
        kept = (*self.x[19:30], self.sp)
        self.pc = self.code_va
        while self.pc != RETURN_VA:
            if self.executed >= fuel:
                raise ModelFault(f"still running after {fuel} instructions")
            self.step()
        if (*self.x[19:30], self.sp) != kept:
            raise ModelFault("a callee-saved register or SP was not preserved")
        return self.x[0]


# ---- decoding: one function per encoding class; each returns the operation of a word -----------------------------------


def _add_sub_immediate(w: int) -> Operation:
    sf, sub, flags = w >> 31, w >> 30 & 1, w >> 29 & 1
    rd, rn, imm = w & 31, _field(w, 9, 5), _field(w, 21, 10) << (12 if w >> 22 & 1 else 0)
    operand = ~imm & _mask(sf) if sub else imm

    def run(m: Machine) -> None:
        result = m.add_with_carry(m.get_sp(rn, sf), operand, sub, sf, bool(flags))
        (m.put if flags else m.put_sp)(rd, result, sf)

    return run


def _set_logical_flags(m: Machine, result: int, sf: int) -> None:
    m.n, m.z, m.c, m.v = bool(result >> (63 if sf else 31)), result == 0, False, False


def _logical(opc: int, a: int, b: int) -> int:
    return a | b if opc == 1 else a ^ b if opc == 2 else a & b


def _logical_immediate(w: int) -> Operation:
    sf, opc, rd, rn = w >> 31, _field(w, 30, 29), w & 31, _field(w, 9, 5)
    value = decode_bit_masks(w >> 22 & 1, _field(w, 15, 10), _field(w, 21, 16), 64 if sf else 32)

    def run(m: Machine) -> None:
        result = _logical(opc, m.get(rn, sf), value)
        if opc == 3:
            _set_logical_flags(m, result, sf)
            m.put(rd, result, sf)
        else:
            m.put_sp(rd, result, sf)

    return run


def _move_wide(w: int) -> Operation:
    sf, opc, hw, imm, rd = w >> 31, _field(w, 30, 29), _field(w, 22, 21), _field(w, 20, 5), w & 31
    if opc == 1 or (not sf and hw > 1):
        raise UndefinedInstruction(f"{w:#010x}: move wide")
    at = 16 * hw

    def run(m: Machine) -> None:
        if opc == 3:
            m.put(rd, m.get(rd) & ~(0xFFFF << at) | imm << at, sf)
        else:
            m.put(rd, imm << at if opc == 2 else ~(imm << at), sf)

    return run


def _bitfield(w: int) -> Operation:
    sf, opc, n = w >> 31, _field(w, 30, 29), w >> 22 & 1
    immr, imms, rn, rd = _field(w, 21, 16), _field(w, 15, 10), _field(w, 9, 5), w & 31
    width = 64 if sf else 32
    if n != sf or opc not in (0, 2) or immr >= width or imms >= width:
        raise UndefinedInstruction(f"{w:#010x}: bitfield")

    def run(m: Machine) -> None:
        source = m.get(rn, sf)
        length, at = (imms - immr + 1, 0) if imms >= immr else (imms + 1, width - immr)
        value = source >> (immr if imms >= immr else 0) & ((1 << length) - 1)
        m.put(rd, (_sext(value, length) if opc == 0 else value) << at, sf)

    return run


def _adrp(w: int) -> Operation:
    rd, pages = w & 31, _sext(_field(w, 23, 5) << 2 | _field(w, 30, 29), 21)

    def run(m: Machine) -> None:
        m.put(rd, (m.pc & ~0xFFF) + (pages << 12))

    return run


def _shifted(m: Machine, w: int) -> int:
    sf, kind, amount = w >> 31, _field(w, 23, 22), _field(w, 15, 10)
    if kind != 0 or (not sf and amount > 31):
        raise UndefinedInstruction(f"{w:#010x}: only LSL is expected on a register operand")
    return m.get(_field(w, 20, 16), sf) << amount & _mask(sf)


def _logical_register(w: int) -> Operation:
    sf, opc, invert, rd, rn = w >> 31, _field(w, 30, 29), w >> 21 & 1, w & 31, _field(w, 9, 5)

    def run(m: Machine) -> None:
        operand = _shifted(m, w)
        result = _logical(opc, m.get(rn, sf), ~operand & _mask(sf) if invert else operand)
        if opc == 3:
            _set_logical_flags(m, result, sf)
        m.put(rd, result, sf)

    return run


def _add_sub_register(w: int) -> Operation:
    sf, sub, flags, rd, rn = w >> 31, w >> 30 & 1, w >> 29 & 1, w & 31, _field(w, 9, 5)

    def run(m: Machine) -> None:
        operand = _shifted(m, w)
        operand = ~operand & _mask(sf) if sub else operand
        m.put(rd, m.add_with_carry(m.get(rn, sf), operand, sub, sf, bool(flags)), sf)

    return run


def _divide(a: int, b: int, width: int, signed: bool) -> int:
    if b == 0:
        return 0
    if not signed:
        return a // b
    x, y = _sext(a, width), _sext(b, width)
    return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)


def _two_source(w: int) -> Operation:
    sf, opcode, rm, rn, rd = w >> 31, _field(w, 15, 10), _field(w, 20, 16), _field(w, 9, 5), w & 31
    width = 64 if sf else 32
    table: dict[int, Callable[[int, int], int]] = {
        2: lambda a, b: _divide(a, b, width, False),
        3: lambda a, b: _divide(a, b, width, True),
        8: lambda a, b: a << (b % width),
        9: lambda a, b: a >> (b % width),
        10: lambda a, b: _sext(a, width) >> (b % width),
    }
    if opcode not in table:
        raise UndefinedInstruction(f"{w:#010x}: two-source")
    compute = table[opcode]

    def run(m: Machine) -> None:
        m.put(rd, compute(m.get(rn, sf), m.get(rm, sf)), sf)

    return run


def _one_source(w: int) -> Operation:
    sf, opcode, rn, rd = w >> 31, _field(w, 15, 10), _field(w, 9, 5), w & 31
    size = {(0, 1): 2, (1, 1): 2, (0, 2): 4, (1, 2): 4, (1, 3): 8}.get((sf, opcode))
    if size is None:
        raise UndefinedInstruction(f"{w:#010x}: one-source")

    def run(m: Machine) -> None:
        data = m.get(rn, sf).to_bytes(8 if sf else 4, "little")
        turned = b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
        m.put(rd, int.from_bytes(turned, "little"), sf)

    return run


def _three_source(w: int) -> Operation:
    sf, sub = w >> 31, w >> 15 & 1
    rm, ra, rn, rd = _field(w, 20, 16), _field(w, 14, 10), _field(w, 9, 5), w & 31

    def run(m: Machine) -> None:
        product = m.get(rn, sf) * m.get(rm, sf)
        m.put(rd, m.get(ra, sf) + (-product if sub else product), sf)

    return run


def _load_store(w: int) -> Operation:
    size, opc, rn, rt = w >> 30, _field(w, 23, 22), _field(w, 9, 5), w & 31
    if (opc == 3 and size > 1) or (opc == 2 and size == 3):
        raise UndefinedInstruction(f"{w:#010x}: load/store")
    length = 1 << size
    unsigned, register = bool(w >> 24 & 1), bool(w >> 21 & 1)
    rm = _field(w, 20, 16)
    if not unsigned and (
        _field(w, 11, 10) != (2 if register else 0) or (register and _field(w, 15, 12) != 6)
    ):
        raise UndefinedInstruction(f"{w:#010x}: addressing form")
    offset = _field(w, 21, 10) << size if unsigned else _sext(_field(w, 20, 12), 9)

    def run(m: Machine) -> None:
        address = m.base_address(rn) + (m.get(rm) if register and not unsigned else offset)
        if opc == 0:
            m.store(address, length, m.get(rt))
        else:
            value = m.load(address, length)
            m.put(rt, _sext(value, 8 * length) if opc > 1 else value, 1 if opc < 3 else 0)

    return run


def _load_store_pair(w: int) -> Operation:
    opc, mode, load = w >> 30, _field(w, 25, 23), w >> 22 & 1
    rt2, rn, rt = _field(w, 14, 10), _field(w, 9, 5), w & 31
    if opc not in (0, 2) or mode not in (1, 2, 3) or (load and rt == rt2):
        raise UndefinedInstruction(f"{w:#010x}: pair")
    size = 8 if opc else 4
    offset = _sext(_field(w, 21, 15), 7) * size

    def run(m: Machine) -> None:
        base = m.base_address(rn)
        address = base if mode == 1 else base + offset
        for r, at in ((rt, address), (rt2, address + size)):
            if load:
                m.put(r, m.load(at, size))
            else:
                m.store(at, size, m.get(r))
        if mode != 2:
            m.put_sp(rn, base + offset)

    return run


def _exclusive(w: int) -> Operation:
    size, load, rs = 8 if w >> 30 & 1 else 4, w >> 22 & 1, _field(w, 20, 16)
    rn, rt = _field(w, 9, 5), w & 31
    if not load and rs in (rt, rn) and rs != 31:
        raise UndefinedInstruction(f"{w:#010x}: STXR is unpredictable when its registers overlap")

    def run(m: Machine) -> None:
        address = m.base_address(rn)
        if address % size:
            raise ModelFault(f"exclusive access to {address:#x} is not aligned, pc {m.pc:#x}")
        if load:
            m.put(rt, m.load(address, size))
            m.exclusive = (address, size)
        else:
            done = m.exclusive == (address, size)
            if done:
                m.store(address, size, m.get(rt))
            m.exclusive = None
            m.put(rs, 0 if done else 1, 0)

    return run


def _branch_immediate(w: int) -> Operation:
    words = _sext(w, 26)

    def run(m: Machine) -> None:
        if w >> 31:
            m.link((m.pc + 4 * words) & M64)
        else:
            m.branch(words)

    return run


def _branch_conditional(w: int) -> Operation:
    words, cond = _sext(_field(w, 23, 5), 19), w & 15

    def run(m: Machine) -> None:
        if m.holds(cond):
            m.branch(words)

    return run


def _compare_branch(w: int) -> Operation:
    sf, nonzero, words, rt = w >> 31, w >> 24 & 1, _sext(_field(w, 23, 5), 19), w & 31

    def run(m: Machine) -> None:
        if (m.get(rt, sf) != 0) == bool(nonzero):
            m.branch(words)

    return run


def _test_branch(w: int) -> Operation:
    bit, nonzero, words, rt = (
        w >> 31 << 5 | _field(w, 23, 19),
        w >> 24 & 1,
        _sext(_field(w, 18, 5), 14),
        w & 31,
    )

    def run(m: Machine) -> None:
        if m.get(rt) >> bit & 1 == nonzero:
            m.branch(words)

    return run


def _branch_register(w: int) -> Operation:
    rn = _field(w, 9, 5)

    def run(m: Machine) -> None:
        if w >> 21 & 1:
            m.link(m.get(rn))
        else:
            m.next = m.get(rn)

    return run


def _barrier(_: int) -> Operation:
    def run(_: Machine) -> None:
        return

    return run


# C4.1: fixed bits and decoder of each class.
_CLASSES: tuple[tuple[int, int, Callable[[int], Operation]], ...] = (
    (0x1F800000, 0x11000000, _add_sub_immediate),
    (0x1F800000, 0x12000000, _logical_immediate),
    (0x1F800000, 0x12800000, _move_wide),
    (0x1F800000, 0x13000000, _bitfield),
    (0x9F000000, 0x90000000, _adrp),
    (0x1F000000, 0x0A000000, _logical_register),
    (0x1F200000, 0x0B000000, _add_sub_register),
    (0x7FE00000, 0x1AC00000, _two_source),
    (0x7FFF0000, 0x5AC00000, _one_source),
    (0x7FE00000, 0x1B000000, _three_source),
    (0x3F000000, 0x39000000, _load_store),
    (0x3F000000, 0x38000000, _load_store),
    (0x3E000000, 0x28000000, _load_store_pair),
    (0xBFFFFC00, 0x885F7C00, _exclusive),
    (0xBFE07C00, 0x88007C00, _exclusive),
    (0x7C000000, 0x14000000, _branch_immediate),
    (0xFF000010, 0x54000000, _branch_conditional),
    (0x7E000000, 0x34000000, _compare_branch),
    (0x7E000000, 0x36000000, _test_branch),
    (0xFFDFFC1F, 0xD61F0000, _branch_register),
    (0xFFFFFC1F, 0xD65F0000, _branch_register),
    (0xFFFFFFFF, 0xD5033BBF, _barrier),
)

_decoded: dict[int, Operation] = {}


def operation(word: int) -> Operation:
    """A word's operation. Raises UndefinedInstruction for a word outside the classes that the JIT emits."""
    known = _decoded.get(word)
    if known is None:
        for mask, value, decode in _CLASSES:
            if word & mask == value:
                known = _decoded[word] = decode(word)
                break
        else:
            raise UndefinedInstruction(f"{word:#010x} is not an instruction that the JIT emits")
    return known
