"""Leases: a board belongs to one process at a time, by a lock that ends with the process."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from contracts.board import BoardSpec, Place
from contracts.errors import InfraError

DEFAULT_TIMEOUT_S: Final = 60.0
_POLL_S: Final = 0.05


class LeaseLost(InfraError):
    """The lease was taken by force: the board belongs to somebody else now."""


@dataclass(frozen=True, slots=True)
class PlaceState:
    """What a place is at this moment; `owner`, `since` and `reason` are for people."""

    kind: str
    place: Place
    state: Literal["free", "held", "reserved", "quarantined"]
    owner: str = ""
    since: str = ""
    reason: str = ""
    epoch: int = 0


def leases_folder() -> Path:
    """Where this machine's leases lie: `ASSAY_LEASES`, or one folder a user. Raises InfraError."""
    folder = Path(
        os.environ.get("ASSAY_LEASES") or Path(tempfile.gettempdir()) / f"assay-leases-{os.getuid()}"
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InfraError(
            f"the leases' folder {folder} cannot be made",
            expected="a writable folder",
            seen=str(error),
            do="mend its permissions, or name another one in ASSAY_LEASES",
        ) from error
    return folder


class Lease:
    """One place of `spec`, held while the context (or the process) lasts. Made by `acquire`.

    `epoch` is above that of every earlier lease of the place; the board refuses a holder with a lower one.
    """

    def __init__(self, spec: BoardSpec, place: Place, fd: int, epoch: int) -> None:
        self.spec = spec
        self.place = place
        self.epoch = epoch
        self._fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def check(self) -> None:
        """Raise LeaseLost when somebody took the place by force."""

    def release(self) -> None:
        """Give the place back; may be called twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def acquire(
    spec: BoardSpec,
    *,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    purpose: str = "",
    waiting: Callable[[str], None] | None = None,
    without: Collection[str] = frozenset(),
    places: Sequence[Place] | None = None,
) -> Lease:
    """Take a free place of `spec` (of `places`, where given), never one whose name is in `without`.

    While all are held, `waiting` is told why, whenever that changes. Raises InfraError after `timeout_s`.
    """
    wanted = [place for place in (places or spec.places) if place.name not in without]
    end_s = time.monotonic() + timeout_s
    told = ""
    while True:
        for place in wanted:
            lease = _try(spec, place, purpose)
            if lease is not None:
                return lease
        held = ", ".join(f"{state.place.name} by {state.owner}" for state in states(spec) if state.owner)
        reason = f"every {spec.kind} is held: {held}" if wanted else f"no other {spec.kind} is left"
        if waiting is not None and reason != told:
            waiting(reason)
            told = reason
        if not wanted or time.monotonic() >= end_s:
            raise InfraError(
                f"no {spec.kind} became free",
                expected=f"one of {spec.instances} within {timeout_s:g} s",
                seen=reason,
                do="wait for its holder, or see `assay lease list`",
            )
        time.sleep(_POLL_S)


def states(spec: BoardSpec) -> list[PlaceState]:
    """Every place of a kind as it is now. Takes no lease."""
    out = []
    for place in spec.places:
        owner = _owner(place)
        if owner is None:
            out.append(PlaceState(spec.kind, place, "free"))
        else:
            who = f"{owner.get('user', '?')} pid {owner.get('pid', '?')}"
            out.append(
                PlaceState(
                    spec.kind, place, "held", who, owner.get("since", ""), owner.get("purpose", ""),
                    int(owner.get("epoch", 0)),
                )
            )  # fmt: skip
    return out


def _file(place: Place, suffix: str) -> Path:
    return leases_folder() / f"{place.identity}.{suffix}"


def _owner(place: Place) -> dict[str, Any] | None:
    """Who holds the place; None when nobody does."""
    try:
        fd = os.open(_file(place, "lock"), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(_file(place, "owner").read_text())
            if isinstance(found, dict):
                return found
        return {}
    finally:
        os.close(fd)
    return None


def _try(spec: BoardSpec, place: Place, purpose: str) -> Lease | None:
    fd = os.open(_file(place, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    try:
        counter = _file(place, "epoch")
        epoch = 1 + (int(counter.read_text()) if counter.is_file() else 0)
        counter.write_text(str(epoch))
        owner = {
            "pid": os.getpid(),
            "user": f"{getpass.getuser()}@{socket.gethostname()}",
            "purpose": purpose,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "epoch": epoch,
        }
        _file(place, "owner").write_text(json.dumps(owner))
    except BaseException:
        os.close(fd)
        raise
    return Lease(spec, place, fd, epoch)
