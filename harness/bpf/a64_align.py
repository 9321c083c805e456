"""Maps bytes of JIT code to slots, for code that was emitted on another machine.

The same program emitted at other addresses differs only in two kinds of slots: map references, which need a varying
number of wide moves (or ADRP), and helper calls, which are a BL or, out of its range, a BLR. Both can be parsed; every
other slot always has the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.errors import ProgramRejected

_MOV_X5_X0 = 0xAA0003E5  # r1 leaves x0 before r0 is written
_MOV_X0_X5 = 0xAA0503E0  # r1 becomes the argument
_CALL_REGISTER = 16


@dataclass(frozen=True, slots=True)
class Slot:
    """One eBPF instruction: its slot number and fields; `second` is the second imm of a 64-bit constant."""

    number: int
    code: int
    dst: int
    src: int
    off: int
    imm: int
    second: int = 0

    @property
    def length(self) -> int:
        """Number of slots."""
        return 2 if self.code & 7 == 0 else 1

    @property
    def is_map(self) -> bool:
        """A map reference."""
        return self.code == 0x18 and self.src in (1, 2)

    @property
    def is_helper_call(self) -> bool:
        """A call of a helper."""
        return self.code == 0x85 and self.src == 0


def _constant_length(words: Sequence[int], at: int) -> int:
    """Words of the constant that starts at `at`: MOVZ, MOVN or ORR with MOVKs after it, or ADRP with an ADD."""
    first = words[at]
    rd = first & 31
    end = at + 1
    if first & 0x9F000000 == 0x90000000:
        if end < len(words) and words[end] & 0xFFC003FF == 0x91000000 | rd << 5 | rd:
            end += 1
    else:
        while end < len(words) and words[end] & 0x7F80001F == 0x72800000 | rd:
            end += 1
    return end - at


def _variable_length(slot: Slot, words: Sequence[int], at: int) -> int:
    start = at
    if words[at] == (_MOV_X5_X0 if slot.is_map else _MOV_X0_X5):
        at += 1
    if slot.is_map:
        return at + _constant_length(words, at) - start
    if words[at] >> 26 == 0b100101:
        return at + 1 - start
    at += _constant_length(words, at)
    if words[at] != 0xD63F0000 | _CALL_REGISTER << 5:
        raise IndexError
    return at + 1 - start


def align_slots(
    code: bytes, host_code: bytes, host_offsets: Sequence[int], slots: Sequence[Slot]
) -> tuple[int, ...]:
    """Byte offsets of the slots in `code`, given those in `host_code`, the same program emitted at other addresses.

    Raises ProgramRejected (stage jit) if the two cannot be the same program.
    """
    words = [int.from_bytes(code[i : i + 4], "little") for i in range(0, len(code), 4)]
    at = host_offsets[0] // 4
    offsets: list[int] = []
    try:
        for slot in slots:
            length = (host_offsets[slot.number + slot.length] - host_offsets[slot.number]) // 4
            offsets.append(4 * at)
            if length and (slot.is_map or slot.is_helper_call):
                length = _variable_length(slot, words, at)
            at += length
            offsets += [4 * at] * (slot.length - 1)
    except IndexError:
        at = -1
    if at != len(words):
        raise ProgramRejected(
            "this code was not emitted from this program",
            stage="jit",
            reason=f"{len(code)} bytes do not align with the {len(host_code)} bytes emitted on this host",
        )
    return (*offsets, 4 * at)
