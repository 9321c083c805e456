"""Kernel images: the same bytes from the same inputs, small, integer-only, with a clear error if a build fails."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import capstone
import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection

from contracts.errors import BuildError, ConfigError
from contracts.root import ROOT
from harness.config.keys import write_new_key
from harness.kernel.build import IMAGE_SIZE_MAX, KernelImage, Variant, build_kernel, known_boards

BOARDS: Final = known_boards()
FP_OPERAND: Final = re.compile(r"(?<![\w.])[bhsdqv]\d{1,2}(\.\d+[bhsd])?\b")


def symbols(image: KernelImage) -> dict[str, int]:
    """Names and addresses of the functions and objects of a kernel."""
    with image.elf.open("rb") as stream:
        table = ELFFile(stream).get_section_by_name(".symtab")
        assert isinstance(table, SymbolTableSection)
        return {
            s.name: s["st_value"]
            for s in table.iter_symbols()
            if s["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT")
        }


@pytest.mark.parametrize("board", ["qemu-virt", "qemu-rpi4"])
def test_same_inputs_give_the_same_bytes_wherever_they_are_built(board: str, tmp_path: Path) -> None:
    first = build_kernel(board)
    second = build_kernel(board, out=tmp_path / "elsewhere" / "deeper")
    assert second.img.read_bytes() == first.img.read_bytes()
    assert second.elf.read_bytes() == first.elf.read_bytes()
    assert second.build_id == first.build_id
    assert any(first.build_id)


def test_another_key_gives_another_image_and_another_build_id(tmp_path: Path) -> None:
    key = write_new_key(tmp_path / "lab.key")
    ours = build_kernel("qemu-virt", key=tmp_path / "lab.key", out=tmp_path / "build")
    development = build_kernel("qemu-virt")
    assert key.public in ours.img.read_bytes()
    assert key.secret[:32] not in ours.img.read_bytes()
    assert ours.build_id != development.build_id


@pytest.mark.parametrize("variant", ["release", "testing"])
@pytest.mark.parametrize("board", BOARDS)
def test_an_image_is_small_and_boots_as_linux_images_do(board: str, variant: Variant) -> None:
    image = build_kernel(board, variant=variant)
    raw = image.img.read_bytes()
    assert image.size == len(raw) <= IMAGE_SIZE_MAX
    assert raw[56:60] == b"ARM\x64"
    offset = int.from_bytes(raw[8:16], "little")
    assert offset == (0x200000 if board == "qemu-virt" else 0x80000)
    assert image.build_id in raw


def test_build_ids_tell_boards_and_variants_apart() -> None:
    ids = {
        build_kernel(board, variant=variant).build_id
        for board in BOARDS
        for variant in ("release", "testing")
    }
    assert len(ids) == 2 * len(BOARDS)


def test_a_release_kernel_holds_no_testing_code() -> None:
    release = symbols(build_kernel("qemu-virt", variant="release"))
    testing = symbols(build_kernel("qemu-virt", variant="testing"))
    assert "handle_PROVOKE" in testing
    hurtful = {name for name in release if re.search(r"provoke|plant", name, re.IGNORECASE)}
    assert not hurtful


def test_no_instruction_touches_a_floating_point_register() -> None:
    """Interrupts save only x0 to x30, so a vector instruction in the kernel would corrupt the interrupted code."""
    image = build_kernel("qemu-virt", variant="testing")
    disassembler = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    disassembler.skipdata = True
    with image.elf.open("rb") as stream:
        text = ELFFile(stream).get_section_by_name(".text")
        assert text is not None
        listing = list(disassembler.disasm(text.data(), text["sh_addr"]))
    assert len(listing) > 1000
    assert [f"{i.address:x}: {i.mnemonic} {i.op_str}" for i in listing if FP_OPERAND.search(i.op_str)] == []


def test_nothing_of_this_machine_is_in_the_kernel() -> None:
    image = build_kernel("qemu-virt")
    for content in (image.img.read_bytes(), image.elf.read_bytes()):
        assert str(ROOT).encode() not in content
        assert b"ziglang" not in content


def test_building_again_changes_no_file() -> None:
    first = build_kernel("qemu-virt")
    before = (first.elf.stat().st_mtime_ns, first.img.stat().st_mtime_ns)
    second = build_kernel("qemu-virt")
    assert (second.elf.stat().st_mtime_ns, second.img.stat().st_mtime_ns) == before


def test_builds_of_one_folder_at_the_same_time_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        images = list(pool.map(lambda _: build_kernel("qemu-virt", out=tmp_path / "shared"), range(3)))
    assert len({image.sha256 for image in images}) == 1


def test_a_source_that_does_not_compile_ends_with_the_compilers_words(tmp_path: Path) -> None:
    broken = tmp_path / "broken.c"
    broken.write_text("int main(void) { return missing_name; }\n")
    with pytest.raises(BuildError, match="missing_name"):
        build_kernel("qemu-virt", probe=broken, out=tmp_path / "build")


def test_an_image_that_outgrows_the_limit_is_refused(tmp_path: Path) -> None:
    fat = tmp_path / "fat.c"
    fat.write_text(
        f"extern const char fat[];\nconst char fat[{IMAGE_SIZE_MAX}] __attribute__((retain, used)) = {{1}};\n"
    )
    with pytest.raises(BuildError, match="too large"):
        build_kernel("qemu-virt", probe=fat, out=tmp_path / "build")


@pytest.mark.parametrize(
    ("board", "variant", "defines", "words"),
    [
        ("qemu-vrit", "release", {}, "did you mean 'qemu-virt'"),
        ("", "release", {}, "no firmware for board"),
        ("qemu-virt", "debug", {}, "no kernel variant"),
        ("qemu-virt", "release", {"a b": "1"}, "not a macro definition"),
        ("qemu-virt", "release", {"A": "1 -o /etc/passwd"}, "not a macro definition"),
    ],
)
def test_a_wrong_request_is_a_config_error(
    board: str, variant: Variant, defines: dict[str, str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        build_kernel(board, variant=variant, extra_defines=defines)


def test_a_key_file_that_is_no_key_is_a_config_error(tmp_path: Path) -> None:
    short = tmp_path / "short.key"
    short.write_text("00ff")
    with pytest.raises(ConfigError, match="is not a key"):
        build_kernel("qemu-virt", key=short)
    with pytest.raises(ConfigError, match="cannot be read"):
        build_kernel("qemu-virt", key=tmp_path / "none.key")
