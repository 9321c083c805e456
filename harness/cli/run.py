"""`assay run` and `assay replay`: run the loop on every selected board, repeat a recorded run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    RESULTS,
    STANDARD_OUTPUT,
    BoardOption,
    BudgetsOption,
    KeyOption,
    LabOption,
    ResultsOption,
    err,
    out,
)
from harness.terminal.output import keep_going


def run(
    board: BoardOption = None,
    lab: LabOption = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="FAMILY",
            help="Scenario family for every board. [default: one per board type, see `assay boards`]",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Llama GGUF to use instead of the shipped model; without a latency promise."),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, max=2**32 - 1, help="Seed of the situations; same seed, same virtual figures."),
    ] = 1,
    situations: Annotated[
        int,
        typer.Option(
            min=1,
            help="Situations per board, after one warm-up; below 20, host budgets are inconclusive.",
        ),
    ] = 20,
    json_file: Annotated[
        Path | None,
        typer.Option(
            "--json", help="Also write run.json to this file; `-`: only run.json to standard output."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all", help="Show every stage, with clock and statistic, instead of only the judged ones."
        ),
    ] = False,
    results: ResultsOption = RESULTS,
    budgets: BudgetsOption = None,
    key: KeyOption = None,
    define: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="C macro for the release kernels; repeatable.", hidden=True),
    ] = None,
) -> None:
    """Run the whole loop on every selected board.

    Builds, boots, observes, generates, verifies, swaps, watches and rolls back, and judges every stage.
    """
    from harness.cli.run_job import main_job

    keep_going()
    raise typer.Exit(
        main_job(
            err if json_file == STANDARD_OUTPUT else out,
            board or [],
            scenario,
            model,
            seed,
            situations,
            json_file,
            results,
            budgets,
            key,
            ["./assay", *sys.argv[1:]],
            define or [],
            lab or None,
            every=every,
        )
    )


def replay(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, its folder, or `last`.")],
    results: ResultsOption = RESULTS,
    key: KeyOption = None,
) -> None:
    """Repeat a recorded run and compare it.

    Loads the run's own images into its own kernels; every virtual figure must be the same.
    """
    from harness.loop.replay import replay_run

    keep_going()
    raise typer.Exit(replay_run(out, name, results, key))
