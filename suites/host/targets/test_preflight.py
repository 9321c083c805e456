"""Preflight: reports what a board lacks before anything is leased, and fast."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.board import BoardSpec, DriverSpec, Place
from contracts.root import ROOT
from harness.boards.preflight import LIMIT_S, Finding, check, unusable
from harness.boards.registry import select
from harness.lease import acquire, quarantine
from targets.console.device import Device


@pytest.fixture(autouse=True)
def _leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))


def bench(folder: Path, name: str, console: str, program: str = "true") -> Place:
    return Place(
        name,
        console=console,
        power=DriverSpec("command", {"on": [program], "off": [program]}),
        boot=DriverSpec("netboot", {"folder": str(folder)}),
    )


def test_an_absent_board_is_told_with_all_that_it_lacks_in_well_under_a_second() -> None:
    specs = select(["rpi4"], lab=[])
    check(specs)
    began_s = time.monotonic()
    findings = check(specs)
    assert time.monotonic() - began_s < 0.5
    assert {finding.place for finding in findings} == {"rpi4-0"}
    text = unusable(findings)["rpi4"]
    for says in (
        "/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A10K5QX2-if00-port0 is missing",
        "check the adapter's cable",
        "uhubctl",
        "/srv/tftp/rpi4-0 is missing",
    ):
        assert says in text


def test_a_run_without_a_usable_board_ends_with_75_and_makes_no_record(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "run", "--board", "rpi4", "--results", str(tmp_path / "results")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    assert "usb-FTDI_FT232R_USB_UART_A10K5QX2-if00-port0 is missing" in done.stdout
    assert "no usable board of rpi4" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_board_that_has_everything_is_ready(spec: BoardSpec, tmp_path: Path) -> None:
    path = tmp_path / "line"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        place = bench(tmp_path, "bench-0", f"unix://{path}")
        findings = check([replace(spec, places=(place,))])
    assert findings == [Finding("bench", "bench-0", True, "ready")]
    assert not unusable(findings)


def test_one_good_place_makes_a_kind_usable(spec: BoardSpec, tmp_path: Path) -> None:
    path = tmp_path / "line"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        good = bench(tmp_path, "good", f"unix://{path}")
        bad = bench(tmp_path, "bad", str(tmp_path / "ttyUSB9"), "no-such-relay")
        findings = check([replace(spec, places=(bad, good))])
    assert [(finding.place, finding.ok) for finding in findings] == [
        ("bad", False),
        ("bad", False),
        ("good", True),
    ]
    assert not unusable(findings)
    assert "no-such-relay" in str(findings[1])


def test_a_kind_without_places_says_where_they_would_come_from() -> None:
    (finding,) = check(select(["rpi4-sim"], lab=[]))
    assert not finding.ok
    assert "--lab" in finding.do
    assert "assay sim" in finding.do


def test_a_place_in_quarantine_is_not_used_and_a_held_one_is_waited_for() -> None:
    (spec,) = select(["qemu-virt"], lab=[])
    spec = replace(spec, places=spec.places[:2])
    with acquire(spec, places=spec.places[:1], purpose="a test"):
        quarantine.put(spec.places[1], "its relay clicks and nothing comes")
        findings = check([spec])
    assert [finding.ok for finding in findings] == [True, False]
    assert "held by" in findings[0].what
    assert "its relay clicks" in findings[1].seen
    assert "assay boards check" in findings[1].do


def test_without_qemu_no_qemu_kind_is_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_QEMU", "no-such-qemu")
    specs = select([], lab=[])
    assert set(unusable(check(specs))) == {spec.kind for spec in specs}


def test_what_hangs_does_not_hold_the_session_up(
    spec: BoardSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hang: Callable[[Device], None] = lambda _device: time.sleep(3)  # noqa: E731
    monkeypatch.setattr(Device, "check", hang)
    began_s = time.monotonic()
    (finding,) = check([replace(spec, places=(bench(tmp_path, "slow", "/dev/ttyUSB0"),))])
    assert time.monotonic() - began_s < LIMIT_S + 1
    assert not finding.ok
    assert "took more than" in finding.what


def test_a_process_whose_preflight_met_a_hanging_device_still_comes_to_its_end(tmp_path: Path) -> None:
    lab = tmp_path / "lab.yaml"
    (tmp_path / "hangs.py").write_text(_HANGS, "utf-8")
    lab.write_text(
        "schema: 1\nplaces:\n  rpi4:\n    - name: slow\n      console: 'hangs.py:Hangs://x'\n"
        "      power: {driver: command, on: ['true'], off: ['true']}\n      boot: {driver: direct}\n",
        "utf-8",
    )
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", "run", "--board", "rpi4", "--lab", str(lab)],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    assert "took more than" in done.stdout


_HANGS = """
import time

class Hangs:
    def __init__(self, address): pass
    def present(self): return True
    def open(self, baud): raise OSError("never reached")
    def check(self): time.sleep(120)
"""
