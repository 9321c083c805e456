"""Drivers by name, also in a lab's own files; their options are checked, each mistake with its location."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from contracts.board import BoardSpec, DriverSpec, Place
from contracts.errors import ConfigError
from harness.boards.registry import BOARDS, LABS, load_board, load_boards, load_lab, select
from harness.checks.config_files import check_file
from harness.kernel.board_kernel import kernel_for, line_defines
from targets.drivers import (
    BOOT,
    CONSOLE,
    DEVICE,
    POWER,
    boot_of,
    console_of,
    find_driver,
    known_drivers,
    power_of,
)

RELAY = """
from typing import ClassVar
from pydantic import BaseModel
from targets.options import LocatedPath, Options

class RelayOptions(Options):
    line: int
    log: LocatedPath

class Relay:
    Options: ClassVar[type[BaseModel]] = RelayOptions
    def __init__(self, options): self.options = options
    def check(self): pass
    def on(self): self.options.log.write_text(f"on {self.options.line}")
    def off(self): pass
    def state(self): return None

class Mux:
    def __init__(self, address): self.address = address
    def check(self): pass
    def present(self): return True
    def open(self, baud): raise NotImplementedError

class Nothing: pass
"""
BENCH = """\
schema: 1
kind: bench-one
firmware: qemu-rpi4
power: {driver: command, off_s: 0.5}
boot: {driver: netboot}
places:
  - name: one
    console: /dev/ttyUSB0
    power:
      on: [bin/relay, "on"]
      off: [relay, "off"]
    boot:
      folder: tftp/one
