"""`assay boards`: the boards of the lab, their state, and a health check; `assay golden`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from contracts.errors import ConfigError, InfraError, KernelError
from harness.cli.options import LabOption, console, err
from harness.terminal.output import keep_going

if TYPE_CHECKING:
    from harness.boards.preflight import Finding
    from harness.lease import PlaceState

app = typer.Typer(help="List the lab's boards and their state; check their health.")
golden_app = typer.Typer(
    help="Known-good kernels that tell a faulty board from a faulty kernel.", no_args_is_help=True
)

out = console(160)

BoardOption = Annotated[
    list[str] | None,
    typer.Option("--board", "-b", metavar="KIND", help="Board type, glob or tag:NAME; repeatable."),
]


@app.callback(invoke_without_command=True)
def boards(context: typer.Context, board: BoardOption = None, lab: LabOption = None) -> None:
    """List the lab's boards and their state; check their health.

    Without a command: lists the board types, and each place's state (free, held, reserved, quarantined).
    """
    if context.invoked_subcommand is not None:
        if board or lab:
            raise ConfigError(
                f"--board and --lab must follow `{context.invoked_subcommand}`",
                expected=f"assay boards {context.invoked_subcommand} --board KIND",
                seen="an option before it",
                do="move it",
            )
        return
    from harness.boards.preflight import check
    from harness.boards.registry import load_boards, select
    from harness.lease import states
    from harness.terminal.table import plain_table

    specs = select(board, lab=lab) if board else load_boards(lab=lab)
    refused = {finding.place: finding for finding in reversed(check(specs)) if not finding.ok}
    kinds = plain_table("kind", "~tags", ">places", "~machine", "console", "scenario")
    places = plain_table("place", "state", "~owner", "~since", "~reason")
    for spec in specs:
        machine = (
            f"QEMU {spec.qemu.machine.partition(',')[0]}, {spec.qemu.cores} cores"
            if spec.qemu
            else "hardware"
        )
        kinds.add_row(
            spec.kind, ", ".join(spec.tags), str(spec.instances), machine, spec.console, spec.scenario or ""
        )
        for state in states(spec):
            places.add_row(*_place_row(state, refused.get(state.place.name)))
    out.print(kinds)
    out.print(places)


def _place_row(state: PlaceState, refused: Finding | None) -> list[str]:
    """The state of a free place that preflight would refuse: what it lacks."""
    if state.state == "free" and refused is not None:
        word = "adapter missing" if refused.console else "not usable"
        return [state.place.name, word, "", "", refused.what]
    return [state.place.name, state.state, state.owner, state.since, state.reason]


@app.command("discover")
def discover_command(
    kind: Annotated[
        str, typer.Option(help="The hardware board type to assume for the adapters' boards.")
    ] = "rpi4",
) -> None:
    """Print what is plugged in as a lab file to edit: serial adapters, debug probes, hubs that switch their ports.

    Opens no port and switches nothing. `assay boards discover > lab.yaml`, edit, `assay config check lab.yaml`.
    """
    from harness.boards.discover import discover, lab_text
    from harness.boards.registry import select_one

    spec = select_one(kind, lab=[])
    if spec.qemu is not None:
        raise ConfigError(
            f"{kind} is not a hardware board type",
            expected="a board type with its own console",
            seen="QEMU",
            do="correct --kind",
        )
    typer.echo(lab_text(discover(), spec.kind), nl=False)


@app.command("check")
def check(
    kinds: Annotated[
        list[str] | None, typer.Argument(metavar="[KIND]...", help="Same as --board. [default: tag:default]")
    ] = None,
    board: BoardOption = None,
    lab: LabOption = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for a place that is held.")] = 10.0,
    golden: Annotated[
        Path | None, typer.Option(help="Folder of golden images. [default: lab-config/golden]")
    ] = None,
) -> None:
    """Boot the golden image on every place and exercise it.

    A place that passes leaves quarantine; a silent one is quarantined. Exits with 0 if all are fit, otherwise with 75.
    """
    from harness.boards.health import check_places
    from harness.boards.registry import select
    from harness.kernel.golden import GOLDEN
    from harness.terminal.table import plain_table

    keep_going()
    specs = select([*(kinds or []), *(board or [])], lab=lab)
    found = []
    total = sum(spec.instances for spec in specs)
    for spec in specs:
        if not spec.places:
            err.print(f"{spec.kind}: no places; add them to its board file or a lab file", markup=False)
    with err.status(f"checking {total} places") as status:

        def waiting(reason: str) -> None:
            err.print(f"waiting: {reason}", markup=False, soft_wrap=True)

        for health in check_places(specs, wait_s=wait, waiting=waiting, golden=golden or GOLDEN):
            found.append(health)
            status.update(f"checking {total} places, {len(found)} done")
            if not err.is_terminal:
                err.print(f"{len(found)}/{total} {health.place}: {health.state}", markup=False)
    table = plain_table("place", "health", ">seconds", "~quarantine", "~what was found")
    for health in sorted(found, key=lambda health: (health.kind, health.place)):
        table.add_row(health.place, health.state, f"{health.took_s:.2f}", health.quarantine, health.what)
    out.print(table)
    if total == 0 or any(health.state != "fit" for health in found):
        raise typer.Exit(InfraError.exit_code)


@golden_app.callback()
def golden() -> None:
    """Known-good kernels that tell a faulty board from a faulty kernel."""


@golden_app.command("write")
def golden_write(
    board: BoardOption = None,
    lab: LabOption = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for the images. [default: lab-config/golden]")
    ] = None,
) -> None:
    """Pin the kernels of the committed sources as golden images.

    Each is built with the development key and must first pass a check on a board of its type. Without
    --board: the board types tagged `default`.
    """
    import tempfile

    from harness.boards.health import trial
    from harness.boards.registry import select
    from harness.boards.triage import GoldenSilent
    from harness.kernel.golden import GOLDEN, golden_name, new_golden, pin, source_commit
    from harness.lease import acquire

    keep_going()
    specs = {golden_name(spec): spec for spec in reversed(select(board or [], lab=lab))}
    commit = source_commit()
    with tempfile.TemporaryDirectory(prefix="assay-golden-") as name:
        fresh = Path(name)
        images = []
        for spec in specs.values():
            with err.status(f"building and checking {golden_name(spec)}"):
                image = new_golden(spec, fresh)
                pin([image], commit, fresh)
                try:
                    with acquire(spec, purpose="assay golden write") as lease:
                        told = trial(spec, lease, fresh)
                except GoldenSilent as error:
                    raise KernelError(
                        f"the kernel of {spec.kind} cannot become golden: {error.what}",
                        expected=error.expected,
                        seen=error.seen,
                        do="repair the kernel or the board: `assay boards check` says which",
                    ) from error
            images.append(image)
            out.print(f"{golden_name(spec)}: build {image.build_id.hex()}, {told}", markup=False)
        path = pin(images, commit, folder or GOLDEN)
    out.print(f"pinned: {path}", soft_wrap=True, markup=False)
