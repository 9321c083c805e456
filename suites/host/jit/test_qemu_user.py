"""The JIT's code on an independent A64: all corner cases and thousands of random programs under qemu-aarch64."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.bpf.native_build import ENGINE_DIR, include_flags, zig
from harness.setup.install import A64_LINUX_FLAGS
from suites.host.jit.corpus import Case, corners
from suites.host.jit.ebpf_model import Machine
from suites.host.jit.random_programs import random_cases

QEMU = shutil.which("qemu-aarch64")
SOURCES = ("interp", "helpers", "hook", "maps", "text", "a64_imm")
HELPERS = {5: lambda _: 0x1234_5678_9ABC_DEF0, 7: lambda _: 0xDEAD_BEEF, 8: lambda _: 3}
HEAD = struct.Struct("<IIIIQQ")
FUEL = 1 << 22

pytestmark = [
    pytest.mark.timeout(400),  # where set-up has not warmed the C library of this machine
    pytest.mark.skipif(QEMU is None, reason="qemu-aarch64 (Debian package qemu-user) is not installed"),
]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """qemu_runner.c and the engine, as a static A64 Linux program."""
    binary = tmp_path_factory.mktemp("runner") / "runner"
    sources = [Path(__file__).parent / "qemu_runner.c", *(ENGINE_DIR / f"{name}.c" for name in SOURCES)]
    sources += [path for kind in ("helper", "jit", "map") for path in sorted(ENGINE_DIR.glob(f"{kind}_*.c"))]
    command = [str(zig()), "cc", *A64_LINUX_FLAGS, *include_flags(), "-o", str(binary), *map(str, sources)]
    subprocess.run(command, check=True, timeout=280)
    return binary


def check(runner: Path, cases: Sequence[Case]) -> None:
    """Interpreter, JIT and the Python model agree on each case."""
    given = b"".join(struct.pack("<II", len(c.insns) // 8, len(c.memory)) + c.insns + c.memory for c in cases)
    done = subprocess.run(
        [str(QEMU), str(runner)], input=given, capture_output=True, timeout=100, check=False
    )
    out, at = done.stdout, 0
    for case in cases:
        assert at + HEAD.size <= len(out), (
            f"{case.name}: the runner ended with {done.returncode}: {done.stderr!r}"
        )
        jitted, _, intact, end, interp_r0, jit_r0 = HEAD.unpack_from(out, at)
        at += HEAD.size
        size = len(case.memory)
        interp_memory, jit_memory = out[at : at + size], out[at + size : at + 2 * size]
        at += 2 * size
        model = Machine(case.insns, case.memory, HELPERS)
        expected = (model.run(FUEL), bytes(model.memory))
        assert (jitted, end) == (1, 0), case.name
        assert intact == 1, f"{case.name}: a callee-saved register or SP was lost"
        assert (interp_r0, interp_memory) == expected, f"{case.name}: the interpreter differs from RFC 9669"
        assert (jit_r0, jit_memory) == expected, f"{case.name}: the JIT differs from RFC 9669"


def test_every_operation_on_every_corner_of_its_operands(runner: Path) -> None:
    check(runner, list(corners()))


@pytest.mark.parametrize("start", [0, 1000, 2000, 3000])
def test_random_programs(runner: Path, start: int) -> None:
    check(runner, list(random_cases(100_000 + start, 1000)))
