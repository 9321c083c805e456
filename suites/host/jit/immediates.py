"""firmware/bpf/a64_imm.c, called from Python."""

from __future__ import annotations

from typing import Any, Final

from cffi import FFI

from harness.bpf.native_build import library

_DECLARATIONS: Final = (
    "bool a64_bitmask(uint64_t value, uint32_t sf, uint32_t *bitmask);"
    "uint32_t a64_mov_imm(uint32_t *out, uint32_t rd, uint64_t value);"
)


class Immediates:
    """The encoder in the engine that is built for this host."""

    def __init__(self) -> None:
        self._ffi: Any = FFI()
        self._ffi.cdef(_DECLARATIONS)
        self._lib: Any = self._ffi.dlopen(str(library()))

    def bitmask(self, value: int, sf: int) -> int | None:
        """N, immr and imms of a logical immediate, in one word; None when the value is not one."""
        out = self._ffi.new("uint32_t *")
        return int(out[0]) if self._lib.a64_bitmask(value, sf, out) else None

    def mov(self, value: int) -> list[int]:
        """The instructions that put `value` into x7."""
        out = self._ffi.new("uint32_t[4]")
        count = self._lib.a64_mov_imm(out, 7, value)
        return list(out)[:count]
