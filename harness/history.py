"""`assay history`: every finished run's figures in one SQLite file beside the runs, shown as tables with a trend.

The file only gathers what the runs' `run.json` say: remove it, and the next call makes it again from the folders
that are still there. What it holds of runs whose folders are gone stays.
"""

from __future__ import annotations

import contextlib
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from contracts.errors import ConfigError, InfraError, did_you_mean
from harness.budgets import STAGES
from harness.figures import Document, parse
from harness.record import read_json
from harness.table import VERDICT_STYLE, figure_text

FILE: Final = "history.sqlite"

_VERSION: Final = 1
_BUSY_TIMEOUT_S: Final = 10.0
_BARS: Final = "▁▂▃▄▅▆▇█"
_TABLES: Final = """
CREATE TABLE run (
    name TEXT PRIMARY KEY, started TEXT NOT NULL, seed INTEGER NOT NULL, situations INTEGER NOT NULL
);
CREATE TABLE figure (
    run TEXT NOT NULL REFERENCES run(name), board TEXT NOT NULL, build_id TEXT NOT NULL, stage TEXT NOT NULL,
    clock TEXT NOT NULL, value REAL, unit TEXT NOT NULL, stat TEXT, verdict TEXT NOT NULL,
    PRIMARY KEY (run, board, stage, clock)
);
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One stage of one board in one run; `value` is None where it was not measured."""

    run: str
    started: str
    seed: int
    board: str
    build_id: str
    stage: str
    clock: str
    value: float | None
    unit: str
    stat: str | None
    verdict: str


@contextlib.contextmanager
def _database(results: Path) -> Iterator[sqlite3.Connection]:
    """The history of a results folder, made when missing. Raises ConfigError or InfraError when it cannot be used."""
    path = results / FILE
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _TABLES.split(";"):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
            if version not in (0, _VERSION):
                raise ConfigError(
                    f"{path} is of another version",
                    expected=f"version {_VERSION}",
                    seen=str(version),
                    do="remove it: it is made again from the runs' folders",
                )
            with connection:
                yield connection
    except sqlite3.OperationalError as error:
        raise InfraError(
            f"cannot use {path}",
            expected="a results folder that can be written",
            seen=str(error),
            do="make the folder writable, or name another one with --results",
        ) from error
    except sqlite3.DatabaseError as error:
        raise ConfigError(
            f"{path} is damaged",
            expected="an SQLite file",
            seen=str(error),
            do="remove it: it is made again from the runs' folders",
        ) from error


def feed(results: Path) -> list[str]:
    """Take in every finished run of the folder that the history lacks; returns a line for each that cannot be read."""
    unread: list[str] = []
    with _database(results) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM run")}
        for path in sorted(results.glob("*/run.json")):
            if path.parent.name in known:
                continue
            try:
                _insert(connection, path.parent.name, parse(read_json(path), path))
            except ConfigError as error:
                unread.append(f"{error.what} (left out)")
    return unread


def _insert(connection: sqlite3.Connection, name: str, document: Document) -> None:
    run = document.run
    connection.execute(
        "INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?)", (name, run.started, run.seed, run.situations)
    )
    connection.executemany(
        "INSERT OR IGNORE INTO figure VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (name, board.kind, board.build_id, row.name, row.clock.value, row.value, row.unit,
             row.stat.value if row.stat else None, row.verdict.value)
            for board in document.boards
            for row in board.stages
        ],
    )  # fmt: skip


def points(results: Path) -> list[Point]:
    """Everything that was measured, oldest run first."""
    with _database(results) as connection:
        rows = connection.execute(
            "SELECT run, started, seed, board, build_id, stage, clock, value, unit, stat, verdict "
            "FROM figure JOIN run ON run.name = figure.run WHERE verdict != 'skip' ORDER BY started, run"
        ).fetchall()
    return [Point(*row) for row in rows]


