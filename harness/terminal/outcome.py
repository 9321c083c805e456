"""The outcome of a run: the table of stages and budgets, the failures, one summary line."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from contracts.record import Record, StageRow
from harness.terminal.style import VERDICT_STYLE, figure_text


def clock_text(row: StageRow) -> str:
    """A row's clock, and what replaced a board, if anything did."""
    source = row.get("source", "")
    return f"{row['clock']} ({source})" if source else row["clock"]


def stage_table(document: Record) -> Table:
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
            reported = row["limit"] is None and row["verdict"] == "pass"
            verdict = "reported" if reported else row["verdict"]
            table.add_row(
                board["kind"],
                row["name"],
                figure_text(row["value"]),
                row["unit"],
                clock_text(row) if row["value"] is not None else "",
                row["stat"] or "",
                str(row["samples"] or ""),
                figure_text(row["limit"]),
                stretch,
                f"[{VERDICT_STYLE[row['verdict']]}]{verdict}[/]",
            )
        table.add_section()
    return table


def print_outcome(console: Console, document: Record) -> None:
    """Print the table, the failures, and one summary line."""
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
            f"{first} on the first attempt",
            highlight=False,
        )
    run = document["run"]
    interrupted = "interrupted; " if run.get("interrupted") else ""
    console.print(
        f"{interrupted}verdict: [{VERDICT_STYLE[run['verdict']]}]{run['verdict']}[/] in {run['wall_s']:.1f} s",
        highlight=False,
    )
