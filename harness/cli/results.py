"""`assay results`: list the results folder, remove old runs."""

from __future__ import annotations

import re
from typing import Annotated, Final

import typer

from contracts.errors import ConfigError
from harness.cli.options import RESULTS, ResultsOption, out
from harness.terminal.output import keep_going

_AGE: Final = re.compile(r"(?P<count>[0-9]+)(?P<unit>[smhdw])")
_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}

app = typer.Typer(help="List the runs on disk, remove old ones.", no_args_is_help=True)


def seconds(age: str) -> float:
    """An age such as `30d`, `12h` or `90m` in seconds. Raises ConfigError for anything else."""
    match = _AGE.fullmatch(age)
    if match is None:
        raise ConfigError(
            f"{age!r} is not an age",
            expected="a whole number and s, m, h, d or w, such as 30d",
            seen=age,
            do="write --older-than in that form",
        )
    return float(int(match["count"]) * _UNIT_S[match["unit"]])


@app.command("list")
def list_runs(results: ResultsOption = RESULTS) -> None:
    """List runs and test sessions, newest last: verdict, boards or tests, size, and why it is kept."""
    from harness.runs.results import runs_in, runs_table, size_text, unread_lines

    runs = runs_in(results)
    if not runs:
        out.print(f"no run in {results} yet: make one with `assay run`", soft_wrap=True, markup=False)
        return
    out.print(runs_table(runs))
    for line in unread_lines(runs):
        out.print(line, soft_wrap=True, markup=False)
    out.print(f"{len(runs)} runs, {size_text(sum(run.size for run in runs))}")


@app.command()
def prune(
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Number of newest runs to keep. [default: 20 without --older-than]"),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Remove only runs that are older, such as 30d or 12h.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed; remove nothing.")
    ] = False,
    results: ResultsOption = RESULTS,
) -> None:
    """Remove old runs. Their figures stay in the history.

    A run in progress and the run that the baseline was made from are always kept.
    """
    keep_going()
    from harness.runs.results import prune_runs

    if keep is None and older_than is None:
        keep = 20
    age_s = None if older_than is None else seconds(older_than)
    if results == RESULTS and not results.exists():  # a fresh checkout: a CI job prunes before its first run
        out.print(f"no run in {results} yet: nothing to remove", soft_wrap=True, markup=False)
        return
    raise typer.Exit(prune_runs(out, results, keep, age_s, dry_run=dry_run))
