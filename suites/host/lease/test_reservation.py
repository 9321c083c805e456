"""A user reserves a board for a limited time."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.board import BoardSpec
from contracts.errors import ConfigError, InfraError
from harness.lease import acquire, reservation, states

MakeSpec = Callable[..., BoardSpec]


@pytest.fixture
def alice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_USER", "alice")


def become(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("ASSAY_USER", user)


@pytest.mark.usefixtures("alice")
def test_a_reserved_board_is_its_owners_alone(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = make_spec(2)
    reservation.reserve(spec.places[0], 3600, "bring-up")
    with acquire(spec) as lease:
        assert lease.place.name == "bench-0", "hers"
    become(monkeypatch, "bob")
    with acquire(spec) as lease, pytest.raises(InfraError) as caught:
        assert lease.place.name == "bench-1", "not his"
        acquire(spec, timeout_s=0)
    assert (
        "no bench is free: bench-0 reserved by alice for 59 min 59 s more (bring-up); bench-1 held by bob"
        in str(caught.value)
    )
    (hers, _) = states(spec)
    assert (hers.state, hers.owner, hers.usable) == ("reserved", "alice", False)
    assert hers.remaining_s is not None
    assert 3500 < hers.remaining_s <= 3600


@pytest.mark.usefixtures("alice")
def test_it_ends_by_itself_and_who_waits_gets_the_board(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(1)
    reservation.reserve(spec.places[0], 0.3)
    become(monkeypatch, "bob")
    told: list[str] = []
    with acquire(spec, timeout_s=30, waiting=told.append):
        assert "reserved by alice" in told[0]
        assert reservation.of(spec.places[0]) is None


@pytest.mark.usefixtures("alice")
def test_a_second_person_is_refused_and_the_first_may_prolong(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(2)
    reservation.reserve(spec.places[1], 60)
    longer = reservation.reserve(spec.places[1], 600, "longer")
    assert longer.remaining_s == 600
    become(monkeypatch, "bob")
    with pytest.raises(InfraError, match="already reserved"):
        reservation.reserve_all(spec.places, 60)
    assert reservation.of(spec.places[0]) is None, "all or none"
    with pytest.raises(InfraError, match="belongs to another user"):
        reservation.unreserve(spec.places[1])
    ended = reservation.unreserve(spec.places[1], force=True)
    assert ended is not None
    assert ended.note == "longer"
    assert reservation.unreserve(spec.places[1]) is None


@pytest.mark.usefixtures("alice")
def test_a_holder_keeps_what_another_reserves_until_it_releases(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(1)
    become(monkeypatch, "bob")
    lease = acquire(spec)
    become(monkeypatch, "alice")
    reservation.reserve(spec.places[0], 60)
    lease.check()
    (state,) = states(spec)
    assert (state.state, state.reserved_by) == ("held", "alice")
    lease.release()
    become(monkeypatch, "bob")
    with pytest.raises(InfraError, match="reserved by alice"):
        acquire(spec, timeout_s=0)


@pytest.mark.usefixtures("alice")
def test_after_a_restart_of_the_machine_the_wall_clock_decides(make_spec: MakeSpec, leases: Path) -> None:
    (place,) = make_spec(1).places
    reservation.reserve(place, 60)
    file = leases / "bench-0.reserved"
    note = json.loads(file.read_text())
    file.write_text(json.dumps({**note, "boot": "another", "end_boot_s": 0.0}))
    left = reservation.of(place)
    assert left is not None
    assert left.remaining_s is not None
    assert 50 < left.remaining_s <= 60
    file.write_text(json.dumps({**note, "boot": "another", "end_unix_s": 0.0}))
    assert reservation.of(place) is None


def test_a_damaged_one_is_honoured_until_somebody_ends_it(make_spec: MakeSpec, leases: Path) -> None:
    spec = make_spec(1)
    (leases / "bench-0.reserved").write_text('{"user": "ali')
    with pytest.raises(InfraError, match="is damaged"):
        acquire(spec, timeout_s=0)
    reservation.unreserve(spec.places[0], force=True)
    acquire(spec, timeout_s=0).release()


@given(
    days=st.integers(0, 29), hours=st.integers(0, 23), minutes=st.integers(0, 59), seconds=st.integers(1, 59)
)
def test_times_are_read_as_they_are_written(days: int, hours: int, minutes: int, seconds: int) -> None:
    text = f"{days}d{hours}h {minutes}m{seconds}s"
    assert reservation.parse_duration(text) == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2x", "2hours", "-1h", "0s", "31d", "1h30", "1e3s", "nan s"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not a valid reservation time"):
        reservation.parse_duration(text)
