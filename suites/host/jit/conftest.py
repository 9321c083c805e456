"""The engine, and the folder's own modules (`corpus`, `ebpf_model`, `random_programs`) made importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from harness.bpf.native import Engine
from harness.bpf.native_build import library

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The shipped engine, built for this host."""
    return Engine()


@pytest.fixture(scope="session")
def immediates() -> Any:
    """firmware/bpf/a64_imm.c."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(
        "bool a64_bitmask(uint64_t value, uint32_t sf, uint32_t *bitmask);"
        "uint32_t a64_mov_imm(uint32_t *out, uint32_t rd, uint64_t value);"
    )
    lib = ffi.dlopen(str(library()))

    class Immediates:
        @staticmethod
        def bitmask(value: int, sf: int) -> int | None:
            out = ffi.new("uint32_t *")
            return int(out[0]) if lib.a64_bitmask(value, sf, out) else None

        @staticmethod
        def mov(value: int) -> list[int]:
            out = ffi.new("uint32_t[4]")
            count = lib.a64_mov_imm(out, 7, value)
            return list(out)[:count]

    return Immediates
