"""Golden images: pinned with their hashes, without symbols and host paths, and refused if anything differs."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.errors import ConfigError
from contracts.root import ROOT
from harness.boards.registry import load_boards, select_one
from harness.checks.config_files import check_file
from harness.kernel import golden
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import raw_image
from harness.kernel.golden import GOLDEN, MANIFEST, SIZE_MAX, golden_image, golden_name, pin, strip


@pytest.fixture
def virt() -> BoardSpec:
    """The board type that boots an ELF."""
    return select_one("qemu-virt")


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the pinned images, to be damaged."""
    return Path(shutil.copytree(GOLDEN, tmp_path / "golden"))


@pytest.mark.parametrize("spec", load_boards(), ids=lambda spec: spec.kind)
def test_every_kind_has_a_golden_image_that_is_small_and_says_nothing_of_this_machine(
    spec: BoardSpec,
) -> None:
    image = golden_image(spec)
    content = image.elf.read_bytes()
    assert len(content) <= SIZE_MAX
    assert image.img.read_bytes() == raw_image(image.elf)
    assert image.build_id in image.img.read_bytes()
    assert str(Path.home()).encode() not in content
    assert str(ROOT).encode() not in content


def test_what_is_stripped_loads_as_before_and_has_no_symbols(virt: BoardSpec, tmp_path: Path) -> None:
    whole = kernel_for(virt)
    bare = tmp_path / "bare.elf"
    bare.write_bytes(strip(whole.elf.read_bytes()))
    assert raw_image(bare) == raw_image(whole.elf)
    assert len(bare.read_bytes()) < len(whole.elf.read_bytes())
    assert b"handle_HELLO" in whole.elf.read_bytes()
    assert b"handle_HELLO" not in bare.read_bytes()


def test_a_board_with_another_line_needs_a_golden_image_of_its_own(virt: BoardSpec) -> None:
    slow = dataclasses.replace(virt, baud=115200)
    assert golden_name(slow) != golden_name(virt)
    with pytest.raises(ConfigError, match="no golden image named qemu-virt-uartbaud115200u") as caught:
        golden_image(slow)
    assert "assay golden write" in caught.value.do


def test_a_damaged_image_is_refused_and_config_check_tells(virt: BoardSpec, copied: Path) -> None:
    assert not check_file(copied / MANIFEST)
    elf = copied / "qemu-virt.elf"
    content = bytearray(elf.read_bytes())
    content[5000] ^= 1
    elf.write_bytes(content)
    with pytest.raises(ConfigError, match="is damaged"):
        golden_image(virt, copied)
    (copied / "qemu-rpi3.elf").unlink()
    told = sorted(str(error) for error in check_file(copied / MANIFEST))
    assert len(told) == 2
    assert "qemu-rpi3.elf cannot be read" in told[0] + told[1]
    assert "restore lab-config/golden/" in told[0]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("protocol: 1", "protocol: 0", "too old for this host"),
        ('build_id: "', 'build_id: "0', "at most 40 characters"),
        ("protocol:", "protcol:", "did you mean 'protocol'"),
        ("  qemu-virt:", "  qemu-vrit:", "no golden image named qemu-virt"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    virt: BoardSpec, copied: Path, old: str, new: str, says: str
) -> None:
    path = copied / MANIFEST
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=says):
        golden_image(virt, copied)


def test_a_file_that_is_no_kernel_is_refused_though_its_hash_is_right(virt: BoardSpec, copied: Path) -> None:
    elf = copied / "qemu-virt.elf"
    before = hashlib.sha256(elf.read_bytes()).hexdigest()
    elf.write_bytes(b"\x7fELF\x02" + bytes(200))
    path = copied / MANIFEST
    path.write_text(path.read_text().replace(before, hashlib.sha256(elf.read_bytes()).hexdigest()))
    with pytest.raises(ConfigError, match="is not a kernel"):
        golden_image(virt, copied)


def test_pinning_one_image_leaves_the_others_as_they_were(virt: BoardSpec, copied: Path) -> None:
    image = golden_image(virt)
    before = {name: (copied / f"{name}.elf").read_bytes() for name in ("qemu-rpi3", "qemu-rpi4")}
    pin([dataclasses.replace(image, elf=kernel_for(virt, "testing").elf)], "c" * 40, copied)
    assert {name: (copied / f"{name}.elf").read_bytes() for name in before} == before
    text = (copied / MANIFEST).read_text()
    assert text.count("commit: ") == 3
    assert text.count("c" * 40) == 1


def test_an_image_is_pinned_from_committed_sources_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr("harness.kernel.golden.ROOT", tmp_path)
    with pytest.raises(ConfigError, match="the commit of the sources is unknown"):
        golden.source_commit()
    git("init", "-q")
    source = tmp_path / "firmware" / "main.c"
    source.parent.mkdir()
    source.write_text("int main;")
    git("add", ".")
    git("commit", "-q", "-m", "one")
    assert golden.source_commit() == git("rev-parse", "HEAD")
    (tmp_path / "notes").write_text("of no weight")
    assert golden.source_commit() == git("rev-parse", "HEAD")
    source.write_text("int main = 1;")
    with pytest.raises(ConfigError, match="only be pinned from committed sources") as caught:
        golden.source_commit()
    assert "firmware/main.c" in caught.value.seen
