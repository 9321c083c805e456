"""Restricted C to a BPF object, with the clang inside `ziglang`: one child process, no cache."""

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
from contracts.errors import Cause, ConfigError, InfraError, ProgramRejected
from contracts.plain_file import read_plain
from harness.bpf.clang_advice import advice
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
    "-nostdinc",
    "-fno-crash-diagnostics",
    "-x",
    "c",
)
_TIMEOUT_S = 30
_MAX_SOURCE_BYTES = 1 << 20
_DIAGNOSTIC_LINES = 40
_WHAT = "the program is not compiled"
_ABOUT_SOURCE = re.compile(r"^\S.*:\d+:\d+: (?:fatal )?error: ", re.MULTILINE)
_ABOUT_CLANG = ("zig: ", "clang version ", "Target: ", "Thread model: ", "InstalledDir: ", "PLEASE ")


@dataclass(frozen=True, slots=True)
class CompiledObject:
    """The result of compiling one source.

    `elf` is the relocatable object, `diagnostics` its warnings, `cpu_s` the CPU time of the compiler process,
    `wall_s` the elapsed time.
    """

    source: str
    elf: bytes
    diagnostics: str
    cpu_s: float
    wall_s: float


def include_dirs() -> tuple[Path, ...]:
    """The folders of the headers for programs, and of the `assay_api.h` that they include, which this writes."""
    text = render()
    folder = BUILD_DIR / f"api-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    publish(folder / "assay_api.h", text)
    return _INCLUDE_DIR, folder


def _run(command: Sequence[str], text: bytes, folder: Path) -> tuple[int, bytes, float]:
    """Exit code, messages and CPU seconds of one compiler process, independent of other child processes."""
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
        except BaseException:  # Ctrl-C: leave no compiler running
            process.kill()
            process.wait()
            raise
        finally:
            os.close(ended)
    process.returncode = os.waitstatus_to_exitcode(status)
    if late:
        raise InfraError(
            "the compiler timed out",
            expected=f"an object within {_TIMEOUT_S} s",
            seen="still compiling",
            do="check whether the machine is overloaded",
            cause=Cause.MACHINE,
        )
    return process.returncode, messages.read_bytes(), usage.ru_utime + usage.ru_stime


def compile_c(source: str) -> CompiledObject:
    """Compiles one C source for the engine (`-target bpfel -mcpu=v4`).

    Raises ProgramRejected (stage `compile`, clang's messages as the reason) if it does not compile, SetupError if the
    compiler cannot be started, InfraError if it times out, is killed, or has no disk space for its output.
    """
    return _compile(source, ["-fno-caret-diagnostics", "-c", "-"])


def compile_file(path: Path) -> CompiledObject:
    """Compile a C file: messages and debug information use the given name, quoted includes are beside it.

    Raises ConfigError for a file that cannot be read or is no text, otherwise what `compile_c` raises.
    """
    try:
        source = read_plain(path, _MAX_SOURCE_BYTES).decode()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}", expected="a .c or .o file", seen=error.strerror or str(error)
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not C source", expected="UTF-8 text, or an object named .o", seen=str(error)
        ) from error
    name = str(path)
    return _compile(source, ["-c", f"./{name}" if name.startswith("-") else name])


def _compile(source: str, input_flags: Sequence[str]) -> CompiledObject:
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
            return _compile_in(Path(folder), source, text, input_flags)
    except OSError as error:
        raise cannot_write(_WHAT, tempfile.gettempdir(), str(error)) from error


def _compile_in(folder: Path, source: str, text: bytes, input_flags: Sequence[str]) -> CompiledObject:
    target = folder / "program.o"
    includes = [f"-I{path}" for path in include_dirs()]
    command = [str(zig()), "clang", *_FLAGS, *includes, *input_flags, "-o", str(target)]
    began_s = time.monotonic()
    code, messages, cpu_s = _run(command, text, folder)
    wall_s = time.monotonic() - began_s
    printed = messages.decode("utf-8", "replace")
    diagnostics = _first_lines(printed)
    if code != 0 or not target.is_file():
        # If clang reports nothing about the source, it did not get to read it.
        if not _ABOUT_SOURCE.search(printed):
            machine = why_nothing(_WHAT, [[command[0], "version"]], code, printed, [folder])
            if machine is not None:
                raise machine
        raise ProgramRejected(
            "the program does not compile",
            stage="compile",
            reason=diagnostics or f"clang exited with {code}",
            do=advice(diagnostics) or "see the messages; docs/programs.md lists what a program may use",
        )
    return CompiledObject(source, target.read_bytes(), diagnostics, cpu_s, wall_s)


def _first_lines(messages: str) -> str:
    """clang's messages without its own summary, and at most one screen of them."""
    lines = [line for line in messages.splitlines() if not line.startswith(_ABOUT_CLANG)]
    left = len(lines) - _DIAGNOSTIC_LINES
    return "\n".join(lines[:_DIAGNOSTIC_LINES] + ([f"({left} more lines)"] if left > 0 else []))
