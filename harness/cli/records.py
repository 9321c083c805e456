"""`assay compare`, `baseline`, `history`, `report`: what runs measured, side by side and over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ConfigError
from harness.cli.options import RESULTS, ResultsOption, err, out
from harness.terminal.output import keep_going

baseline_app = typer.Typer(help="The virtual figures that later runs are held to.", no_args_is_help=True)


def compare(
    before: Annotated[
        str, typer.Argument(metavar="A", help="A run's name or folder, a JSON file, `last`, or `baseline`.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, of what came later.")],
    threshold: Annotated[
        float,
        typer.Option(min=0, metavar="PERCENT", help="A virtual figure that grew by more is a regression."),
    ] = 2,
    results: ResultsOption = RESULTS,
) -> None:
    """Compare two runs.

    Exit 1 when a virtual figure grew by more than --threshold; host figures are shown and never judged.
    """
    from harness.runs.compare import compare_runs

    keep_going()  # its exit code is a judgement
    raise typer.Exit(compare_runs(out, before, after, results, threshold))


@baseline_app.callback()
def baseline() -> None:
    """The virtual figures that later runs are held to: `assay compare baseline last`."""


@baseline_app.command("write")
def baseline_write(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, its folder, or `last`.")],
    results: ResultsOption = RESULTS,
) -> None:
    """Make a run's virtual figures the baseline, lab-config/baseline.json."""
    from harness.runs.baseline import write_baseline

    keep_going()
    raise typer.Exit(write_baseline(out, name, results))


def history(
    board: Annotated[str | None, typer.Option("--board", "-b", help="Board kind or glob.")] = None,
    stage: Annotated[str | None, typer.Option(help="Stage or glob; also lists every run.")] = None,
    test: Annotated[str | None, typer.Option(help="What these tests measured: an id or glob.")] = None,
    last: Annotated[int, typer.Option(min=1, help="Runs to look back.")] = 20,
    results: ResultsOption = RESULTS,
) -> None:
    """The last runs' figures, trends, verdicts.

    One row a board and stage, then one for each figure of a test.
    """
    from harness.runs.history import show_history

    raise typer.Exit(show_history(out, results, board, stage, last, test))


def report(
    name: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, its folder, or `last`.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="The page's file. [default: report.html in the run's folder]")
    ] = None,
    screenshot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Also a picture of the page, taken by Chromium."),
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """The folder of a run or a session of tests as one HTML page.

    Figures against budgets and over earlier runs, every extension's way, every test, crashes, transcripts.
    """
    from harness.report import report_folder, take_in, write_report

    keep_going()
    for option, file in (("--out", out_file), ("--screenshot", screenshot)):
        if file is not None and not file.parent.is_dir():
            raise ConfigError(
                f"no folder {file.parent} for {option}",
                expected="a file in a folder that is there",
                seen=str(file),
                do="make the folder, or name another",
            )
    folder = report_folder(name, results)
    for line in take_in(folder, results):
        err.print(line, soft_wrap=True, markup=False)
    page = write_report(folder, out_file)
    out.print(f"report: {page}", soft_wrap=True, markup=False)
    if screenshot is not None:
        from harness.report.screenshot import take_screenshot

        out.print(f"screenshot: {take_screenshot(page, screenshot)}", soft_wrap=True, markup=False)
