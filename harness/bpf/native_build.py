"""Builds the kernel's eBPF engine for this host: the same C, as a shared library, cached by content."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from enum import Enum
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from contracts.errors import BuildError, InfraError, SetupError
from contracts.root import ROOT

ENGINE_DIR = ROOT / "firmware" / "bpf"
BUILD_DIR = ROOT / "build" / "native"
_BUILD_TIMEOUT_S = 120
_FLAGS = ("-std=c11", "-O2", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-fno-strict-aliasing")


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
    """The `zig` binary of the pinned `ziglang` package. Raises SetupError when it is not installed."""
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
    return sorted(ENGINE_DIR.glob("*.c")) + sorted(Path(__file__).parent.glob("native_*.c"))


def _key(sources: list[Path], flags: tuple[str, ...]) -> str:
    digest = hashlib.sha256(repr(flags).encode())
    digest.update(str(zig()).encode())
    for path in sources + sorted(ENGINE_DIR.glob("*.h")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def library(variant: Variant = Variant.PLAIN) -> Path:
    """Path of the engine's shared library, built if its sources changed.

    Raises BuildError with the compiler's messages when it does not compile, InfraError when another process
    holds the build for too long.
    """
    sources = _sources()
    flags = _FLAGS + _VARIANT_FLAGS[variant]
    target = BUILD_DIR / f"assay_bpf-{variant.value}-{_key(sources, flags)}.so"
    if target.is_file():
        return target
    BUILD_DIR.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(str(BUILD_DIR / "lock"), timeout=_BUILD_TIMEOUT_S):
            if not target.is_file():
                _compile(sources, flags, target)
    except Timeout as late:
        raise InfraError(
            "the native engine is being built by another process",
            expected=f"done within {_BUILD_TIMEOUT_S} s",
            seen="still locked",
            do=f"end that process, or remove {BUILD_DIR / 'lock'}",
        ) from late
    return target


def _compile(sources: list[Path], flags: tuple[str, ...], target: Path) -> None:
    descriptor, name = tempfile.mkstemp(dir=BUILD_DIR, suffix=".so.part")
    os.close(descriptor)
    part = Path(name)
    command = [str(zig()), "cc", *flags, f"-I{ENGINE_DIR}", "-o", str(part), *map(str, sources)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise BuildError(
                "the eBPF engine does not build for this host",
                expected="a clean compile",
                seen=done.stderr.strip(),
            )
        part.rename(target)
    except subprocess.TimeoutExpired as late:
        raise InfraError(
            "the eBPF engine's host build hangs",
            expected=f"done within {_BUILD_TIMEOUT_S} s",
            seen="still compiling",
        ) from late
    finally:
        part.unlink(missing_ok=True)
