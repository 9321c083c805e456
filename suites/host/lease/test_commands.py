"""`assay lease`: its output and its actions."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from harness.boards.registry import select_one
from harness.cli.app import main
from harness.lease import acquire, quarantine, reservation

StartHolder = Callable[..., Any]
Assay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def assay(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Assay:
    """`assay lease ...`: exit code, standard output, standard error. The lab is the project's, whichever this session's is."""
    monkeypatch.delenv("ASSAY_LAB", raising=False)

    def run(*arguments: str, user: str = "alice") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["assay", "lease", *arguments])
        monkeypatch.setenv("ASSAY_USER", user)
        code = main()
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def virt() -> BoardSpec:
    return select_one("qemu-virt")


def listed(assay: Assay, *arguments: str) -> dict[str, dict[str, Any]]:
    code, out, _ = assay("list", "--json", *arguments)
    assert code == 0
    return {row["place"]: row for row in json.loads(out)}


def test_the_list_shows_every_board_with_who_since_when_and_why(assay: Assay, virt: BoardSpec) -> None:
    quarantine.put(virt.places[3], "its golden image is silent", "20261122-1")
    assert assay("reserve", "qemu-virt-2", "--for", "2h", "--note", "bring-up")[0] == 0
    with acquire(virt, purpose="nightly", places=virt.places[:1]) as lease:
        code, table, _ = assay("list", "--board", "qemu-virt")
        rows = listed(assay, "--board", "qemu-virt")
    assert code == 0
    held, free, kept, sick = (rows[f"qemu-virt-{number}"] for number in range(4))
    assert (held["state"], held["epoch"], held["holder"]["pid"]) == ("held", lease.epoch, os.getpid())
    assert held["reason"].startswith("nightly")
    assert held["age_s"] >= 0
    assert free["state"] == "free"
    assert (kept["state"], kept["owner"], kept["reason"]) == ("reserved", "alice", "bring-up")
    assert 7100 < kept["remaining_s"] <= 7200
    assert (sick["state"], sick["reason"]) == ("quarantined", "its golden image is silent")
    for text in ("held", "nightly", "1 h 59 min more", "bring-up", "quarantined", "golden", "silent"):
        assert text in table


def test_a_held_board_is_not_released_without_force(
    assay: Assay, virt: BoardSpec, start_holder: StartHolder
) -> None:
    holder = start_holder(virt)
    name = holder.said()["place"]
    code, _, err = assay("release", name)
    assert code == 75
    assert f"pid {holder.process.pid}" in err
    assert "--force" in err
    code, out, _ = assay("release", name, "--force")
    assert code == 0
    assert f"{name} was taken from " in out
    assert "its holder has released it" in out
    assert "a QEMU ends when its holder releases it" in out
    assert "`assay lease release" in holder.ask("check")["lost"] or "by alice" in holder.ask("check")["lost"]
    assert assay("release", name) == (0, f"{name} is already free\n", "")


def test_a_release_by_force_says_that_a_reservation_stays(
    assay: Assay, virt: BoardSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = virt.places[0].name
    monkeypatch.setenv("ASSAY_USER", "bob")
    reservation.reserve(virt.places[0], 7200, "bring-up")
    code, out, _ = assay("release", name, "--force")
    assert code == 0
    assert f"{name} is still reserved by bob for 1 h 59 min more (bring-up)" in out
    assert f"`assay lease unreserve {name} --force` ends it" in " ".join(out.split())


def test_a_board_with_a_switch_is_switched_off_when_it_is_taken(
    assay: Assay, tmp_path: Path, start_holder: StartHolder
) -> None:
    off = tmp_path / "off"
    lab = tmp_path / "lab.yaml"
    lab.write_text(
        f"""
schema: 1
places:
  rpi4:
    - name: desk
      console: {os.devnull}
      power: {{driver: command, on: ["true"], off: [touch, "{off}"], off_s: 0}}
      boot: {{folder: {tmp_path}}}
"""
    )
    holder = start_holder(kind="rpi4", lab=str(lab))
    assert holder.said()["place"] == "desk"
    code, out, err = assay("release", "desk", "--force", "--lab", str(lab))
    assert code == 0, err
    assert "switched off" in out
    assert off.exists()


def test_a_kind_is_reserved_whole_or_not_at_all(assay: Assay) -> None:
    assert assay("reserve", "qemu-rpi3-2", "--for", "10m", user="bob")[0] == 0
    code, _, err = assay("reserve", "qemu-rpi3", "--for", "1h")
    assert code == 75
    assert "qemu-rpi3-2 is already reserved" in err
    assert "by bob for 9 min" in err
    assert {row["state"] for name, row in listed(assay).items() if name != "qemu-rpi3-2"} == {"free"}
    code, _, err = assay("unreserve", "qemu-rpi3-2")
    assert code == 75
    assert "belongs to another user" in err
    assert assay("unreserve", "qemu-rpi3-2", "--force")[0] == 0
    code, out, _ = assay("reserve", "qemu-rpi3", "--for", "1h")
    assert code == 0
    assert len(out.splitlines()) == 4
    code, out, _ = assay("unreserve", "qemu-rpi3")
    assert out.count("is no longer reserved by alice (it had 59 min") == 4


def test_a_board_of_another_lab_is_listed_and_can_be_released(
    assay: Assay, start_holder: StartHolder
) -> None:
    holder = start_holder(kind="other", places=[["elsewhere", ""]])
    holder.said()
    row = listed(assay)["elsewhere"]
    assert (row["kind"], row["state"], row["configured"]) == ("other", "held", False)
    assert assay("release", "elsewhere", "--force")[0] == 0
    assert holder.ask("check")["lost"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("release", "qemu-vrit-1"), "did you mean 'qemu-virt-1'"),
        (("release", "qemu-virt"), "is a board type with several boards"),
        (("reserve", "qemu-vrit", "--for", "1h"), "did you mean 'qemu-virt'"),
        (("reserve", "qemu-virt", "--for", "soon"), "not a valid reservation time"),
        (("reserve", "rpi4-sim", "--for", "1h"), "has no boards"),
        (("list", "--board", "qemu-vrit"), "did you mean 'qemu-virt'"),
        (("list", "--lab", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_a_mistake_ends_with_4_and_says_what_was_meant(
    assay: Assay, arguments: tuple[str, ...], says: str
) -> None:
    code, _, err = assay(*arguments)
    assert code == 4
    assert says in err
