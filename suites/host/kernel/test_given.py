"""A kernel that somebody gives as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from harness.kernel.build import build_kernel
from harness.kernel.given import given_kernel


def test_an_elf_and_its_raw_image_are_one_kernel(tmp_path: Path) -> None:
    built = build_kernel("qemu-rpi4")
    of_elf = given_kernel(built.elf, "qemu-rpi4", tmp_path)
    of_img = given_kernel(built.img, "qemu-rpi4", tmp_path)
    for given in (of_elf, of_img):
        assert given.build_id == built.build_id
        assert given.sha256 == built.sha256
        assert given.img.read_bytes() == built.img.read_bytes()
        assert given.img.is_relative_to(
            tmp_path
        )  # what is flashed again is what was named, whatever becomes of it


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"MZ" + bytes(100_000)])
def test_what_is_no_kernel_is_told(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "kernel8.img"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"kernel8\.img is no kernel for a board"):
        given_kernel(path, "qemu-rpi4", tmp_path / "given")
    with pytest.raises(ConfigError, match="is no kernel for a board"):
        given_kernel(tmp_path / "none", "qemu-rpi4", tmp_path / "given")
