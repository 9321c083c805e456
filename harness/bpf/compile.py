"""Restricted C to a BPF object, by the clang inside `ziglang`: one child process, no cache."""

from __future__ import annotations

import hashlib
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.ebpf.program_header import render
from contracts.errors import InfraError, ProgramRejected
from harness.bpf.native_build import BUILD_DIR, publish, zig

_INCLUDE_DIR = Path(__file__).parent / "include"
_FLAGS = (
    "-target",
    "bpfel",
    "-mcpu=v4",
    "-g",
    "-O2",
    "-Wall",
    "-fno-ident",
    "-fno-caret-diagnostics",
    "-x",
    "c",
)
_TIMEOUT_S = 30
_MAX_SOURCE_BYTES = 1 << 20
_DIAGNOSTIC_LINES = 40


@dataclass(frozen=True, slots=True)
class CompiledObject:
    """What clang made of one source.

    `elf` is the relocatable object, `diagnostics` its warnings, `cpu_s` the CPU time of the compiler process,
    `wall_s` the time until it was done.
    """

    source: str
    elf: bytes
    diagnostics: str
    cpu_s: float
    wall_s: float


def include_dirs() -> tuple[Path, ...]:
    """Where `assay.h` is, and the `assay_api.h` that it includes, which this writes."""
    text = render()
    folder = BUILD_DIR / f"api-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    publish(folder / "assay_api.h", text)
    return _INCLUDE_DIR, folder


def _run(command: Sequence[str], text: bytes, folder: Path) -> tuple[int, bytes, float]:
    """Exit code, messages and CPU seconds of one compiler: its own, whatever other children end meanwhile."""
    source, messages = folder / "program.c", folder / "messages"
    source.write_bytes(text)
    with source.open("rb") as stdin, messages.open("wb") as stderr:
        process = subprocess.Popen(command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=stderr)
        ended = os.pidfd_open(process.pid)
        try:
            late = not select.select([ended], [], [], _TIMEOUT_S)[0]
            if late:
                process.kill()
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:  # Ctrl-C: no compiler stays behind
            process.kill()
            process.wait()
            raise
        finally:
            os.close(ended)
    process.returncode = os.waitstatus_to_exitcode(status)
    if late:
        raise InfraError(
            "the compiler hangs", expected=f"an object within {_TIMEOUT_S} s", seen="still compiling"
        )
    return process.returncode, messages.read_bytes(), usage.ru_utime + usage.ru_stime


def compile_c(source: str) -> CompiledObject:
    """Compiles one C source for the engine (`-target bpfel -mcpu=v4`).

    Raises ProgramRejected (stage `compile`, clang's messages as the reason) when it does not compile, InfraError when
    the compiler hangs.
    """
    text = source.encode("utf-8", "surrogateescape")
    if len(text) > _MAX_SOURCE_BYTES:
        raise ProgramRejected(
            "the source is too large",
            stage="compile",
            reason=f"{len(text)} bytes",
            expected=f"at most {_MAX_SOURCE_BYTES} bytes",
        )
    with tempfile.TemporaryDirectory(prefix="assay-bpf-") as folder:
        target = Path(folder) / "program.o"
        includes = [f"-I{path}" for path in include_dirs()]
        command = [str(zig()), "clang", *_FLAGS, *includes, "-c", "-", "-o", str(target)]
        began_s = time.monotonic()
        code, messages, cpu_s = _run(command, text, Path(folder))
        wall_s = time.monotonic() - began_s
        diagnostics = "\n".join(messages.decode("utf-8", "replace").splitlines()[:_DIAGNOSTIC_LINES])
        if code != 0 or not target.is_file():
            raise ProgramRejected(
                "the program does not compile",
                stage="compile",
                reason=diagnostics or f"clang ended with {code}",
                do="read the messages; assay.h lists what a program may use",
            )
        return CompiledObject(source, target.read_bytes(), diagnostics, cpu_s, wall_s)
