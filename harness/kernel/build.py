"""Kernel images: meson and ninja over firmware/, one folder per build, the same bytes from the same inputs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from contracts.errors import BuildError, Cause, ConfigError, InfraError, did_you_mean
from contracts.root import ROOT
from harness.config.keys import LabKey, load_key
from harness.kernel.third_party import fetch_source
from harness.machine.compiler import cannot_start, cannot_write, why_nothing
from harness.machine.file_lock import file_lock

FIRMWARE: Final = ROOT / "firmware"
IMAGE_SIZE_MAX: Final = 256 * 1024
BUILD_ID_SIZE: Final = 20

Variant = Literal["release", "testing"]

_TIMEOUT_S: Final = 300.0
_NOTE_HEADER: Final = 16
_SYMBOL: Final = struct.Struct("<IBBHQQ")  # Elf64_Sym: System V gABI, chapter 4
# zig's clang directly: `zig cc` accepts -mgeneral-regs-only but vectorises anyway.
_TARGET: Final = ("--target=aarch64-none-elf", "-mcpu=cortex-a72", "-nostdinc")
_DEFINE = re.compile(r"^[A-Z][A-Z0-9_]*$")


@dataclass(frozen=True, slots=True)
class KernelImage:
    """A built kernel: `elf` with symbols, `img` as the raw image that a boot loader copies to RAM.

    `build_id` is 20 bytes over the linked contents, `size` and `sha256` are those of `img` (bytes).
    """

    board: str
    variant: Variant
    elf: Path
    img: Path
    build_id: bytes
    size: int
    sha256: bytes


def known_boards() -> list[str]:
    """The board folders of the firmware, sorted."""
    return sorted(path.parent.name for path in (FIRMWARE / "boards").glob("*/board.h"))


def build_kernel(
    board: str,
    *,
    variant: Variant = "release",
    key: Path | None = None,
    extra_defines: Mapping[str, str] | None = None,
    out: Path | None = None,
    probe: Path | None = None,
) -> KernelImage:
    """Build the kernel of `board` (a folder of firmware/boards) and return its image.

    The image goes to build/kernel/<board>-<variant>/, with a suffix when `key` (a lab key file; None: the
    development key) or `extra_defines` (C macros) differ from the default; `out` names another folder. `probe`
    is a C file that replaces eBPF, live and channel code, to test the kernel base alone. Boards share a work folder
    and in it all board-independent objects; a file lock admits one build at a time.

    Raises ConfigError for an unknown board or key, SetupError if a source distribution is not available or a tool
    cannot be started, InfraError if a folder cannot be written or the build does not end, BuildError with the tool's
    output if the sources do not build.
    """
    defines = dict(sorted((extra_defines or {}).items()))
    _check(board, variant, defines)
    recipe = _Recipe(variant, load_key(key), defines, probe.resolve() if probe is not None else None)
    base = ROOT / "build" / "kernel"
    work = base / f"work-{recipe.name}" if out is None else out / "work"
    folder = base / f"{board}-{recipe.name}" if out is None else out
    try:
        work.mkdir(parents=True, exist_ok=True)
        with file_lock(work / "lock", _TIMEOUT_S):
            return _image(folder, _link(work, board, recipe), board, variant)
    except TimeoutError as error:
        raise InfraError(
            f"another process has been building {work.name} for {_TIMEOUT_S:.0f} s",
            expected="a released lock",
            seen=f"{work / 'lock'} still held",
            do="end that process, then build again",
            cause=Cause.MACHINE,
        ) from error
    except OSError as error:
        raise cannot_write(f"the kernel of {board} is not built", folder.parent, str(error)) from error


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What the kernels of one build folder have in common, independent of the board."""

    variant: Variant
    key: LabKey
    defines: Mapping[str, str]
    probe: Path | None

    @property
    def name(self) -> str:
        """The variant's name, with a suffix for everything that is not the default."""
        name: str = self.variant
        if self.probe is not None:
            name += f"-{self.probe.stem}"
        if not self.key.is_development or self.defines:
            inputs = repr((self.key.public, sorted(self.defines.items()))).encode()
            name += f"-{hashlib.sha256(inputs).hexdigest()[:8]}"
        return name


