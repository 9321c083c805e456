"""Which boards are up, and what BOARD means: a place or a board type, the same for every command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contracts.board import BoardSpec, Place
from contracts.errors import ConfigError, did_you_mean
from harness.boards.registry import load_boards
from harness.keeper.client import connect
from harness.keeper.wire import SUFFIX
from harness.lease.files import PlaceFiles, leases_folder
from harness.lease.owner import Owner


@dataclass(frozen=True, slots=True)
class Up:
    """A board that was brought up. `alive`: whether its keeper still listens; a dead one left its socket."""

    socket: Path
    identity: str
    kind: str
    place: str
    alive: bool


def boards_up() -> list[Up]:
    """Every board in this machine's lease folder that is up, by place, including those with a killed keeper."""
    folder = leases_folder()
    found = []
    for path in sorted(folder.glob(f"*.{SUFFIX}")):
        identity = path.name.removesuffix(f".{SUFFIX}")
        owner = Owner.read(PlaceFiles(identity, folder).read("owner") or {})
        found.append(Up(path, identity, owner.kind, owner.place or identity, _listens(path)))
    return found


def _listens(path: Path) -> bool:
    try:
        connect(path).close()
    except TimeoutError:  # stopped: its backlog is full
        return True
    except OSError:
        return False
    return True


def meant(name: str, lab: Sequence[Path] | None) -> BoardSpec:
    """The board type that BOARD names, with the named place, or with all places of the type. Raises ConfigError."""
    specs = load_boards(lab=lab)
    for spec in specs:
        if spec.kind == name:
            return spec
    places = [(spec, place) for spec in specs for place in spec.places if place.name == name]
    if len(places) == 1:
        spec, place = places[0]
        return replace(spec, places=(place,))
    for up in boards_up():  # a simulator's board, which no lab file names
        if up.place == name:
            for spec in specs:
                if spec.kind == up.kind:
                    return replace(spec, places=(Place(name),))
    known = [*(spec.kind for spec in specs), *(place.name for spec in specs for place in spec.places)]
    raise ConfigError(
        f"no board {name!r}{did_you_mean(name, known)}",
        expected=f"a board or a board type: {', '.join(known)}",
        seen=name if not places else f"{len(places)} boards of that name",
        do="see `assay boards`; name a lab file with --lab",
    )


def up_for(name: str, spec: BoardSpec, *, dead: bool = False) -> Up | None:
    """The board named by BOARD that is up; None if there is none. `dead`: also accept one whose keeper was killed.

    Raises ConfigError when several of a kind are up.
    """
    identities = {place.identity for place in spec.places}
    found = [
        up
        for up in boards_up()
        if (up.alive or dead)
        and (up.identity in identities or (up.kind == spec.kind and name in (up.place, up.kind)))
    ]
    found = [up for up in found if up.alive] or found
    if len(found) > 1:
        raise ConfigError(
            f"several boards of {name} are up",
            expected="one board",
            seen=", ".join(up.place for up in found),
            do="name one of them",
        )
    return found[0] if found else None
