"""A kernel given as a file, as in `assay flash BOARD KERNEL`: an ELF or a raw image."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from contracts.errors import BuildError, ConfigError
from contracts.plain_file import read_plain
from contracts.root import ROOT
from harness.kernel.build import BUILD_ID_SIZE, KernelImage, raw_image, write_if_changed

GIVEN: Final = ROOT / "build" / "kernel" / "given"

KERNEL_MAX: Final = 64 << 20
"""The maximum size of a kernel file in bytes, including symbols."""

_NOTE: Final = bytes.fromhex("040000001400000003000000") + b"GNU\0"
"""Elf64_Nhdr of a GNU build id of 20 bytes (System V gABI, chapter 5): it is in the loaded bytes."""


def given_kernel(path: Path, board: str, folder: Path = GIVEN) -> KernelImage:
    """The kernel in `path` for a board of the firmware `board`.

    Copied to a folder of its own in `folder`, by its contents: the board boots what was named, also the next time,
    whatever becomes of `path`. Its variant is not known and counts as `release`. Raises ConfigError for a file that is
    no kernel of ours.
    """
    try:
        data = elf = read_plain(path, KERNEL_MAX)
    except OSError as error:
        raise _bad(path, "a readable file", error.strerror or str(error)) from error
    if data.startswith(b"\x7fELF"):
        try:
            data = raw_image(path)
        except BuildError as error:
            raise _bad(path, error.expected, error.seen) from error
    at = data.find(_NOTE)
    build_id = data[at + len(_NOTE) :][:BUILD_ID_SIZE] if at >= 0 else b""
    if len(build_id) != BUILD_ID_SIZE:
        raise _bad(
            path, "a kernel with a build id, as `assay build` writes it", f"{len(data)} bytes without one"
        )
    digest = hashlib.sha256(data).digest()
    home = folder / digest.hex()[:16]
    home.mkdir(parents=True, exist_ok=True)
    write_if_changed(home / "kernel8.img", data)
    write_if_changed(home / "kernel.elf", elf)
    return KernelImage(
        board=board,
        variant="release",
        elf=home / "kernel.elf",
        img=home / "kernel8.img",
        build_id=build_id,
        size=len(data),
        sha256=digest,
    )


def _bad(path: Path, expected: str, seen: str) -> ConfigError:
    return ConfigError(
        f"{path} is no kernel for a board",
        expected=expected,
        seen=seen,
        do="name a kernel8.img or kernel.elf of `assay build`",
    )
