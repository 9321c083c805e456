"""The current state of every board: free, held, reserved, quarantined; by whom, since when, why."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from contracts.board import BoardSpec, Place
from harness.lease import quarantine, reservation
from harness.lease.files import PlaceFiles, cannot, holder_pid, leases_folder, try_lock
from harness.lease.owner import Owner, duration

SILENT_S: Final = 10.0
"""A holder without a heartbeat for this long is stopped or starved of CPU time."""

State = Literal["free", "held", "reserved", "quarantined"]


@dataclass(frozen=True, slots=True)
class PlaceState:
    """The current state of a place; `owner`, `since` (UTC) and `reason` are for display.

    A quarantined place that a check holds is `quarantined`, a reserved one in use is `held`. `reason` is the purpose
    of a lease, the note of a reservation or the reason of a quarantine. Seconds are None if not applicable: `age_s`
    of a lease, `silent_s` since its holder's last heartbeat, `remaining_s` of a reservation. `configured`: whether
    this lab's files have the place.
    """

    kind: str
    place: Place
    state: State
    owner: str = ""
    since: str = ""
    reason: str = ""
    epoch: int = 0
    holder: Owner | None = None
    reserved_by: str = ""
    mine: bool = False
    age_s: float | None = None
    silent_s: float | None = None
    remaining_s: float | None = None
    configured: bool = True

    @property
    def usable(self) -> bool:
        """Whether a process of this user could lease it, now or after its holder."""
        return self.state != "quarantined" and (not self.reserved_by or self.mine)


def states(spec: BoardSpec) -> list[PlaceState]:
    """The current state of every place of a board type. Takes no lease and blocks nobody. Raises InfraError."""
    folder = leases_folder()
    return [look(spec.kind, place, PlaceFiles.of(place, folder)) for place in spec.places]


def strays(specs: Sequence[BoardSpec]) -> list[PlaceState]:
    """Places that are held, reserved or quarantined but not part of `specs`. Raises InfraError.

    They belong to another lab on this machine, or were removed from this one while in use. Named after their lock.
    """
    folder = leases_folder()
    places = [place for spec in specs for place in spec.places]
    known = {place.identity for place in places} | {place.lasting_identity for place in places}
    try:
        names = {
            path.stem for path in folder.iterdir() if path.suffix in (".lock", ".quarantine", ".reserved")
        }
    except OSError as error:
        raise cannot(error, folder) from error
    out = []
    for name in sorted(names - known):
        state = look("?", Place(name), PlaceFiles(name, folder))
        if state.state != "free":
            kind = state.holder.kind if state.holder is not None and state.holder.kind else "?"
            out.append(replace(state, kind=kind, configured=False))
    return out


def look(kind: str, place: Place, files: PlaceFiles) -> PlaceState:
    """The current state of one place."""
    with files.look():
        held_by = holder(files)
        epoch = files.epoch()
        silent_s = None if held_by is None else files.last_beat().silent_s
        sick = quarantine.of(place, files)
        kept = reservation.of(place, files)
    state = PlaceState(kind, place, "free", epoch=epoch)
    if kept is not None:
        state = replace(
            state, state="reserved", owner=kept.user, since=kept.since, reason=kept.note,
            reserved_by=kept.user, mine=kept.mine, remaining_s=kept.remaining_s,
        )  # fmt: skip
    if held_by is not None:
        state = replace(
            state, state="held", owner=held_by.who, since=held_by.since, reason=held_by.what,
            holder=held_by, age_s=held_by.age_s(), silent_s=silent_s,
        )  # fmt: skip
    if sick is not None:
        state = replace(state, state="quarantined", owner=sick.by, since=sick.since, reason=sick.reason)
    return state


def holder(files: PlaceFiles) -> Owner | None:
    """The holder of the place, or None. Inside the gate, so that it does not disturb an acquirer."""
    path = files.path("lock")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot(error, path) from error
    try:
        if try_lock(fd, fcntl.LOCK_SH):
            return None
        found = Owner.read(files.read("owner") or {})
        return found if found.pid else replace(found, pid=holder_pid(path))
    finally:
        os.close(fd)


def described(kind: str, found: Sequence[PlaceState]) -> str:
    """Why none of these is free, in one line."""
    count = len(found)
    every = all(state.state == "held" for state in found)
    if every:
        head = f"{f'all {count}' if count > 1 else 'the only'} {kind} {'are' if count > 1 else 'is'} held"
    else:
        head = f"no {kind} is free"
    return f"{head}: " + "; ".join(
        f"{state.place.name} {'' if every or state.state != 'held' else 'held '}{_why(state)}"
        for state in found
    )


def _why(state: PlaceState) -> str:
    reason = f" ({state.reason})" if state.reason else ""
    if state.state == "held":
        age = duration(state.age_s)
        since = f" since {state.since}" if state.since else ""
        silent = state.silent_s is not None and state.silent_s > SILENT_S
        stopped = f", silent for {duration(state.silent_s)}: stopped?" if silent else ""
        us = ", this process" if state.holder is not None and state.holder.pid == os.getpid() else ""
        return f"by {state.owner}{us}{since}{f', {age}' if age else ''}{stopped}{reason}"
    if state.state == "reserved":
        left = duration(state.remaining_s)
        return f"reserved by {state.owner}{f' for {left} more' if left else ''}{reason}"
    if state.state == "quarantined":
        return f"in quarantine since {state.since or '?'}{reason}"
    return "just became free"
