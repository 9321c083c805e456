"""Builds the kernel's eBPF engine for this host: the same C, as a shared library, cached by content.

What Python declares of it comes from the same headers, by the compiler's preprocessor (`declarations`), so that no
structure is written down twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from enum import Enum
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from contracts.ebpf.c_header import render
from contracts.errors import BuildError, Cause, InfraError, SetupError
from contracts.root import ROOT
from harness.machine.compiler import cannot_start, cannot_write, why_nothing

_HERE = Path(__file__).parent
ENGINE_DIR = ROOT / "firmware" / "bpf"
BUILD_DIR = ROOT / "build" / "native"
_BUILD_TIMEOUT_S = 120
_WHAT = "the eBPF engine does not build for this host"
_FLAGS = (
    "-std=c11",
    "-O2",
    "-g",
    "-fPIC",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-strict-aliasing",
    "-DASSAY_WITNESS",
)


class Variant(Enum):
    """`PLAIN` is the shipped code; `CHECKED` traps on undefined behaviour (UBSan), for tests."""

    PLAIN = "plain"
    CHECKED = "checked"


_VARIANT_FLAGS: dict[Variant, tuple[str, ...]] = {
    Variant.PLAIN: ("-fno-sanitize=all",),
    Variant.CHECKED: ("-fsanitize=undefined", "-fsanitize-trap=undefined"),
}


@cache
def zig() -> Path:
    """The `zig` binary of the pinned `ziglang` package. Raises SetupError if it is not installed."""
    try:
        import ziglang
    except ImportError as missing:
        raise SetupError(
            "the C compiler is not installed",
            expected="package ziglang",
            seen=str(missing),
            do="run ./assay doctor",
        ) from missing
    binary = Path(str(ziglang.__file__)).parent / "zig"
    if not binary.is_file():
        raise SetupError(
            "the C compiler is missing", expected=str(binary), seen="no file", do="run ./assay doctor"
        )
    return binary


def _sources() -> list[Path]:
    return sorted(ENGINE_DIR.glob("*.c")) + sorted(_HERE.glob("native_*.c"))


def _headers() -> list[Path]:
    return sorted(ENGINE_DIR.glob("*.h")) + sorted(_HERE.glob("native_*.h"))


def _key(flags: tuple[str, ...], files: list[Path]) -> str:
    digest = hashlib.sha256(repr(flags).encode())
    digest.update(str(zig()).encode())
    digest.update(render().encode())
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def include_flags() -> tuple[str, ...]:
    """Compiler flags that find the engine's headers, the generated one included, which this writes."""
    text = render()
    folder = BUILD_DIR / f"include-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    publish(folder / "assay_ebpf.h", text)
    return (f"-I{ENGINE_DIR}", f"-I{folder}")


def publish(target: Path, text: str) -> None:
    """Writes a generated file, unless it is there: another process sees it whole or not at all.

    Its folder's name must say what it holds. Raises InfraError.
    """
    if target.is_file():
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=target.parent, suffix=".part")
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
        Path(name).rename(target)
    except OSError as error:
        raise cannot_write(_WHAT, target.parent, str(error)) from error


def library(variant: Variant = Variant.PLAIN) -> Path:
    """Path of the engine's shared library, built if its sources changed.

    Raises BuildError with the compiler's messages if it does not compile, SetupError when the compiler cannot be
    started, InfraError if the folder cannot be written or another process holds the
    build lock for too long.
    """
    sources = _sources()
    flags = _FLAGS + _VARIANT_FLAGS[variant]
    target = BUILD_DIR / f"assay_bpf-{variant.value}-{_key(flags, sources + _headers())}.so"
    if target.is_file():
        return target
    try:
        BUILD_DIR.mkdir(parents=True, exist_ok=True)
        with FileLock(str(BUILD_DIR / "lock"), timeout=_BUILD_TIMEOUT_S):
            if not target.is_file():
                _compile(sources, flags, target)
    except Timeout as late:
        raise InfraError(
            "another process is building the native engine",
            expected=f"done within {_BUILD_TIMEOUT_S} s",
            seen="still locked",
            do=f"end that process, or remove {BUILD_DIR / 'lock'}",
            cause=Cause.MACHINE,
        ) from late
    except OSError as error:
        raise cannot_write(_WHAT, BUILD_DIR, str(error)) from error
    return target


def declarations() -> str:
    """What `native_api.h` declares, preprocessed, as cffi reads it. Raises BuildError as `library` does."""
    target = BUILD_DIR / f"assay_bpf-{_key(('declarations',), _headers())}.h"
    if not target.is_file():
        command = [str(zig()), "clang", "-E", "-P", "-nostdinc", "-undef"]
        text = _run([*command, *include_flags(), f"-I{_HERE / 'native_types'}", str(_HERE / "native_api.h")])
        publish(target, _declared(text))
    return target.read_text()


def _declared(text: str) -> str:
    """Without what cffi cannot read: assertions and bodies of inline functions."""
    text = re.sub(r"_Static_assert\s*\(.*?\)\s*;", "", text, flags=re.DOTALL)
    return re.sub(r"static inline [^{;]*\{.*?^\}", "", text, flags=re.DOTALL | re.MULTILINE)


def _compile(sources: list[Path], flags: tuple[str, ...], target: Path) -> None:
    descriptor, name = tempfile.mkstemp(dir=BUILD_DIR, suffix=".so.part")
    os.close(descriptor)
    part = Path(name)
    try:
        _run([str(zig()), "cc", *flags, *include_flags(), "-o", name, *map(str, sources)])
        part.rename(target)
    finally:
        part.unlink(missing_ok=True)


def _run(command: list[str]) -> str:
    """What a compiler prints. Raises BuildError with its messages, SetupError, InfraError when it hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as late:
        raise InfraError(
            "the eBPF engine's host build timed out",
            expected=f"done within {_BUILD_TIMEOUT_S} s",
            seen="still compiling",
            cause=Cause.MACHINE,
        ) from late
    except OSError as error:
        raise cannot_start(_WHAT, command[0], str(error)) from error
    if done.returncode != 0:
        folders = [BUILD_DIR, Path(tempfile.gettempdir())]
        machine = why_nothing(_WHAT, [[str(zig()), "version"]], done.returncode, done.stderr, folders)
        if machine is not None:
            raise machine
        raise BuildError(
            _WHAT,
            expected="a clean compile",
            seen=done.stderr.strip(),
        )
    return done.stdout
