"""How a run looks on a terminal: a live line a board, then the table of stages against budgets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from harness.run import Progress

VERDICT_STYLE: Final = {
    "pass": "green",
    "marginal": "yellow",
    "fail": "bold red",
    "infra": "magenta",
    "inconclusive": "yellow",
    "skip": "dim",
}


class LiveProgress:
    """One bar a board on a terminal; a line a step where the output is not one (CI logs)."""

    def __init__(self, console: Console, kinds: Sequence[str]) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.fields[kind]:<12}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {
            kind: self._bars.add_task("waits", kind=kind, total=1) for kind in kinds
        }

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    @staticmethod
    def _is_due(progress: Progress) -> bool:
        return progress.done % 5 == 0 or progress.done == progress.total

    def report(self, progress: Progress) -> None:
        """Show a step. Called from the boards' threads."""
        if self._console.is_terminal:
            task = self._tasks[progress.kind]
            self._bars.update(task, completed=progress.done, total=progress.total, description=progress.doing)
        elif progress.attempt > 1 or (not progress.attempt and self._is_due(progress)):
            self._console.print(
                f"{progress.kind}: {progress.done}/{progress.total} {progress.doing}",
                highlight=False,
                markup=False,
            )


def figure_text(value: float | None) -> str:
    """A figure as a table shows it: three digits, or thousands with commas; `-` for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def stage_table(document: Mapping[str, Any]) -> Table:
    """The table of a run's document: board, stage, value, unit, clock, budget, stretch, verdict."""
    table = Table(
        title=f"run {document['run']['name']}, seed {document['run']['seed']}", title_justify="left"
    )
    for column, justify in (
        ("board", "left"),
        ("stage", "left"),
        ("value", "right"),
        ("unit", "left"),
        ("clock", "left"),
        ("stat", "left"),
        ("n", "right"),
        ("budget", "right"),
        ("stretch", "right"),
        ("verdict", "left"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left", no_wrap=True)
    for board in document["boards"]:
        for row in board["stages"]:
            stretch = figure_text(row["stretch"]) + (" missed" if row["missed_stretch"] else "")
            verdict = row["verdict"] if row["limit"] is not None or row["verdict"] == "skip" else "reported"
            table.add_row(
                board["kind"],
                row["name"],
                figure_text(row["value"]),
                row["unit"],
                row["clock"] if row["value"] is not None else "",
                row["stat"] or "",
                str(row["samples"] or ""),
                figure_text(row["limit"]),
                stretch,
                f"[{VERDICT_STYLE[row['verdict']]}]{verdict}[/]",
            )
        table.add_section()
    return table


def print_outcome(console: Console, document: Mapping[str, Any]) -> None:
    """The table, then what went wrong where, then one closing line."""
    console.print(stage_table(document))
    for board in document["boards"]:
        if board["error"]:
            console.print(f"{board['kind']} ended early: {board['error']}", highlight=False, markup=False)
        if board["traceback"]:
            console.print(board["traceback"], highlight=False, markup=False)
        if board["crash"]:
            console.print(f"{board['kind']}: registers\n{board['crash']}", highlight=False, markup=False)
        for row in board["stages"]:
            if row["verdict"] in ("fail", "inconclusive"):
                console.print(
                    f"{board['kind']} {row['name']}: {row['reason']}", highlight=False, markup=False
                )
        deployed = sum(1 for s in board["situations"] if s["deployed"] and not s["warmup"])
        first = sum(
            1 for s in board["situations"] if s["deployed"] and not s["warmup"] and len(s["attempts"]) == 1
        )
        tried = sum(1 for s in board["situations"] if not s["warmup"])
        console.print(
            f"{board['kind']}: scenario {board['scenario']}, {deployed} of {tried} situations adapted, "
            f"{first} at the first attempt",
            highlight=False,
        )
    run = document["run"]
    console.print(
        f"verdict: [{VERDICT_STYLE[run['verdict']]}]{run['verdict']}[/] in {run['wall_s']:.1f} s",
        highlight=False,
    )
