"""What is plugged in, as a lab file to edit: valid as it is, and telling what has to be filled in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.root import ROOT
from harness.boards.discover import Adapter, Found, Hub, Probe, discover, lab_text
from harness.boards.registry import load_lab

UHUBCTL = """\
#!/bin/sh
cat <<'END'
Current status for hub 1-1.4 [2109:3431 USB2.0 Hub, USB 2.10, 4 ports, ppps]
  Port 1: 0103 power enable connect [0403:6001 FTDI FT232R USB UART A10K5QX2]
  Port 2: 0100 power
END
"""


def usb_device(folder: Path, name: str, **files: str) -> None:
    (folder / name).mkdir(parents=True)
    for file, text in files.items():
        (folder / name / file).write_text(text + "\n")


def test_probes_and_hubs_are_found_by_what_they_say_of_themselves(tmp_path: Path) -> None:
    usb = tmp_path / "usb"
    usb_device(
        usb, "1-1.2", idVendor="2e8a", idProduct="000c", serial="E6614103E7452D2F", product="Debug Probe"
    )
    usb_device(usb, "1-1.3", idVendor="1234", idProduct="5678", serial="77", product="Acme CMSIS-DAP")
    usb_device(usb, "1-1.5", idVendor="046d", idProduct="c31c", product="Keyboard")
    usb_device(usb, "usb1")
    program = tmp_path / "uhubctl"
    program.write_text(UHUBCTL)
    program.chmod(0o755)
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    (by_id / "usb-FTDI_A10K5QX2-if00").symlink_to("/dev/null")
    found = discover(usb, by_id, str(program))
    assert [probe.unique_id for probe in found.probes] == ["E6614103E7452D2F", "77"]
    assert [hub.location for hub in found.hubs] == ["1-1.4"]
    assert [port for port, _ in found.hubs[0].ports] == [1, 2]
    assert str(by_id / "usb-FTDI_A10K5QX2-if00") in [adapter.path for adapter in found.adapters]


def test_a_hub_program_that_fails_is_said_and_costs_nothing_else(tmp_path: Path) -> None:
    program = tmp_path / "uhubctl"
    program.write_text("#!/bin/sh\necho no permission >&2\nexit 1\n")
    program.chmod(0o755)
    found = discover(tmp_path, tmp_path, str(program))
    assert found.hubs == ()
    assert "no permission" in found.unknown[0]


@pytest.mark.parametrize("hubs", [(), (Hub("1-1.4", "ppps", ((1, "power"), (2, "power"))),)])
def test_the_lab_file_is_valid_as_it_is(hubs: tuple[Hub, ...], tmp_path: Path) -> None:
    found = Found(
        (
            Adapter("/dev/serial/by-id/usb-FTDI_A10K5QX2-if00", 'FT232R: "UART"\n# x', "A10K5QX2"),
            Adapter("/dev/serial/by-id/usb-other", "CP2102", "A10K5QX2"),
            Adapter("/dev/ttyUSB7", "no serial number", ""),
        ),
        (Probe("E6614103E7452D2F", "Debug Probe"),),
        hubs,
    )
    path = tmp_path / "lab.yaml"
    path.write_text(lab_text(found, "rpi4"))
    places = load_lab(path)["rpi4"]
    assert [place.console for place in places] == [adapter.path for adapter in found.adapters]
    assert len({place.name for place in places}) == 3
    assert all(place.power is not None and place.boot is not None for place in places)
    assert path.read_text().count("EDIT") >= 6
    if hubs:
        assert [place.power.options["port"] for place in places if place.power] == [1, 2, 1]


def test_the_command_prints_a_file_that_config_check_takes(tmp_path: Path) -> None:
    def assay(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.cli", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    printed = assay("boards", "discover")
    assert printed.returncode == 0, printed.stderr
    path = tmp_path / "lab.yaml"
    path.write_text(printed.stdout)
    checked = assay("config", "check", str(path))
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert assay("boards", "discover", "--kind", "qemu-virt").returncode == 4


def test_a_place_whose_adapter_is_missing_says_so_in_the_list(tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    lab.write_text(
        "schema: 1\nplaces:\n  rpi4:\n"
        f"    - {{name: pi-gone, console: {tmp_path}/none, power: {{hub: 1-1, port: 1}}, boot: {{folder: {tmp_path}}}}}\n"
        f"    - {{name: pi-dark, console: 'socket://127.0.0.1:1', power: {{hub: 1-1, port: 1}}, boot: {{folder: {tmp_path}}}}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "boards", "--board", "rpi4", "--lab", str(lab)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line[:1].strip()}
    assert "adapter missing" in rows["pi-gone"]
    assert f"{tmp_path}/none"[:30] in done.stdout
    assert "adapter missing" in rows["pi-dark"]