"""


def write(folder: Path, text: str, name: str = "bench-one.yaml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_options_of_a_place_stand_over_those_of_the_kind_and_paths_are_meant_from_their_file(
    tmp_path: Path,
) -> None:
    (place,) = load_board(write(tmp_path, BENCH)).places
    assert place.power is not None
    assert place.power.options == {
        "on": [f"{tmp_path}/bin/relay", "on"],
        "off": ["relay", "off"],
        "off_s": 0.5,
    }
    assert place.boot is not None
    assert place.boot.options == {"folder": f"{tmp_path}/tftp/one"}
    assert place.console == "/dev/ttyUSB0"


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("driver: command,", "driver: comand,", "4:17", "did you mean 'command'"),
        ("driver: netboot", "driver: netbot", "5:16", "did you mean 'netboot'"),
        ("off_s: 0.5", "off_s: no", "4:33", "valid number"),
        ("off_s: 0.5", "ofs_s: 0.5", "4:26", "did you mean 'off_s'"),
        ("      on:", "      onn:", "10:7", "unknown key 'onn'"),
        ('      on: [bin/relay, "on"]\n', "", "10:7", "power.on: Field required"),
        ('[relay, "off"]', "[]", "11:12", "at least 1 item"),
        ("      folder: tftp/one", "      foldr: tftp/one", "13:7", "did you mean 'folder'"),
        ("    console: /dev/ttyUSB0\n", "", "7:5", "has no console"),
        ("/dev/ttyUSB0", "rfc2271://there:1", "8:14", "did you mean 'rfc2217'"),
        ("power: {driver: command, off_s: 0.5}\n", "", "6:5", "no `power` driver"),
        ("name: one", "name: One!", "7:11", "pattern"),
        ("    console: /dev", "    consle: /dev", "8:5", "did you mean 'console'"),
        ("places:\n", "clocks: {uart_hz: 4}\nplaces:\n", "6:19", "greater than or equal"),
        ("places:\n", "baud: 1200\nplaces:\n", "6:7", "greater than or equal"),
    ],
)
def test_every_mistake_has_its_line_and_column(
    tmp_path: Path, old: str, new: str, where: str, says: str
) -> None:
    assert old in BENCH
    path = write(tmp_path, BENCH.replace(old, new))
    (error, *_) = check_file(path)
    assert f"{path}:{where}" in str(error)
    assert says in str(error)


def test_two_places_have_two_names_and_two_consoles(tmp_path: Path) -> None:
    second = BENCH[BENCH.index("  - name") :]
    with pytest.raises(ConfigError, match="two places have the name one"):
        load_board(write(tmp_path, BENCH + second))
    with pytest.raises(ConfigError, match="one and two have the same console"):
        load_board(write(tmp_path, BENCH + second.replace("name: one", "name: two")))
    other = second.replace("name: one", "name: two").replace("ttyUSB0", "ttyUSB1")
    assert load_board(write(tmp_path, BENCH + other)).instances == 2


def test_a_driver_of_the_labs_own_is_a_class_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers" / "relay.py").write_text(RELAY)
    text = BENCH.replace("/dev/ttyUSB0", "drivers/relay.py:Mux://shelf-2/port4").replace(
        'on: [bin/relay, "on"]\n      off: [relay, "off"]', "{driver: drivers/relay.py:Relay, line: 3, log: said}"
    ).replace("power:\n      {", "power: {")  # fmt: skip
    (place,) = load_board(write(tmp_path, text)).places
    power_of(place).on()
    assert (tmp_path / "said").read_text() == "on 3"
    console = console_of(place)
    assert type(console).__name__ == "Mux"
    assert vars(console) == {"address": "shelf-2/port4"}
    for old, new, says in (
        ("relay.py:Relay", "relay.py:Rely", "did you mean 'Relay'"),
        ("relay.py:Relay", "relay.py:Nothing", "a class with on, off, state, check and Options"),
        ("relay.py:Relay", "rely.py:Relay", "cannot be loaded"),
        ("line: 3", "line: three", "power.line"),
        ("relay.py:Mux", "relay.py:Relay", "is not a console driver"),
    ):
        with pytest.raises(ConfigError, match=says):
            load_board(write(tmp_path, text.replace(old, new)))
    (tmp_path / "drivers" / "broken.py").write_text("import no_such_module_at_all")
    with pytest.raises(ConfigError, match="no_such_module_at_all"):
        load_board(write(tmp_path, text.replace("relay.py:Mux", "broken.py:Mux")))


def test_our_own_drivers_are_found_as_anybodys() -> None:
    assert known_drivers(CONSOLE) == ["device", "rfc2217", "socket", "unix"]
    assert known_drivers(POWER) == ["command", "pdu", "uhubctl"]
    assert known_drivers(BOOT) == ["direct", "jtag", "netboot", "sd-mux"]
    with pytest.raises(ConfigError, match="did you mean 'sd-mux'"):
        find_driver(BOOT, "sdmux")


def test_the_committed_rpi4_is_hardware_and_its_simulator_is_like_it() -> None:
    rpi4, sim = load_board(BOARDS / "rpi4.yaml"), load_board(BOARDS / "rpi4-sim.yaml")
    (place,) = rpi4.places
    assert place.console.startswith("/dev/serial/by-id/")
    assert place.probe
    assert place.power == DriverSpec("uhubctl", {"hub": "1-1.4", "port": 1})
    assert (rpi4.qemu, sim.qemu) == (None, None)
    assert sim.places == ()
    assert sim.sim is not None
    assert sim.sim.machine == "raspi4b"
    for name in ("firmware", "baud", "uart_hz", "scenario", "boot_timeout_s", "request_timeout_s"):
        assert getattr(sim, name) == getattr(rpi4, name)
    assert not {"rpi4", "rpi4-sim"} & {spec.kind for spec in select([])}, "neither is a default"


LAB = """\
schema: 1
places:
  rpi4:
    - name: left
      console: serial/left
      power: {driver: command, on: ["true"], off: ["true"]}
      boot: {folder: tftp}
  qemu-virt:
    - name: virt-a
