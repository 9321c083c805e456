"""A sick board is left out, and nobody waits for it in vain."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from harness.lease import NoneUsable, acquire, quarantine, states

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