def sparkline(values: Sequence[float | None]) -> str:
    """One character a value, lowest to highest; a space where nothing was measured, a middle bar when all are equal."""
    there = [value for value in values if value is not None]
    if not there:
        return " " * len(values)
    low, span = min(there), max(there) - min(there)
    top = len(_BARS) - 1
    return "".join(
        " " if value is None else _BARS[round((value - low) / span * top) if span else top // 2]
        for value in values
    )


def _chosen(found: Sequence[str], pattern: str | None, what: str) -> set[str]:
    """Names that a pattern chooses. Raises ConfigError, with the nearest name, when it chooses none."""
    chosen = {name for name in found if pattern is None or fnmatchcase(name, pattern)}
    if not chosen:
        assert pattern is not None
        raise ConfigError(
            f"no {what} {pattern!r} in the history{did_you_mean(pattern, found)}",
            expected=f"one of {', '.join(found)}, or a glob",
            seen=pattern,
            do="leave the option out to see all",
        )
    return chosen


def show_history(console: Console, results: Path, board: str | None, stage: str | None, last: int) -> int:
    """Bring the history up to date and print the last runs of each board and stage. Returns 0."""
    if not results.is_dir():
        raise ConfigError(
            f"no results folder {results}",
            expected="a folder of runs",
            seen="none",
            do="make a run with `assay run`",
        )
    for line in feed(results):
        console.print(line, markup=False, soft_wrap=True)
    everything = points(results)
    if not everything:
        console.print(f"no finished run in {results} yet: make one with `assay run`", soft_wrap=True)
        return 0
    boards = _chosen(sorted({point.board for point in everything}), board, "board")
    named = sorted({point.stage for point in everything}, key=_order)
    stages = _chosen(named, stage, "stage")
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in everything:
        if point.board in boards and point.stage in stages:
            groups.setdefault((point.board, point.stage, point.clock), []).append(point)
    series = [groups[key][-last:] for key in sorted(groups, key=lambda key: (key[0], _order(key[1]), key[2]))]
    console.print(trend_table(series, last))
    if stage is not None:
        for points_of_one in series:
            console.print(run_table(points_of_one))
    return 0


def _order(stage: str) -> tuple[int, str]:
    return (STAGES.index(stage) if stage in STAGES else len(STAGES), stage)


def trend_table(series: Sequence[Sequence[Point]], last: int) -> Table:
    """One line a board and stage: the trend, the newest value beside the median of the others, and their verdicts."""
    table = Table(title=f"the last {last} runs, oldest first", title_justify="left")
    for column in ("board", "stage", "trend"):
        table.add_column(column, no_wrap=True)
    for column in ("runs", "median before", "newest"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("unit", "clock", "newest verdict", "not passed"):
        table.add_column(column, no_wrap=True)
    board = series[0][0].board if series else ""
    for points_of_one in series:
        newest = points_of_one[-1]
        if newest.board != board:
            table.add_section()
            board = newest.board
        before = [point.value for point in points_of_one[:-1] if point.value is not None]
        bad = sum(point.verdict not in ("pass", "marginal") for point in points_of_one)
        table.add_row(
            newest.board,
            newest.stage,
            sparkline([point.value for point in points_of_one]),
            str(len(points_of_one)),
            figure_text(statistics.median(before) if before else None),
            figure_text(newest.value),
            newest.unit,
            newest.clock,
            f"[{VERDICT_STYLE[newest.verdict]}]{newest.verdict}[/]",
            str(bad or ""),
        )
    return table


def run_table(series: Sequence[Point]) -> Table:
    """One line a run of one board and stage."""
    first = series[0]
    table = Table(title=f"{first.board} {first.stage}, {first.clock} clock", title_justify="left")
    for column in ("run", "started", "seed", "kernel", "value", "unit", "stat", "verdict"):
        table.add_column(column, justify="right" if column in ("seed", "value") else "left", no_wrap=True)
    for point in series:
        table.add_row(
            point.run,
            point.started,
            str(point.seed),
            point.build_id[:12],
            figure_text(point.value),
            point.unit,
            point.stat or "",
            f"[{VERDICT_STYLE[point.verdict]}]{point.verdict}[/]",
        )
    return table
