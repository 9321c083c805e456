"""`assay accept`: the acceptance suites on every chosen kind in parallel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import RESULTS, BudgetsOption, ResultsOption, out
from harness.terminal.output import keep_going


def accept(
    suites: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[SUITE]...", help="Robot files or folders. [default: robot/]"),
    ] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(
            "--board",
            "-b",
            metavar="KIND",
            help="Board kind, glob or tag:NAME; repeatable. [default: tag:default]",
        ),
    ] = None,
    lab: Annotated[
        list[Path] | None,
        typer.Option("--lab", help="Lab file that gives places; repeatable. [default: $ASSAY_LAB]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the situations.")] = 1,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", "-i", metavar="TAG", help="Only tests with this tag; repeatable."),
    ] = None,
    results: ResultsOption = RESULTS,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Kinds at the same time. [default: as many as cores]")
    ] = None,
    budgets: BudgetsOption = None,
    strict: Annotated[bool, typer.Option("--strict-budgets", help="A marginal figure fails.")] = False,
    key: Annotated[
        Path | None, typer.Option("--key", help="Lab key file. [default: the committed development key]")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="A Llama GGUF instead of the shipped one.")] = None,
) -> None:
    """Run the acceptance suites.

    One Robot process a kind, merged into one log that a product owner can read.
    """
    from harness.robot.accept_job import Asked, accept_job

    keep_going()
    raise typer.Exit(
        accept_job(
            out,
            Asked(
                board or [],
                suites or [],
                lab or [],
                seed,
                include or [],
                results,
                processes,
                budgets,
                key,
                model,
                strict,
            ),
            ["./assay", *sys.argv[1:]],
        )
    )
