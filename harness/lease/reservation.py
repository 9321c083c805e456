"""Reservations: a board is reserved for one user for a limited time."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.board import Place
from contracts.errors import ConfigError, InfraError
from harness.lease.files import PlaceFiles, boot_id, boot_s, user_name, utc_now
from harness.lease.owner import duration

LONGEST_S: Final = 30 * 86400.0
_UNITS: Final = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|m|h|d)(?![a-z])")


@dataclass(frozen=True, slots=True)
class Reservation:
    """A place reserved for `user`. `since` is UTC, for display; `remaining_s` is None if the end is unknown."""

    user: str
    since: str
    note: str
    remaining_s: float | None

    @property
    def mine(self) -> bool:
        """Whether it is this user's own."""
        return self.user == user_name()


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `45m`, `2h`, `1d`, `1h30m`. Raises ConfigError for anything else, and beyond 30 days."""
    seconds, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at < len(text.rstrip()) or not 0 < seconds <= LONGEST_S:
        raise ConfigError(
            f"{text!r} is not a valid reservation time",
            expected="a time such as 90s, 45m, 2h, 1d or 1h30m, up to 30d",
            seen=text,
            do="correct --for",
        )
    return seconds


def reserve(place: Place, seconds: float, note: str = "") -> Reservation:
    """Reserve a place for this user; replaces the user's earlier reservation. Raises InfraError if it is another's.

    A process that holds the place keeps it until it ends.
    """
    files = PlaceFiles.of(place)
    with files.gate():
        _refuse_others(place, _of(files))
        made = Reservation(user_name(), utc_now(), note, seconds)
        files.write(
            "reserved",
            {
                "user": made.user,
                "since": made.since,
                "note": note,
                "place": place.name,
                "boot": boot_id(),
                "end_boot_s": boot_s() + seconds,
                "end_unix_s": time.time() + seconds,
            },
        )
        return made


def reserve_all(places: Sequence[Place], seconds: float, note: str = "") -> None:
    """Reserve several places; none of them if one is another's. Raises InfraError."""
    for place in places:
        _refuse_others(place, of(place))
    for place in places:
        reserve(place, seconds, note)


def _refuse_others(place: Place, found: Reservation | None) -> None:
    if found is not None and not found.mine:
        raise InfraError(
            f"{place.name} is already reserved",
            expected="a place that no other user has reserved",
            seen=describe(found),
            do="select another one, or contact that user",
        )


def unreserve(place: Place, *, force: bool = False) -> Reservation | None:
    """End a reservation and return it; None if there was none. Raises InfraError for another's without `force`."""
    files = PlaceFiles.of(place)
    with files.gate():
        found = _of(files)
        if found is not None and not found.mine and not force:
            raise InfraError(
                f"the reservation of {place.name} belongs to another user",
                expected=f"a reservation of {user_name()}",
                seen=describe(found),
                do="contact that user, or add --force",
            )
        files.remove("reserved")
        return found


def of(place: Place, files: PlaceFiles | None = None) -> Reservation | None:
    """The place's current reservation; None if there is none or it has expired. Raises InfraError."""
    return _of(files or PlaceFiles.of(place))


def _of(files: PlaceFiles) -> Reservation | None:
    found = files.read("reserved")
    if found is None:
        return None
    user, since, note = (str(found.get(name) or "") for name in ("user", "since", "note"))
    if found.get("boot") == boot_id():
        end_s, now_s = found.get("end_boot_s"), boot_s()
    else:  # the machine was restarted: only the wall clock is left
        end_s, now_s = found.get("end_unix_s"), time.time()
    if not isinstance(end_s, int | float):  # damaged: a user may still be working with that board
        return Reservation(user or f"unknown ({files.path('reserved')} is damaged)", since, note, None)
    return Reservation(user, since, note, end_s - now_s) if end_s > now_s else None


def describe(reservation: Reservation) -> str:
    """`by alice for 1 h 20 min more (bring-up)`."""
    left = duration(reservation.remaining_s)
    more = f" for {left} more" if left else ""
    return f"by {reservation.user}{more}" + (f" ({reservation.note})" if reservation.note else "")
