"""`assay accept`: the acceptance suites on every selected board type in parallel."""

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
            help="Board type, glob or tag:NAME; repeatable. [default: tag:default]",
        ),
    ] = None,
    lab: Annotated[
        list[Path] | None,
        typer.Option("--lab", help="Lab file with the places of boards; repeatable. [default: $ASSAY_LAB]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the situations.")] = 1,
    include: Annotated[
        list[str] | None,
        typer.Option("--include", "-i", metavar="TAG", help="Only tests with this tag; repeatable."),
    ] = None,
    results: ResultsOption = RESULTS,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Board types to run in parallel. [default: number of cores]")
    ] = None,
    budgets: BudgetsOption = None,
    strict: Annotated[bool, typer.Option("--strict-budgets", help="Fail a marginal figure.")] = False,
    key: Annotated[
        Path | None, typer.Option("--key", help="Lab key file. [default: the committed development key]")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Llama GGUF to use instead of the shipped model.")
    ] = None,
) -> None:
    """Run the acceptance suites.

    Runs one Robot process per board type and merges the results into one log that a product owner can read.
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
