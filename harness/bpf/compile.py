"""Restricted C to a BPF object, by the clang inside `ziglang`: one child process, no cache."""

from __future__ import annotations

import hashlib
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.ebpf.program_header import render
from contracts.errors import Cause, InfraError, ProgramRejected
from harness.bpf.native_build import BUILD_DIR, publish, zig
from harness.machine.compiler import cannot_start, cannot_write, why_nothing

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
_WHAT = "the program is not compiled"
_ABOUT_SOURCE = re.compile(r"^\S.*:\d+:\d+: (?:fatal )?error: ", re.MULTILINE)


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
        try:
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,  # a compiler that a terminal's Ctrl-C ends would look like a refusal
            )
        except OSError as error:
            raise cannot_start(_WHAT, command[0], str(error)) from error
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
            "the compiler hangs",
            expected=f"an object within {_TIMEOUT_S} s",
            seen="still compiling",
            do="see whether the machine is overloaded",
            cause=Cause.MACHINE,
        )
    return process.returncode, messages.read_bytes(), usage.ru_utime + usage.ru_stime


def compile_c(source: str) -> CompiledObject:
    """Compiles one C source for the engine (`-target bpfel -mcpu=v4`).

    Raises ProgramRejected (stage `compile`, clang's messages as the reason) when it does not compile, SetupError when
    the compiler cannot be started, InfraError when it hangs, is killed, or has no room for what it writes.
    """
    text = source.encode("utf-8", "surrogateescape")
    if len(text) > _MAX_SOURCE_BYTES:
        raise ProgramRejected(
            "the source is too large",
            stage="compile",
            reason=f"{len(text)} bytes",
            expected=f"at most {_MAX_SOURCE_BYTES} bytes",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="assay-bpf-") as folder:
            return _compile(source, text, Path(folder))
    except OSError as error:
        raise cannot_write(_WHAT, tempfile.gettempdir(), str(error)) from error


def _compile(source: str, text: bytes, folder: Path) -> CompiledObject:
    target = folder / "program.o"
    includes = [f"-I{path}" for path in include_dirs()]
    command = [str(zig()), "clang", *_FLAGS, *includes, "-c", "-", "-o", str(target)]
    began_s = time.monotonic()
    code, messages, cpu_s = _run(command, text, folder)
    wall_s = time.monotonic() - began_s
    printed = messages.decode("utf-8", "replace")
    diagnostics = "\n".join(printed.splitlines()[:_DIAGNOSTIC_LINES])
    if code != 0 or not target.is_file():
        # Clang that says nothing of the source had no chance to look at it.
        if not _ABOUT_SOURCE.search(printed):
            machine = why_nothing(_WHAT, [[command[0], "version"]], code, printed, [folder])
            if machine is not None:
                raise machine
        raise ProgramRejected(
            "the program does not compile",
            stage="compile",
            reason=diagnostics or f"clang ended with {code}",
            do="read the messages; assay.h lists what a program may use",
        )
    return CompiledObject(source, target.read_bytes(), diagnostics, cpu_s, wall_s)
