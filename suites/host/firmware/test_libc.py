"""The kernel's string functions and formatter behave like C11 and printf, at every length and alignment."""

from __future__ import annotations

import ctypes
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

GUARD: Final = b"\xee" * 32
blocks = st.binary(max_size=200)
shifts = st.integers(0, 15)


@given(data=blocks, at=shifts)
def test_memcpy_copies_all_and_nothing_else(kernel: ctypes.CDLL, data: bytes, at: int) -> None:
    out = ctypes.create_string_buffer(GUARD[:at] + bytes(len(data)) + GUARD, at + len(data) + len(GUARD))
    kernel.kernel_memcpy(ctypes.byref(out, at), data, ctypes.c_size_t(len(data)))
    assert out.raw == GUARD[:at] + data + GUARD


@given(data=blocks, source=st.integers(0, 60), target=st.integers(0, 60))
def test_memmove_is_right_however_the_blocks_overlap(
    kernel: ctypes.CDLL, data: bytes, source: int, target: int
) -> None:
    raw = bytearray(range(256)) * 2
    raw[source : source + len(data)] = data
    buffer = ctypes.create_string_buffer(bytes(raw), len(raw))
    kernel.kernel_memmove(
        ctypes.byref(buffer, target), ctypes.byref(buffer, source), ctypes.c_size_t(len(data))
    )
    raw[target : target + len(data)] = data
    assert buffer.raw == bytes(raw)


@given(length=st.integers(0, 200), at=shifts, value=st.integers(0, 255))
def test_memset_fills_all_and_nothing_else(kernel: ctypes.CDLL, length: int, at: int, value: int) -> None:
    out = ctypes.create_string_buffer(GUARD[:at] + bytes(length) + GUARD, at + length + len(GUARD))
    kernel.kernel_memset(ctypes.byref(out, at), value, ctypes.c_size_t(length))
    assert out.raw == GUARD[:at] + bytes([value]) * length + GUARD


@given(a=blocks, b=blocks, common=blocks)
def test_memcmp_orders_as_bytes_do(kernel: ctypes.CDLL, a: bytes, b: bytes, common: bytes) -> None:
    x, y = common + a, common + b
    size = min(len(x), len(y))
    sign = kernel.kernel_memcmp(x, y, ctypes.c_size_t(size))
    assert (sign > 0) - (sign < 0) == (x[:size] > y[:size]) - (x[:size] < y[:size])


words = st.binary(max_size=20).map(lambda b: b.replace(b"\0", b"x"))


@given(a=words, b=words, n=st.integers(0, 25))
def test_strings_compare_and_measure_as_c_says(kernel: ctypes.CDLL, a: bytes, b: bytes, n: int) -> None:
    kernel.kernel_strlen.restype = ctypes.c_size_t
    assert kernel.kernel_strlen(a) == len(a)
    for sign, x, y in (
        (kernel.kernel_strcmp(a, b), a, b),
        (kernel.kernel_strncmp(a, b, ctypes.c_size_t(n)), a[:n], b[:n]),
    ):
        assert (sign > 0) - (sign < 0) == (x > y) - (x < y)


def text(kernel: ctypes.CDLL, size: int, fmt: bytes, *values: object) -> tuple[bytes, int]:
    out = ctypes.create_string_buffer(b"\xee" * (size + 8), size + 8)
    length = kernel.format(out, ctypes.c_uint32(size), fmt, *values)
    assert out.raw[size:] == b"\xee" * 8, "written past its size"
    return out.value if size else b"", length


@given(value=st.integers(0, 2**64 - 1), size=st.integers(0, 30))
def test_format_never_writes_past_its_size_and_says_what_it_needed(
    kernel: ctypes.CDLL, value: int, size: int
) -> None:
    whole = b"%d/%016x" % (value, value)
    assert text(kernel, size, b"%lu/%016lx", ctypes.c_uint64(value), ctypes.c_uint64(value)) == (
        whole[: max(size - 1, 0)],
        len(whole),
    )


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_format_prints_signed_numbers(kernel: ctypes.CDLL, value: int) -> None:
    assert text(kernel, 64, b"%ld", ctypes.c_int64(value))[0] == b"%d" % value


@pytest.mark.parametrize(
    ("fmt", "values", "expected"),
    [
        (b"%s|%4s|%c|%%", (b"ab", b"cd", ctypes.c_int(ord("x"))), b"ab|cd  |x|%"),
        (b"%04x %4u %d", (ctypes.c_uint32(0xBEEF), ctypes.c_uint32(7), ctypes.c_int(-12)), b"beef    7 -12"),
        (b"%p", (ctypes.c_uint64(0xFFFF800000000000),), b"0xffff800000000000"),
        (b"%s", (None,), b"(null)"),
        (b"end %", (), b"end "),
    ],
)
def test_format_knows_these(
    kernel: ctypes.CDLL, fmt: bytes, values: tuple[object, ...], expected: bytes
) -> None:
    assert text(kernel, 64, fmt, *values)[0] == expected
