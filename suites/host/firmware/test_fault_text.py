"""ESR_EL1 as text: every value gives a text that fits, and common values give these texts."""

from __future__ import annotations

import ctypes
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

STACKS: Final = 0xFFFF_8000_0300_0000
SIZE: Final = 160


def describe(kernel: ctypes.CDLL, esr: int, far: int, size: int = SIZE) -> str:
    out = ctypes.create_string_buffer(b"\xee" * (size + 8), size + 8)
    kernel.fault_describe(ctypes.c_uint64(esr), ctypes.c_uint64(far), out, ctypes.c_uint32(size))
    assert out.raw[size:] == b"\xee" * 8, "written past its size"
    return out.value.decode("ascii")


@pytest.mark.parametrize(
    ("esr", "far", "words"),
    [
        (0x96000044, 8, "Data Abort, same EL: translation fault, level 0, write, null pointer"),
        (0x96000007, 0x1234_5678_9000, "Data Abort, same EL: translation fault, level 3, read, in no region"),
        (0x96000410, 8, "Data Abort, same EL: synchronous external abort, read"),
        (0x96000061, STACKS + 0x1001, "Data Abort, same EL: alignment fault, write, in the stacks region"),
        (0x8600000E, 0, "Instruction Abort, same EL: permission fault, level 2, null pointer"),
        (0xF2000007, 0, "BRK instruction, immediate 7"),
        (0x02000000, 0, "Undefined instruction"),
        (0x62300520, 0, "Trapped system register access, op0 3 op1 0 CRn 1 CRm 0 op2 0, write of x9"),
        (0x96000047, STACKS + 8, "guard page under core 0's kernel stack"),
        (0x96000047, STACKS + 0x20000 + 0x9FF0, "guard page under core 1's exception stack"),
        (0x96000047, STACKS + 3 * 0x20000 + 0xE008, "guard page under core 3's emergency stack"),
        (0xFC000000, 0, "Exception class of no name"),
    ],
)
def test_an_exception_says_what_happened_and_where(
    kernel: ctypes.CDLL, esr: int, far: int, words: str
) -> None:
    assert words in describe(kernel, esr, far)


@given(esr=st.integers(0, 2**37 - 1), far=st.integers(0, 2**64 - 1), size=st.integers(1, SIZE))
@example(esr=0x96000047, far=STACKS, size=SIZE)
def test_no_esr_overflows_the_text(kernel: ctypes.CDLL, esr: int, far: int, size: int) -> None:
    assert len(describe(kernel, esr, far, size)) < size
