"""A64 immediates: exactly the bitmasks of the architecture; constants with the fewest wide moves."""

from __future__ import annotations

import random

import pytest

from harness.bpf.a64_model import Machine, UndefinedInstruction, decode_bit_masks, operation
from suites.host.jit.corpus import IMMEDIATES, OPERANDS
from suites.host.jit.immediates import Immediates


def architecture_bitmasks(width: int) -> set[int]:
    """All values that DecodeBitMasks can return."""
    values = set()
    for n in (0, 1):
        for imms in range(64):
            for immr in range(64):
                try:
                    values.add(decode_bit_masks(n, imms, immr, width))
                except UndefinedInstruction:
                    continue
    return values


@pytest.mark.parametrize(("sf", "width", "count"), [(1, 64, 5334), (0, 32, 1302)])
def test_every_bitmask_immediate_is_encoded_and_decodes_to_itself(
    immediates: Immediates, sf: int, width: int, count: int
) -> None:
    values = architecture_bitmasks(width)
    assert len(values) == count
    for value in values:
        word = immediates.bitmask(value, sf)
        assert word is not None, hex(value)
        assert decode_bit_masks(word >> 12, word & 63, word >> 6 & 63, width) == value


@pytest.mark.parametrize(("sf", "width"), [(1, 64), (0, 32)])
def test_no_other_value_is_encoded(immediates: Immediates, sf: int, width: int) -> None:
    values, rng = architecture_bitmasks(width), random.Random(3)
    neighbours = {v ^ 1 << bit for v in values for bit in range(0, width, 3)}
    others = neighbours | {rng.getrandbits(width) for _ in range(20000)} | {0, (1 << width) - 1}
    for value in others - values:
        assert immediates.bitmask(value, sf) is None, hex(value)


def test_a_constant_is_what_its_moves_leave_and_takes_no_more_than_its_halfwords(
    immediates: Immediates,
) -> None:
    rng = random.Random(4)
    values = {*OPERANDS, *(i & (1 << 64) - 1 for i in IMMEDIATES), *(1 << n for n in range(64))}
    for _ in range(4000):
        halves = [rng.choice((0, 0xFFFF, rng.getrandbits(16))) for _ in range(4)]
        values.add(sum(h << 16 * i for i, h in enumerate(halves)))
    for value in values:
        machine = Machine(b"", 0, ())
        machine.x[7] = 0xBAD0_BAD0_BAD0_BAD0
        words = immediates.mov(value)
        for word in words:
            operation(word)(machine)
        assert machine.x[7] == value, hex(value)
        halves = [value >> 16 * i & 0xFFFF for i in range(4)]
        assert len(words) <= max(1, min(sum(h != 0 for h in halves), sum(h != 0xFFFF for h in halves)))
