"""Quarantine: a board that failed as a board is kept out of use, with the reason, until a check lifts it."""

from __future__ import annotations

from dataclasses import dataclass

from contracts.board import Place
from harness.lease.files import PlaceFiles, user_name, utc_now


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Why a place is out of use. `since` is UTC, for people; `run` names the run that found it out, if one did."""

    reason: str
    since: str
    run: str = ""
    by: str = ""


def put(place: Place, reason: str, run: str = "") -> Quarantine:
    """Keep a place out of use. A place that is so already keeps its first reason. Raises InfraError."""
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
    """Take a place back into use; False when it was in use. Raises InfraError."""
    files = PlaceFiles.of(place)
    with files.gate():
        return files.remove("quarantine")


def of(place: Place, files: PlaceFiles | None = None) -> Quarantine | None:
    """Why a place is out of use; None while it is in use. Raises InfraError."""
    return _of(files or PlaceFiles.of(place))


def _of(files: PlaceFiles) -> Quarantine | None:
    found = files.read("quarantine")
    if found is None:
        return None
    text = {name: str(found.get(name) or "") for name in ("reason", "since", "run", "by")}
    # A sick board is never used because somebody cut its file short.
    text["reason"] = text["reason"] or f"unknown: {files.path('quarantine')} is damaged"
    return Quarantine(**text)
