"""`assay compare`, `baseline`, `history`, `report`: compare what runs measured, also over time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import ConfigError
from harness.cli.options import RESULTS, ResultsOption, err, out
from harness.terminal.output import keep_going

baseline_app = typer.Typer(
    help="The virtual figures that later runs are compared with.", no_args_is_help=True
)


def compare(
    before: Annotated[
        str, typer.Argument(metavar="A", help="A run's name or folder, a JSON file, `last`, or `baseline`.")
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="The later run, in the same form.")],
    threshold: Annotated[
        float,
        typer.Option(
            min=0, metavar="PERCENT", help="Growth of a virtual figure above which it is a regression."
        ),
    ] = 2,
    results: ResultsOption = RESULTS,
) -> None:
    """Compare two runs.

    Exits with 1 if a virtual figure grew by more than --threshold; host figures are shown and never judged.
    """
    from harness.runs.compare import compare_runs

    keep_going()  # its exit code is a verdict
    raise typer.Exit(compare_runs(out, before, after, results, threshold))


@baseline_app.callback()
def baseline() -> None:
    """The virtual figures that later runs are compared with: `assay compare baseline last`."""


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
    board: Annotated[str | None, typer.Option("--board", "-b", help="Board type or glob.")] = None,
    stage: Annotated[str | None, typer.Option(help="Stage or glob; also lists each run.")] = None,
    test: Annotated[
        str | None, typer.Option(help="Test id or glob; lists what these tests measured.")
    ] = None,
    last: Annotated[int, typer.Option(min=1, help="Runs to look back.")] = 20,
    results: ResultsOption = RESULTS,
) -> None:
    """List the last runs' figures, trends and verdicts.

    One row per board and stage, then one for each figure of a test.
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
        typer.Option(metavar="FILE.png", help="Also save a picture of the page, taken with Chromium."),
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Render a run or a test session as one HTML page.

    Shows figures with budgets and earlier runs, the timeline of every extension, every test, crashes, transcripts.
    """
    from harness.report import report_folder, take_in, write_report

    keep_going()
    for option, file in (("--out", out_file), ("--screenshot", screenshot)):
        if file is not None and not file.parent.is_dir():
            raise ConfigError(
                f"no folder {file.parent} for {option}",
                expected="a file in an existing folder",
                seen=str(file),
                do="create the folder, or name another",
            )
    folder = report_folder(name, results)
    for line in take_in(folder, results):
        err.print(line, soft_wrap=True, markup=False)
    page = write_report(folder, out_file)
    out.print(f"report: {page}", soft_wrap=True, markup=False)
    if screenshot is not None:
        from harness.report.screenshot import take_screenshot

        out.print(f"screenshot: {take_screenshot(page, screenshot)}", soft_wrap=True, markup=False)
