"""Boot methods: what netboot installs and refuses; methods that are not implemented yet."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.errors import InfraError
from targets.boot.direct import DirectBoot, DirectOptions
from targets.boot.later import JtagBoot, JtagOptions, SdMuxBoot, SdMuxOptions
from targets.boot.netboot import NetbootBoot, NetbootOptions
from targets.sim.bootrom import NoBootError, choose_kernel, lay_firmware, settings


def netboot(folder: Path, **options: object) -> NetbootBoot:
    return NetbootBoot(NetbootOptions.model_validate({"folder": str(folder), **options}))


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    path = tmp_path / "built.img"
    path.write_bytes(bytes(range(256)) * 40)
    return path


@pytest.fixture
def tftp(tmp_path: Path) -> Path:
    folder = tmp_path / "tftp"
    folder.mkdir()
    return folder


def test_netboot_lays_what_a_pi_4_boots(spec: BoardSpec, kernel: Path, tftp: Path) -> None:
    lay_firmware(tftp)
    boot = netboot(tftp, firmware=["start4.elf", "fixup4.dat"], config=["over_voltage=0"])
    boot.check()
    boot.lay(replace(spec, uart_hz=3_000_000), kernel)
    assert choose_kernel(tftp).read_bytes() == kernel.read_bytes()
    found = settings((tftp / "config.txt").read_text())
    assert found["init_uart_clock"] == "3000000"
    assert found["over_voltage"] == "0"
    assert (found["arm_64bit"], found["kernel_address"], found["enable_uart"]) == ("1", "0x80000", "1")
    assert found["dtoverlay"] == "disable-bt"
    for name in ("kernel8.img", "config.txt"):
        assert stat.S_IMODE((tftp / name).stat().st_mode) == 0o644, "a TFTP server runs as another user"
    assert sorted(path.name for path in tftp.iterdir()) == [
        "config.txt", "fixup4.dat", "kernel8.img", "start4.elf",
    ]  # fmt: skip


def test_a_server_that_reads_meanwhile_has_the_old_kernel_whole(
    spec: BoardSpec, kernel: Path, tftp: Path
) -> None:
    netboot(tftp).lay(spec, kernel)
    old = kernel.read_bytes()
    with (tftp / "kernel8.img").open("rb") as reading:
        kernel.write_bytes(b"new")
        netboot(tftp).lay(spec, kernel)
        assert reading.read() == old
    assert (tftp / "kernel8.img").read_bytes() == b"new"


def test_a_folder_that_is_missing_or_not_ours_is_the_labs_fault(
    spec: BoardSpec, kernel: Path, tmp_path: Path, tftp: Path
) -> None:
    with pytest.raises(InfraError, match="gone is missing"):
        netboot(tmp_path / "gone").lay(spec, kernel)
    with pytest.raises(InfraError, match="is missing"):
        netboot(kernel).check()
    with pytest.raises(InfraError, match="lacks the board's own firmware") as caught:
        netboot(tftp, firmware=["start4.elf"]).check()
    assert "start4.elf" in caught.value.seen


def test_a_read_only_folder_is_the_labs_fault(spec: BoardSpec, kernel: Path) -> None:
    # Root ignores permissions: /proc is read-only for every user.
    with pytest.raises(InfraError, match="cannot be written"):
        netboot(Path("/proc/self")).check()
    with pytest.raises(InfraError, match="cannot be written"):
        netboot(Path("/proc/self")).lay(spec, kernel)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what permissions forbid")
def test_a_forbidden_folder_is_the_labs_fault(tftp: Path) -> None:
    tftp.chmod(0o555)
    with pytest.raises(InfraError, match="cannot be written"):
        netboot(tftp).check()


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda folder: (folder / "config.txt").unlink(), "no config.txt"),
        (lambda folder: (folder / "kernel8.img").unlink(), "no kernel kernel8.img"),
        (lambda folder: (folder / "kernel8.img").write_bytes(b""), "no kernel"),
        (lambda folder: (folder / "start4.elf").unlink(), "no start4.elf"),
        (lambda folder: (folder / "config.txt").write_text("kernel=kernel8.img\n"), "arm_64bit"),
        (
            lambda folder: (folder / "config.txt").write_text("arm_64bit=1\nenable_uart=1\n"),
            "loads the kernel at 0x200000",
        ),
        (
            lambda folder: (folder / "config.txt").write_text(
                "[pi3]\narm_64bit=1\n[pi4]\nkernel_address=0x80000\n"
            ),
            "arm_64bit",
        ),
        (
            lambda folder: (folder / "config.txt").write_text("arm_64bit=1\nkernel_address=0x80000\n"),
            "enable_uart",
        ),
        (
            lambda folder: (folder / "config.txt").write_text("arm_64bit=1\nkernel_address=here\n"),
            "not a number",
        ),
    ],
)
def test_the_simulators_boot_rom_stays_dark_for_a_reason(
    spec: BoardSpec, kernel: Path, tftp: Path, break_it: object, says: str
) -> None:
    lay_firmware(tftp)
    netboot(tftp).lay(spec, kernel)
    choose_kernel(tftp)
    assert callable(break_it)
    break_it(tftp)
    with pytest.raises(NoBootError, match=says):
        choose_kernel(tftp)


def test_direct_lays_nothing(spec: BoardSpec, kernel: Path) -> None:
    boot = DirectBoot(DirectOptions())
    boot.check()
    boot.lay(spec, kernel)


def test_methods_that_come_later_say_so(spec: BoardSpec, kernel: Path) -> None:
    mux = SdMuxOptions.model_validate({"device": "/dev/sg1", "partition": "/dev/sdb1"})
    for boot in (JtagBoot(JtagOptions()), SdMuxBoot(mux)):
        with pytest.raises(InfraError, match="not implemented yet"):
            boot.check()
        with pytest.raises(InfraError, match="not implemented yet"):
            boot.lay(spec, kernel)