def _check(board: str, variant: str, defines: Mapping[str, str]) -> None:
    boards = known_boards()
    if board not in boards:
        raise ConfigError(
            f"no firmware for board {board!r}{did_you_mean(board, boards)}",
            expected=f"one of {', '.join(boards)}",
            seen=board,
            do="name a folder of firmware/boards",
        )
    if variant not in ("release", "testing"):
        raise ConfigError(
            f"no kernel variant {variant!r}",
            expected="release or testing",
            seen=variant,
            do="name one of them",
        )
    for name, value in defines.items():
        if not _DEFINE.match(name) or any(c.isspace() or c in "'\"\\" for c in value):
            raise ConfigError(
                f"{name}={value} is not a macro definition",
                expected="NAME in capitals, a value without spaces or quotes",
                seen=f"{name}={value}",
                do="write the define in that form",
            )


def _link(work: Path, board: str, recipe: _Recipe) -> Path:
    """Compile and link in `work`; the ELF. Boards share `work` and its board-independent objects."""
    ninja = work / "ninja"
    linker = work / "ld.lld"
    write_if_changed(work / "inputs" / "build_inputs.h", _inputs_header(recipe.key))
    write_if_changed(linker, f'#!/bin/sh\nexec "{_zig()}" ld.lld "$@"\n')
    linker.chmod(0o755)
    cross = _cross_file(linker)
    write_if_changed(work / "cross.ini", cross)
    setup = _meson_setup(work, recipe)
    configured = work / "configured"
    stamp = cross + "\n".join(setup)
    if not (ninja / "build.ninja").is_file() or _read(configured) != stamp:
        configured.unlink(missing_ok=True)
        shutil.rmtree(ninja, ignore_errors=True)
        _run("the kernel's build cannot be configured", setup, work)
        configured.write_text(stamp, "utf-8")
    target = f"kernel-{board}.elf"
    _run(f"the kernel of {board} does not build", [_tool("ninja"), "-C", str(ninja), target], work)
    return ninja / target


def _python() -> str:
    """This Python under one name: `python` and `python3` are the same, and another name would rebuild everything."""
    name = Path(sys.prefix) / "bin" / "python3"
    return str(name) if name.is_file() else sys.executable


def _meson_setup(work: Path, recipe: _Recipe) -> list[str]:
    options = {
        "boards": ",".join(known_boards()),
        "variant": recipe.variant,
        "python": _python(),
        "inputs": str(work / "inputs"),
        "monocypher": str(fetch_source("pymonocypher")),
        "source_prefix": str(ROOT),
        "build_prefix": str(work / "ninja"),
        "probe": str(recipe.probe or ""),
    }
    command = [_tool("meson"), "setup", str(work / "ninja"), str(FIRMWARE), "--buildtype=plain"]
    command += ["--cross-file", str(work / "cross.ini")]
    command += [f"-D{name}={value}" for name, value in options.items()]
    if recipe.defines:
        # A list in meson's own syntax: it splits this option's plain text as a shell does, not at commas.
        command.append(f"-Dc_args={[f'-D{name}={value}' for name, value in recipe.defines.items()]}")
    return command


def _cross_file(linker: Path) -> str:
    headers = Path(_zig()).parent / "lib" / "include"
    zig = [_zig(), "clang", *_TARGET, "-isystem", str(headers), f"--ld-path={linker}", "-Qunused-arguments"]
    return "\n".join(
        [
            "[binaries]",
            f"c = {zig!r}",
            f"ar = {[_zig(), 'ar']!r}",
            "[host_machine]",
            "system = 'none'",
            "cpu_family = 'aarch64'",
            "cpu = 'cortex-a72'",
            "endian = 'little'",
            "[properties]",
            "needs_exe_wrapper = true",
            "skip_sanity_check = true",
            "",
        ]
    )


def _inputs_header(key: LabKey) -> str:
    def array(data: bytes) -> str:
        return "{" + ", ".join(f"0x{byte:02x}" for byte in data) + "}"

    return (
        "/* The kernel's build inputs, written by harness/kernel/build.py. */\n"
        f"#define BUILD_PUBLIC_KEY {array(key.public)}\n"
        f"#define BUILD_CHANNEL_KEY {array(key.channel)}\n"
        f"#define BUILD_KEY_IS_DEVELOPMENT {'true' if key.is_development else 'false'}\n"
    )


def _image(folder: Path, elf: Path, board: str, variant: Variant) -> KernelImage:
    """Write the loaded bytes of `elf` to kernel.img in their RAM layout, check them, and describe both."""
    raw, build_id = _load_segments(elf)
    if len(raw) > IMAGE_SIZE_MAX:
        raise BuildError(
            f"the kernel image of {board} is too large",
            expected=f"at most {IMAGE_SIZE_MAX} bytes",
            seen=f"{len(raw)} bytes",
            do="find what grew: llvm-nm or `nm --size-sort` on the ELF in " + str(folder),
        )
    img = folder / "kernel8.img"
    final_elf = folder / "kernel.elf"
    write_if_changed(img, raw)
    write_if_changed(final_elf, elf.read_bytes())
    return KernelImage(
        board=board,
        variant=variant,
        elf=final_elf,
        img=img,
        build_id=build_id,
        size=len(raw),
        sha256=hashlib.sha256(raw).digest(),
    )


