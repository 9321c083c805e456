"""The outcome of a run: a table of the judged rows, the errors with their places, one closing sentence."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from contracts.record import About, BoardRow, Record, StageRow
from harness.terminal.crash import without_crash
from harness.terminal.sentence import BoardTold, FigureTold, run_sentence
from harness.terminal.style import VERDICT_STYLE, figure_text, in_stage_unit, stage_unit
from harness.terminal.table import plain_table


def clock_text(row: StageRow) -> str:
    """A row's clock, and what replaced a board, if anything did."""
    source = row.get("source", "")
    return f"{row['clock']} ({source})" if source else row["clock"]


def judged_table(document: Record) -> Table:
    """The rows of a run's document that have a budget, or did not pass: board, stage, figure, budget, verdict."""
    table = plain_table("~board", "~stage", ">value", "unit", ">budget", ">stretch", "verdict")
    table.title = _title(document["run"])
    for board in document["boards"]:
        shown = board["kind"]
        for row in board["stages"]:
            if row["limit"] is None and row["verdict"] in ("pass", "skip"):
                continue
            value, unit, limit, stretch, verdict = _cells(row)
            table.add_row(escape(shown), escape(row["name"]), value, unit, limit, stretch, verdict)
            shown = ""
        table.add_section()
    return table


def whole_table(document: Record) -> Group:
    """Every row of a run's document, one table per board, including those without a budget, with clock and statistic."""
    tables = []
    for board in document["boards"]:
        table = plain_table(
            "~stage", ">value", "unit", ">budget", ">stretch", "clock", "statistic", "verdict"
        )
        table.title = f"{escape(board['kind'])}, {_adapted(board)}"
        for row in board["stages"]:
            value, unit, limit, stretch, verdict = _cells(row)
            clock = clock_text(row) if row["value"] is not None else ""
            stat = "p50" if row["stat"] == "median" else row["stat"]
            of = f"{stat} of {row['samples']}" if stat else ""
            table.add_row(escape(row["name"]), value, unit, limit, stretch, clock, of, verdict)
        tables.append(table)
    return Group(_title(document["run"]), *tables)


def _title(run: About) -> str:
    return f"run {escape(run['name'])}, seed {run['seed']}"


def _cells(row: StageRow) -> Iterator[str]:
    """A row's value, unit, limit, stretch and verdict, in its stage's unit."""
    name, unit = row["name"], row["unit"]
    value, limit, stretch = (
        figure_text(in_stage_unit(row[key], unit, name)) for key in ("value", "limit", "stretch")
    )
    verdict = row["verdict"] if row["limit"] is not None or row["verdict"] != "pass" else "reported"
    yield value
    yield escape(stage_unit(name, unit)) if row["value"] is not None else ""
    yield limit
    yield f"{stretch} missed" if row["missed_stretch"] else stretch
    yield f"[{VERDICT_STYLE[row['verdict']]}]{verdict}[/]"


def _adapted(board: BoardRow) -> str:
    tried = [situation for situation in board["situations"] if not situation["warmup"]]
    deployed = [situation for situation in tried if situation["deployed"]]
    first = sum(len(situation["attempts"]) == 1 for situation in deployed)
    return f"{escape(board['scenario'])}: {len(deployed)} of {len(tried)} adapted, {first} at once"


def print_outcome(console: Console, document: Record, *, every: bool = False) -> None:
    """The table (`every`: of all stages, otherwise of the judged ones), then the errors with their places."""
    console.print(whole_table(document) if every else judged_table(document))
    for board in document["boards"]:
        if board["error"]:
            error = without_crash(board["error"], board.get("crash", ""))
            console.print(f"{board['kind']} ended early: {error}", highlight=False, markup=False)
        if board["traceback"]:
            console.print(board["traceback"], highlight=False, markup=False)
        if board["crash"]:
            console.print(f"{board['kind']}, crash record:\n{board['crash']}", highlight=False, markup=False)
        for row in board["stages"]:
            if row["verdict"] in ("fail", "inconclusive"):
                console.print(
                    f"{board['kind']} {row['name']}: {row['reason']}", highlight=False, markup=False
                )


def told(document: Record) -> list[BoardTold]:
    """The boards of a run's document, for its sentence."""
    return [
        BoardTold(
            board["kind"],
            board["verdict"],
            board["error"],
            tuple(map(FigureTold.of_row, board["stages"])),
        )
        for board in document["boards"]
    ]


def print_sentence(console: Console, document: Record) -> None:
    """The last line of a run: the verdict, and the run in one sentence."""
    run = document["run"]
    sentence = run_sentence(told(document), interrupted=bool(run.get("interrupted")))
    console.print(
        f"[{VERDICT_STYLE[run['verdict']]}]{run['verdict']}[/]: {escape(sentence)}",
        highlight=False,
        soft_wrap=True,
    )
