"""`assay lease`: who holds which board; give one back, reserve one, take one by force."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from harness.cli.options import LabOption
from harness.terminal.output import keep_going

if TYPE_CHECKING:
    from contracts.board import BoardSpec, Place
    from harness.lease import PlaceState

app = typer.Typer(help="List who holds which board; reserve and release boards.", no_args_is_help=True)
out = Console(highlight=False, soft_wrap=True)

PlaceArgument = Annotated[
    str, typer.Argument(metavar="PLACE", help="A board, as `assay lease list` names it.")
]
WhereArgument = Annotated[
    str, typer.Argument(metavar="PLACE|KIND", help="A board, or a board type for all its boards.")
]


@app.command("list")
def lease_list(
    board: Annotated[
        list[str] | None,
        typer.Option(
            "--board", "-b", metavar="KIND", help="Board type, glob or tag:NAME; repeatable. [default: all]"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list instead of a table.")] = False,
    lab: LabOption = None,
) -> None:
    """List every board: free, held, reserved, quarantined.

    Also lists boards of other labs that are held on this machine, under the name of their lock.
    """
    from harness.boards.registry import load_boards, select
    from harness.lease.place_state import states, strays

    specs = select(board, lab=lab) if board else load_boards(lab=lab)
    found = [state for spec in specs for state in states(spec)]
    others = [] if board else strays(specs)
    if as_json:
        typer.echo(json.dumps([_document(state) for state in [*found, *others]], indent=2))
    else:
        _print_table(found, others)


@app.command("release")
def lease_release(
    name: PlaceArgument,
    force: Annotated[bool, typer.Option("--force", help="Take it from its holder.")] = False,
    lab: LabOption = None,
) -> None:
    """Release a board that a process holds.

    A lease ends with its process. To end it while the process lives, end the process, or use --force: the holder
    notices within a second, a board with a power switch is switched off, and the board rejects sessions of the old
    lease after a newer one was opened.
    """
    keep_going()
    from contracts.errors import InfraError
    from harness.lease.files import PlaceFiles
    from harness.lease.place_state import look

    spec, place = _one_place(name, lab)
    state = look(spec.kind, place, PlaceFiles.of(place))
    if force:
        _release_by_force(spec, place)
    elif state.holder is None:
        out.print(f"{place.name} is already free", markup=False)
    else:
        raise InfraError(
            f"{place.name} is held by a live process",
            expected="the process has ended, which releases the board",
            seen=f"{state.owner} since {state.since} ({state.reason})",
            do="end that process, or take the board from it with --force",
        )


@app.command("reserve")
def lease_reserve(
    name: WhereArgument,
    time: Annotated[str, typer.Option("--for", metavar="TIME", help="90s, 45m, 2h, 1d, 1h30m; at most 30d.")],
    note: Annotated[str, typer.Option(help="Purpose, shown to others.")] = "",
    lab: LabOption = None,
) -> None:
    """Reserve a board for yourself; the reservation expires.

    Your name is `ASSAY_USER`, or user@host. A process that holds the board keeps it until it ends; after that nobody
    else can lease it.
    """
    keep_going()
    from harness.lease.files import PlaceFiles, user_name
    from harness.lease.owner import duration
    from harness.lease.place_state import look
    from harness.lease.reservation import parse_duration, reserve_all

    seconds = parse_duration(time)
    places = _places(name, lab)
    reserve_all([place for _, place in places], seconds, note)
    for spec, place in places:
        out.print(f"{place.name} is reserved by {user_name()} for {duration(seconds)}", markup=False)
        state = look(spec.kind, place, PlaceFiles.of(place))
        if state.state != "reserved":
            out.print(
                f"  it is now {state.state}: {state.owner} since {state.since} ({state.reason})", markup=False
            )


@app.command("unreserve")
def lease_unreserve(
    name: WhereArgument,
    force: Annotated[bool, typer.Option("--force", help="Also end another user's reservation.")] = False,
    lab: LabOption = None,
) -> None:
    """End a reservation before it expires."""
    keep_going()
    from harness.lease.owner import duration
    from harness.lease.reservation import unreserve

    for _, place in _places(name, lab):
        ended = unreserve(place, force=force)
        if ended is None:
            out.print(f"{place.name} was not reserved", markup=False)
            continue
        left = duration(ended.remaining_s)
        had = f" (it had {left} left)" if left else ""
        out.print(f"{place.name} is no longer reserved by {ended.user}{had}", markup=False)


def _places(name: str, lab: Sequence[Path] | None) -> list[tuple[BoardSpec, Place]]:
    """The place of that name, or all places of the board type of that name. Raises ConfigError."""
    from contracts.errors import ConfigError, did_you_mean
    from harness.boards.registry import load_boards
    from harness.lease.place_state import strays

    specs = load_boards(lab=lab)
    known = [(spec, place) for spec in specs for place in spec.places]
    found = [(spec, place) for spec, place in known if name in (place.name, spec.kind)]
    if found:
        return found
    for spec in specs:
        if spec.kind == name:
            raise ConfigError(
                f"{name} has no boards",
                expected="places in its board file, or in a lab file",
                seen="none",
                do="name a lab file with --lab",
            )
    from dataclasses import replace

    others = [(replace(specs[0], kind=s.kind, places=(s.place,), qemu=None), s.place) for s in strays(specs)]
    names = [*(place.name for _, place in [*known, *others]), *(spec.kind for spec in specs)]
    found = [(spec, place) for spec, place in others if place.name == name]
    if not found:
        raise ConfigError(
            f"no board {name!r}{did_you_mean(name, names)}",
            expected=f"one of {', '.join(names)}",
            seen=name,
            do="see `assay lease list`",
        )
    return found


def _one_place(name: str, lab: Sequence[Path] | None) -> tuple[BoardSpec, Place]:
    from contracts.errors import ConfigError

    found = _places(name, lab)
    if len(found) > 1:
        raise ConfigError(
            f"{name} is a board type with several boards",
            expected=f"one of {', '.join(place.name for _, place in found)}",
            seen=name,
            do="name the board",
        )
    return found[0]


def _release_by_force(spec: BoardSpec, place: Place) -> None:
    from contracts.errors import AssayError
    from harness.lease import reservation
    from harness.lease.force import LET_GO_S, seize

    kept = reservation.of(place)
    if kept is not None:
        out.print(f"{place.name} is still reserved {reservation.describe(kept)}", markup=False)
        if not kept.mine:
            out.print(
                f"  nobody else can lease it until then; `assay lease unreserve {place.name} --force` ends it",
                markup=False,
            )
    with seize(spec, place, "lease release --force") as taken:
        before = taken.before
        if before is None:
            out.print(f"{place.name} was free; epoch {taken.lease.epoch} now", markup=False)
        else:
            out.print(
                f"{place.name} was taken from {before.who} (epoch {before.epoch}; {taken.lease.epoch} now)",
                markup=False,
            )
            if taken.let_go():
                out.print("  its holder has released it", markup=False)
            else:
                out.print(
                    f"  its holder did not release it within {LET_GO_S:g} s (stopped?); the board rejects it after "
                    "the next session was opened",
                    markup=False,
                )
        if place.power is None:
            out.print("  no power switch: a QEMU ends when its holder releases it", markup=False)
            return
        from targets.drivers import power_of
        from targets.supply import switch_off

        try:
            switch_off(power_of(place))
        except AssayError as error:
            error.do = f"the lease is released, but switch {place.name} off by hand: {error.do}"
            raise
        out.print("  the board is switched off; its next holder switches it on", markup=False)


def _document(state: PlaceState) -> dict[str, object]:
    return {
        "kind": state.kind,
        "place": state.place.name,
        "lock": state.place.identity,
        "configured": state.configured,
        "state": state.state,
        "owner": state.owner,
        "since": state.since,
        "reason": state.reason,
        "epoch": state.epoch,
        "age_s": state.age_s,
        "silent_s": state.silent_s,
        "reserved_by": state.reserved_by,
        "remaining_s": state.remaining_s,
        "holder": None if state.holder is None else state.holder.document(),
    }


def _print_table(found: Sequence[PlaceState], others: Sequence[PlaceState]) -> None:
    from harness.cli.options import out as wide
    from harness.terminal.table import plain_table

    table = plain_table("board", "state", "~by", "~for", "~why", "epoch")
    for column, width in zip(table.columns[2:5], (8, 15, 12), strict=True):
        column.min_width = width
    for state in [*found, *others]:
        table.add_row(*_row(state), style="dim" if state.state == "free" else None)
    wide.print(table)
    if others:
        wide.print("The boards at the end belong to another lab, or were removed from this lab.")


def _row(state: PlaceState) -> list[str]:
    from rich.markup import escape

    from harness.lease.owner import duration
    from harness.lease.place_state import SILENT_S

    why = state.reason
    if state.state == "quarantined":
        span = f"since {state.since or '?'}"
    elif state.state == "reserved":
        span = f"{duration(state.remaining_s) or '?'} more"
    else:
        span = duration(state.age_s)
    if state.state == "held" and state.silent_s is not None and state.silent_s > SILENT_S:
        why = f"silent for {duration(state.silent_s)}, stopped? {why}"
    if state.state != "reserved" and state.reserved_by:
        left = duration(state.remaining_s)
        why = f"{why}; reserved by {state.reserved_by}{f' for {left} more' if left else ''}"
    if state.state == "quarantined" and state.holder is not None:
        why = f"{why}; held by {state.holder.who}"
    return [
        escape(text)
        for text in (state.place.name, state.state, state.owner, span, why, str(state.epoch or ""))
    ]