def raw_image(elf: Path) -> bytes:
    """The loaded bytes of a kernel ELF in their RAM layout: what a boot loader copies. Raises BuildError."""
    try:
        with elf.open("rb") as stream:
            return _loaded(ELFFile(stream))
    except (OSError, ELFError, IndexError) as error:
        raise _no_kernel(elf, error) from error


def _loaded(elf: ELFFile) -> bytes:
    segments = sorted(
        ((s["p_paddr"], s.data()) for s in elf.iter_segments("PT_LOAD") if s["p_filesz"] > 0),
        key=lambda segment: segment[0],
    )
    base = segments[0][0]
    image = bytearray()
    for address, data in segments:
        image += bytes(address - base - len(image)) + data
    return bytes(image)


def _no_kernel(path: Path, error: Exception) -> BuildError:
    return BuildError(
        f"{path} is not a valid kernel",
        expected="an ELF with load segments and a build id note",
        seen=repr(error),
        do=f"remove {path.parent} and build again",
    )


def _load_segments(path: Path) -> tuple[bytes, bytes]:
    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            image = _loaded(elf)
            symbols = elf.get_section_by_name(".symtab")
            if not isinstance(symbols, SymbolTableSection):
                raise TypeError("no symbol table")
            start = (
                _address_of("kernel_build_id_note", symbols)
                - min(s["p_vaddr"] for s in elf.iter_segments("PT_LOAD"))
                + _NOTE_HEADER
            )
            return image, image[start : start + BUILD_ID_SIZE]
    except (OSError, ELFError, AttributeError, IndexError, TypeError, struct.error) as error:
        raise _no_kernel(path, error) from error


def _address_of(name: str, symbols: SymbolTableSection) -> int:
    """A symbol's value, or IndexError. Does not use pyelftools, which needs 70 ms for a kernel's symbols."""
    names = symbols.stringtable.data()
    wanted = name.encode() + b"\0"
    for st_name, _info, _other, _section, value, _size in _SYMBOL.iter_unpack(symbols.data()):
        if names.startswith(wanted, st_name):
            address: int = value
            return address
    raise IndexError(name)


def _run(what: str, command: Sequence[str], folder: Path) -> None:
    environment = dict(os.environ)
    cache = ROOT / "build" / "zig-cache"
    environment.update(
        ZIG_LOCAL_CACHE_DIR=str(cache),
        ZIG_GLOBAL_CACHE_DIR=str(cache),
        NINJA=_tool("ninja"),
        LC_ALL="C.UTF-8",
        SOURCE_DATE_EPOCH="0",
    )
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise cannot_start(what, command[0], str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise InfraError(
            what,
            expected=f"an exit within {_TIMEOUT_S:.0f} s",
            seen="none",
            do="check whether the machine is overloaded",
            cause=Cause.MACHINE,
        ) from error
    if done.returncode != 0:
        tools = [[_zig(), "version"], [_tool("ninja"), "--version"], [command[0], "--version"]]
        folders = [folder, cache, Path(tempfile.gettempdir())]
        machine = why_nothing(what, tools, done.returncode, done.stdout, folders)
        if machine is not None:
            raise machine
        raise BuildError(
            what,
            expected=f"exit code 0 of {Path(command[0]).name}",
            seen=f"exit code {done.returncode}\n{_tail(done.stdout)}",
            do="correct the source named above",
        )


def _tail(output: str) -> str:
    """The end of a tool's output, without ninja's progress lines."""
    lines = [
        line
        for line in output.splitlines()
        if not line.startswith(("ninja: Entering", "[")) or "error" in line
    ]
    return "\n".join(lines[-60:])


def _tool(name: str) -> str:
    """A script of this virtual environment, else the one in PATH."""
    path = Path(sysconfig.get_path("scripts")) / name
    return str(path) if path.is_file() else name


def _zig() -> str:
    """The zig binary itself: `python -m ziglang` would add 30 ms per call."""
    return str(Path(sysconfig.get_path("purelib")) / "ziglang" / "zig")


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""


def write_if_changed(path: Path, content: str | bytes) -> None:
    """Replace a file atomically, unless it already has this content. Raises OSError."""
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    partial.write_bytes(data)
    partial.replace(path)
