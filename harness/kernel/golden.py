"""Golden images: a pinned known-good kernel per firmware, to tell a faulty board from a kernel that hangs."""

from __future__ import annotations

import hashlib
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from contracts.board import BoardSpec
from contracts.errors import AssayError, BuildError, ConfigError
from contracts.plain_file import read_plain
from contracts.root import ROOT
from contracts.wire.frames import PROTOCOL_VERSION
from harness.config.strict import load_yaml
from harness.kernel.board_kernel import kernel_for, line_defines
from harness.kernel.build import KernelImage, raw_image, write_if_changed

GOLDEN: Final = ROOT / "lab-config" / "golden"
MANIFEST: Final = "golden.yaml"
SIZE_MAX: Final = 250_000  # bytes; they are committed
COMMAND: Final = "assay golden write"
SOURCES: Final = (
    "firmware",
    "contracts/wire",
    "harness/kernel/build.py",
    "harness/kernel/board_kernel.py",
    "lab-config/keys",
)
"""The sources of a golden image: without uncommitted changes, so that the image can be reproduced."""

_EHDR: Final = 64  # Elf64_Ehdr, and where its fields are: System V gABI, chapter 4
_SECTION_OFFSET: Final = 40
_SECTION_COUNTS: Final = 58
_SEGMENT: Final = struct.Struct("<IIQQQQQQ")  # Elf64_Phdr
_HEX: Final = r"^[0-9a-f]+$"
_DO: Final = "restore lab-config/golden/ from the repository, or pin again with `assay golden write`"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class GoldenEntry(_Strict):
    """One pinned image. `sha256` is that of its file, `commit` the tree that it was built from."""

    build_id: Annotated[str, Field(pattern=_HEX, min_length=40, max_length=40)]
    sha256: Annotated[str, Field(pattern=_HEX, min_length=64, max_length=64)]
    protocol: int
    commit: Annotated[str, Field(pattern=_HEX, min_length=40, max_length=40)]
    command: str


class GoldenFile(_Strict):
    """`golden.yaml`: the pinned images by name (`golden_name`)."""

    version: Literal[1] = Field(alias="schema")
    images: dict[str, GoldenEntry]


_KERNEL_MAX: Final = 64 << 20


def golden_name(spec: BoardSpec) -> str:
    """The name of a board type's golden image: its firmware, and any non-default parameters of its serial line."""
    line = (f"{name}{value}".lower().replace("_", "") for name, value in sorted(line_defines(spec).items()))
    return "-".join((spec.firmware, *line))


def golden_image(spec: BoardSpec, folder: Path = GOLDEN) -> KernelImage:
    """The pinned kernel for `spec`'s firmware and line, checked against the manifest: ELF and image, no symbols.

    It always has the development key: HELLO and ECHO need no key. Raises ConfigError if it is missing, damaged, or
    uses another protocol than this host.
    """
    return _pinned(golden_name(spec), folder)