"""


def test_a_lab_file_gives_the_places_of_kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, LAB, "lab.yaml")
    found = {spec.kind: spec for spec in load_boards(lab=path)}
    (place,) = found["rpi4"].places
    assert (place.name, place.console) == ("left", f"{tmp_path}/serial/left")
    assert place.power == DriverSpec("command", {"on": ["true"], "off": ["true"]})
    assert place.boot is not None
    assert place.boot.options == {"folder": f"{tmp_path}/tftp", "firmware": ["start4.elf", "fixup4.dat"]}
    assert found["qemu-virt"].places == (Place("virt-a"),)
    assert found["qemu-rpi3"].instances == 4
    monkeypatch.setenv("ASSAY_LAB", str(path))
    assert select(["rpi4"])[0].places == (place,)
    other = write(tmp_path, LAB.replace("name: left", "name: other"), "other.yaml")
    monkeypatch.setenv("ASSAY_LAB", f"{path}:{other}")
    assert [spec.places[0].name for spec in select(["rpi4"])] == ["other"]
    assert select(["rpi4"], lab=path)[0].places == (place,), "an option goes before the variable"


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("  rpi4:", "  rpi5:", "4:5", "no board 'rpi5' (did you mean 'rpi4'?)"),
        ("folder: tftp", "foldr: tftp", "7:14", "did you mean 'folder'"),
        ("virt-a\n", "virt-a\n      console: /dev/ttyS0\n", "9:7", "has only a name"),
        ("places:", "place:", "2:1", "did you mean 'places'"),
        ("name: left", "nmae: left", "4:7", "did you mean 'name'"),
    ],
)
def test_a_mistake_in_a_lab_file_has_its_place(
    tmp_path: Path, old: str, new: str, where: str, says: str
) -> None:
    path = write(tmp_path, LAB.replace(old, new), "lab.yaml")
    with pytest.raises(ConfigError) as caught:
        load_lab(path)
    assert f"{path}:{where}" in str(caught.value)
    assert says in str(caught.value)


def test_the_committed_example_of_a_lab_is_whole() -> None:
    for path in LABS.glob("*.yaml"):
        assert not check_file(path)
        for places in load_lab(path).values():
            for place in places:
                for driver_of in (
                    boot_of,
                    power_of,
                    console_of,
                ):  # each raises the mistake in its options
                    driver_of(place)


@pytest.mark.parametrize(
    ("like", "says"), [("rpi5", "did you mean 'rpi4'"), ("qemu-virt", "no hardware board type 'qemu-virt'")]
)
def test_a_kind_is_like_a_kind_of_hardware(tmp_path: Path, like: str, says: str) -> None:
    for path in BOARDS.glob("*.yaml"):
        write(tmp_path, path.read_text().replace("like: rpi4", f"like: {like}"), path.name)
    with pytest.raises(ConfigError, match=says) as caught:
        load_board(tmp_path / "rpi4-sim.yaml")
    assert "rpi4-sim.yaml:6:7" in str(caught.value)


def test_a_kernel_is_built_for_the_line_of_its_board_file(spec: BoardSpec) -> None:
    from dataclasses import replace

    rpi4 = load_board(BOARDS / "rpi4.yaml")
    assert line_defines(rpi4) == {}, "as the firmware has it: one image for the board and its QEMU"
    assert all(line_defines(board) == {} for board in load_boards())
    other = replace(rpi4, baud=115200, uart_hz=3_000_000)
    assert line_defines(other) == {"UART_BAUD": "115200u", "UART_CLOCK_HZ": "3000000u"}
    assert kernel_for(rpi4).build_id == kernel_for(spec).build_id
    assert kernel_for(other).build_id != kernel_for(rpi4).build_id


def test_the_guide_tells_of_every_driver_and_option() -> None:
    guide = (BOARDS.parents[1] / "docs" / "boards.md").read_text()
    keys = set()
    for group in (BOOT, POWER):
        for name in known_drivers(group):
            assert f"`{name}`" in guide
            options: type[BaseModel] = find_driver(group, name).Options
            keys |= set(options.model_fields)
    assert len(keys) > 20
    assert [key for key in sorted(keys) if f"`{key}`" not in guide] == []
    assert all(f"`{name}://" in guide for name in known_drivers(CONSOLE) if name != DEVICE)
