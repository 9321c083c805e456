"""A sick board is not leased, and nobody waits for it in vain."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import board
from contracts.board import BoardSpec
from harness.lease import NoneUsable, acquire, quarantine, reservation, states

MakeSpec = Callable[..., BoardSpec]
StartHolder = Callable[..., Any]


def test_a_board_in_quarantine_is_skipped_until_it_is_lifted(make_spec: MakeSpec) -> None:
    spec = make_spec(2)
    quarantine.put(spec.places[0], "its golden image is silent", "20261122-1")
    with acquire(spec) as lease:
        assert lease.place.name == "bench-1"
    (sick, well) = states(spec)
    assert (sick.state, sick.reason, sick.usable) == ("quarantined", "its golden image is silent", False)
    assert sick.since
    assert (well.state, well.usable) == ("free", True)
    assert quarantine.lift(spec.places[0])
    assert not quarantine.lift(spec.places[0])
    with acquire(spec) as lease:
        assert lease.place.name == "bench-0"


def test_when_every_board_is_sick_that_is_said_at_once(make_spec: MakeSpec) -> None:
    spec = make_spec(2)
    for place in spec.places:
        quarantine.put(place, f"{place.name} does not boot")
    began = time.monotonic()
    with pytest.raises(NoneUsable) as caught:
        acquire(spec, timeout_s=60)
    assert time.monotonic() - began < 30
    assert "bench-0 does not boot" in caught.value.seen
    second = quarantine.of(spec.places[1])
    assert second is not None
    assert f"bench-1 since {second.since}" in caught.value.seen
    assert "assay boards check" in caught.value.do


def test_one_that_falls_sick_while_somebody_waits_for_it_ends_the_wait(
    make_spec: MakeSpec, start_holder: StartHolder
) -> None:
    spec = make_spec(1)
    holder = start_holder(spec)
    holder.said()
    waiter = start_holder(spec)
    assert "waiting" in waiter.said()
    quarantine.put(spec.places[0], "went silent")
    holder.kill()
    while "waiting" in (said := waiter.said()):
        pass
    assert said["kind"] == "NoneUsable"


def test_a_check_may_take_it(make_spec: MakeSpec) -> None:
    spec = make_spec(1)
    quarantine.put(spec.places[0], "silent")
    with acquire(spec, timeout_s=0, quarantined=True):
        (state,) = states(spec)
        assert state.state == "quarantined"
        assert state.holder is not None


def test_the_first_reason_stays(make_spec: MakeSpec) -> None:
    (place,) = make_spec(1).places
    first = quarantine.put(place, "golden image silent", "run-1")
    assert quarantine.put(place, "something else", "run-2") == first
    assert quarantine.of(place) == first
    assert first.run == "run-1"


@pytest.mark.parametrize("content", ["", "[1]", '{"reason": '])
def test_a_damaged_note_keeps_the_board_out_of_use(make_spec: MakeSpec, leases: Path, content: str) -> None:
    spec = make_spec(1)
    (leases / "bench-0.quarantine").write_text(content)
    with pytest.raises(NoneUsable, match="is damaged"):
        acquire(spec, timeout_s=0)
    assert quarantine.lift(spec.places[0])
    acquire(spec, timeout_s=0).release()


@pytest.fixture
def link_to_a_new_pty(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Opens the pty with the lowest free number and links it, as a simulator does; the one before it is closed."""
    ends: list[int] = []

    def make(name: str) -> Path:
        while ends:
            os.close(ends.pop())
        ends.extend(os.openpty())
        link = tmp_path / name / "console"
        link.parent.mkdir()
        link.symlink_to(os.ttyname(ends[1]))
        return link

    yield make
    for end in ends:
        os.close(end)


def test_a_new_simulator_inherits_no_quarantine_with_the_number_of_a_pty(
    make_spec: MakeSpec, link_to_a_new_pty: Callable[[str], Path]
) -> None:
    for _ in range(
        20
    ):  # until the kernel gives the same number again, which other programs may be quicker to take
        earlier = make_spec(consoles=[str(link_to_a_new_pty(f"a{_}"))])
        number = earlier.places[0].identity
        quarantine.put(earlier.places[0], "its golden image is silent")
        reservation.reserve(earlier.places[0], 3600)
        later = make_spec(consoles=[str(link_to_a_new_pty(f"b{_}"))])
        if later.places[0].identity == number:
            break
    assert later.places[0].identity == number, "locks meet at the device"
    assert [state.state for state in states(later)] == ["free"]
    with acquire(later, timeout_s=0):
        pass


def test_a_quarantine_stays_with_the_adapter_when_its_number_changes(
    make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_id = tmp_path / "by-id"
    by_id.mkdir()
    monkeypatch.setattr(board, "BY_ID", by_id)
    for number in range(2):
        (tmp_path / f"ttyUSB{number}").touch()
    link = by_id / "usb-FTDI_A1"
    link.symlink_to(tmp_path / "ttyUSB0")
    spec = make_spec(consoles=[str(link)])
    quarantine.put(spec.places[0], "sick")
    bare = make_spec(consoles=[str(tmp_path / "ttyUSB0")])
    assert quarantine.of(bare.places[0]) is not None, "a lab that names the device finds the same board sick"
    link.unlink()
    link.symlink_to(tmp_path / "ttyUSB1")
    assert quarantine.of(spec.places[0]) is not None
    assert quarantine.of(bare.places[0]) is None, "another board has that number now"
    link.unlink()
    assert quarantine.of(spec.places[0]) is not None, "unplugged"
