"""The kernel's machine-independent C as a host library."""

from __future__ import annotations

import ctypes
import subprocess
import sysconfig
from pathlib import Path
from typing import Final

import pytest

from contracts.root import ROOT

FIRMWARE: Final = ROOT / "firmware"
SOURCES: Final = ("libc/string.c", "kernel/format.c", "kernel/fault.c")
RENAMED: Final = ("memcpy", "memmove", "memset", "memcmp", "strlen", "strcmp", "strncmp")
# The part of vm.c (privileged code) that fault.c needs: one region.
REGIONS: Final = """
#include "kernel/memory.h"
const struct memory_region *memory_region_of(uintptr_t va)
{
    static const struct memory_region stacks = {"stacks", STACKS_VA, STACKS_SIZE};
    return va - STACKS_VA < STACKS_SIZE ? &stacks : 0;
}
"""


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The string functions (as `kernel_memcpy` ...), `format` and `fault_describe`, built with bounds checking."""
    folder = tmp_path_factory.mktemp("kernel")
    library = folder / "kernel.so"
    (folder / "regions.c").write_text(REGIONS)
    zig = Path(sysconfig.get_path("purelib")) / "ziglang" / "zig"
    subprocess.run(
        [
            *(
                str(zig),
                "cc",
                "-shared",
                "-fPIC",
                "-O1",
                "-ffreestanding",
                "-fno-builtin",
                "-std=c11",
                "-Wall",
            ),
            *("-fsanitize=undefined", "-fsanitize-trap=undefined"),
            *(f"-D{name}=kernel_{name}" for name in RENAMED),
            *(f"-I{FIRMWARE / part}" for part in (".", "libc")),
            *(str(FIRMWARE / source) for source in SOURCES),
            *(str(folder / "regions.c"), "-o", str(library)),
        ],
        check=True,
        timeout=100,
    )
    return ctypes.CDLL(str(library))
