"""Quarantine: a faulty board is taken out of use, with the reason, until a check lifts it."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.board import Place
from harness.lease.files import PlaceFiles, user_name, utc_now


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a place is out of use. `since` is UTC, for display; `run` names the run that found the fault, if any."""

    reason: str
    since: str
    run: str = ""
    by: str = ""


def put(place: Place, reason: str, run: str = "") -> Quarantine:
    """Take a place out of use. A place already in quarantine keeps its first reason. Raises InfraError."""
    files = PlaceFiles.of(place)
    with files.gate():
        earlier = _of(files)
        if earlier is not None:
            return earlier
        made = Quarantine(reason, utc_now(), run, user_name())
        files.write(
            "quarantine",
            {"reason": reason, "since": made.since, "run": run, "by": made.by, "place": place.name},
        )
        return made


def lift(place: Place) -> bool:
    """Put a place back into use; False if it was in use. Raises InfraError."""
    files = PlaceFiles.of(place)
    with files.gate():
        return files.remove("quarantine")


def of(place: Place, files: PlaceFiles | None = None) -> Quarantine | None:
    """Why a place is out of use; None if it is in use. Raises InfraError."""
    return _of(files or PlaceFiles.of(place))


def _of(files: PlaceFiles) -> Quarantine | None:
    found = files.read("quarantine")
    if found is None:
        return None
    text = {name: str(found.get(name) or "") for name in ("reason", "since", "run", "by")}
    # A truncated file must not put a sick board back into use.
    text["reason"] = text["reason"] or f"unknown: {files.path('quarantine')} is damaged"
    return Quarantine(**text)