def _pinned(name: str, folder: Path) -> KernelImage:
    entry = _entry(name, folder)
    elf = folder / f"{name}.elf"
    try:
        content = read_plain(elf, _KERNEL_MAX)
    except OSError as error:
        raise ConfigError(
            f"the golden image {elf} cannot be read", expected="a kernel", seen=str(error), do=_DO
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != entry.sha256:
        raise ConfigError(
            f"the golden image {elf} is damaged",
            expected=f"SHA-256 {entry.sha256}, as in {MANIFEST}",
            seen=f"{digest}, {len(content)} bytes",
            do=_DO,
        )
    if entry.protocol != PROTOCOL_VERSION:
        raise ConfigError(
            f"the golden image {elf} is too old for this host",
            expected=f"channel protocol {PROTOCOL_VERSION}",
            seen=f"protocol {entry.protocol}",
            do="pin again with `assay golden write`",
        )
    build_id = bytes.fromhex(entry.build_id)
    raw = _raw(elf)
    if build_id not in raw:
        raise ConfigError(
            f"the golden image {elf} is not the kernel that {MANIFEST} names",
            expected=f"build id {entry.build_id}",
            seen="a kernel without it",
            do=_DO,
        )
    img = ROOT / "build" / "golden" / f"{name}-{digest[:12]}.img"
    try:
        write_if_changed(img, raw)
    except OSError as error:
        raise ConfigError(
            f"{img} cannot be written",
            expected="a writable folder with free space",
            seen=str(error),
            do="correct its permissions",
        ) from error
    return KernelImage(name, "release", elf, img, build_id, len(raw), hashlib.sha256(raw).digest())


def _entry(name: str, folder: Path) -> GoldenEntry:
    images = load_yaml(folder / MANIFEST, GoldenFile).images
    if name not in images:
        raise ConfigError(
            f"no golden image named {name}",
            expected=f"one in {folder / MANIFEST}",
            seen=f"only {', '.join(images) or 'none'}",
            do="pin one with `assay golden write`",
        )
    return images[name]


def _raw(elf: Path) -> bytes:
    try:
        return raw_image(elf)
    except BuildError as error:
        raise ConfigError(
            f"the golden image {elf} is not a kernel",
            expected="an ELF with load segments",
            seen=error.seen,
            do=_DO,
        ) from error


def check_golden(path: Path, boards: Sequence[BoardSpec] = ()) -> list[ConfigError]:
    """All mistakes in the manifest at `path` and its images, and what it lacks for `boards`."""
    try:
        images = load_yaml(path, GoldenFile).images
    except ConfigError as error:
        return [error]
    wrong = []
    for name in sorted({*images, *map(golden_name, boards)}):
        try:
            _pinned(name, path.parent)
        except ConfigError as error:
            wrong.append(error)
    return wrong


def source_commit() -> str:
    """The commit of the sources that `build_kernel` builds. Raises ConfigError if the sources differ from it."""
    changed = _git("status", "--porcelain", "--", *SOURCES)
    if changed:
        raise ConfigError(
            "a golden image can only be pinned from committed sources",
            expected=f"no change below {', '.join(SOURCES)}",
            seen=changed,
            do="commit, or undo the changes",
        )
    return _git("rev-parse", "HEAD")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ConfigError(
            "the commit of the sources is unknown",
            expected=f"a git repository in {ROOT}",
            seen=(getattr(error, "stderr", None) or str(error)).strip(),
            do="pin in a clone of the repository",
        ) from error
    return done.stdout.strip()


def new_golden(spec: BoardSpec, folder: Path) -> KernelImage:
    """Build the release kernel of `spec` with the development key and write its stripped ELF into `folder`.

    Pins nothing. Raises what `build_kernel` raises, and ConfigError for an image that is too large.
    """
    image = kernel_for(spec)
    bare = strip(image.elf.read_bytes())
    if len(bare) > SIZE_MAX:
        raise ConfigError(
            f"the kernel of {spec.kind} is too large to be pinned",
            expected=f"at most {SIZE_MAX} bytes",
            seen=f"{len(bare)} bytes",
            do="find what grew in it",
        )
    name = golden_name(spec)
    elf = folder / f"{name}.elf"
    write_if_changed(elf, bare)
    return replace(image, board=name, elf=elf)


def pin(images: Sequence[KernelImage], commit: str, folder: Path = GOLDEN) -> Path:
    """Copy `images` into `folder` and add them to its manifest, which keeps its other entries. Returns the manifest."""
    path = folder / MANIFEST
    known = dict(load_yaml(path, GoldenFile).images) if path.is_file() else {}
    try:
        for image in images:
            content = image.elf.read_bytes()
            write_if_changed(folder / f"{image.board}.elf", content)
            known[image.board] = GoldenEntry(
                build_id=image.build_id.hex(),
                sha256=hashlib.sha256(content).hexdigest(),
                protocol=PROTOCOL_VERSION,
                commit=commit,
                command=COMMAND,
            )
        write_if_changed(path, _manifest(known))
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be written",
            expected="a writable folder with free space",
            seen=str(error),
            do="correct that",
        ) from error
    return path


def _manifest(images: dict[str, GoldenEntry]) -> str:
    lines = [
        "# Known-good kernels, booted when a board is unresponsive: if one answers, the kernel under test hung; if not,",
        f"# the board is sick. Release kernels with the development key, pinned by `{COMMAND}` (docs/boards.md).",
        "schema: 1",
        "images:",
    ]
    for name, entry in sorted(images.items()):
        lines.append(f"  {name}:")
        lines += [f"    {key}: {_scalar(value)}" for key, value in entry.model_dump().items()]
    return "\n".join(lines) + "\n"


def _scalar(value: object) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def strip(elf: bytes) -> bytes:
    """A kernel ELF without sections and symbols: what a loader reads, at unchanged offsets."""
    if len(elf) < _EHDR or elf[:5] != b"\x7fELF\x02":
        raise AssayError("only a 64-bit ELF can be stripped", expected="an ELF", seen=repr(elf[:5]))
    offset, _flags, _size, entry_size, count = struct.unpack_from("<Q8xIHHH", elf, 32)
    end = _EHDR + entry_size * count
    for index in range(count):
        segment = _SEGMENT.unpack_from(elf, offset + index * entry_size)
        end = max(end, segment[2] + segment[5])  # p_offset + p_filesz
    out = bytearray(elf[:end])
    struct.pack_into("<Q", out, _SECTION_OFFSET, 0)
    struct.pack_into("<HHH", out, _SECTION_COUNTS, 64, 0, 0)
    return bytes(out)
