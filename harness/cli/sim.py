"""`assay sim`: a rack of simulated boards with serial lines, power switches and TFTP folders, until Ctrl-C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import console
from harness.terminal.output import keep_going

out = console(160)


def sim(
    instances: Annotated[
        int | None, typer.Option(min=1, max=64, help="Boards per board type. [default: from its board file]")
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option("--board", "-b", metavar="KIND", help="Board type with a `sim` part; repeatable."),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Folder for lines, logs and TFTP folders. [default: a new one]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of QEMU's own random numbers.")] = 1,
    icount: Annotated[
        bool, typer.Option(help="Use virtual time: slower, but figures repeat to the instruction.")
    ] = True,
) -> None:
    """Simulate hardware boards.

    Each has a serial line, a power switch and a TFTP folder, connected to a QEMU. Writes a lab file for --lab.
    """
    from contracts.errors import ConfigError
    from harness.boards.rack import hold, simulator
    from harness.boards.registry import load_boards, select

    keep_going()
    specs = select(board, lab=[]) if board else [spec for spec in load_boards(lab=[]) if spec.sim]
    for spec in specs:
        if spec.sim is None:
            raise ConfigError(
                f"{spec.kind} cannot be simulated",
                expected="a board type with a `sim` part in its board file",
                seen="no `sim` part",
                do="select another board type",
            )
    with simulator(specs, instances=instances, folder=folder, seed=seed, icount=icount) as running:
        count = sum(instances or spec.sim_instances for spec in specs)
        out.print(
            f"{count} boards of {', '.join(spec.kind for spec in specs)}; Ctrl-C stops them", markup=False
        )
        out.print(f"lab file: {running.lab_file}", soft_wrap=True, markup=False)
        out.print(f"use it:   --lab {running.lab_file}, or ASSAY_LAB={running.lab_file}", soft_wrap=True)
        code = hold(running)
    out.print("interrupted: the boards are gone", markup=False)
    raise typer.Exit(code)
