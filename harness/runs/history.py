"""`assay history`: every finished run's figures in one SQLite file next to the runs, shown as tables with a trend.

The file only collects the contents of the runs' `run.json`: if it is removed, the next call rebuilds it from the
existing folders. It keeps the figures of runs whose folders were removed.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table

from contracts.errors import ConfigError, InfraError, did_you_mean
from contracts.stages import place_in_journey
from harness.config.json_file import read_json
from harness.runs.figures import Document, parse
from harness.runs.record import record_files
from harness.terminal.style import VERDICT_STYLE, figure_text, in_stage_unit, quantity
from harness.terminal.table import plain_table

FILE: Final = "history.sqlite"

_VERSION: Final = 2
_BUSY_TIMEOUT_S: Final = 10.0
_BARS: Final = "▁▂▃▄▅▆▇█"
HOST: Final = "host"
_TREND_WIDTH: Final = 20
"""The board name of figures that were measured without a board."""

# `number` is the order in which runs were added, independent of the clock. `test` is empty for a stage of `assay run`;
# `nth` counts the measurements of one test.
_TABLES: Final = """
CREATE TABLE run (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, job TEXT NOT NULL, started TEXT NOT NULL,
    seed INTEGER NOT NULL, situations INTEGER NOT NULL
);
CREATE TABLE figure (
    run TEXT NOT NULL REFERENCES run(name), test TEXT NOT NULL, nth INTEGER NOT NULL, board TEXT NOT NULL,
    build_id TEXT NOT NULL, stage TEXT NOT NULL, clock TEXT NOT NULL, value REAL, unit TEXT NOT NULL, stat TEXT,
    budget REAL, verdict TEXT NOT NULL,
    PRIMARY KEY (run, test, nth, board, stage, clock)
);
"""

_FROM_VERSION_1: Final = """
ALTER TABLE run RENAME TO run_1;
ALTER TABLE figure RENAME TO figure_1;
%s
INSERT INTO run (name, job, started, seed, situations)
    SELECT name, 'run', started, seed, situations FROM run_1 ORDER BY started, name;
INSERT INTO figure SELECT run, '', 0, board, build_id, stage, clock, value, unit, stat, NULL, verdict FROM figure_1;
DROP TABLE figure_1;
DROP TABLE run_1
"""


@dataclass(frozen=True, slots=True)
class Point:
    """One figure of one run: a stage of a board, or what a test measured. `value` is None if nothing was measured.

    `number` grows with every added run; `budget` is the limit at that time, in `unit`.
    """

    number: int
    run: str
    started: str
    seed: int
    situations: int
    test: str
    nth: int
    board: str
    build_id: str
    stage: str
    clock: str
    value: float | None
    unit: str
    stat: str | None
    budget: float | None
    verdict: str

    @property
    def series(self) -> tuple[str, str, str, str, int]:
        """The key of a trend: test (empty for `assay run`), board, stage, clock, nth."""
        return (self.test, self.board, self.stage, self.clock, self.nth)


@contextlib.contextmanager
def _database(results: Path) -> Iterator[sqlite3.Connection]:
    """The history of a results folder, created if missing. Raises ConfigError or InfraError if it cannot be used."""
    path = results / FILE
    if os.path.lexists(path) and not path.is_file() and not path.is_dir():
        raise ConfigError(
            f"{path} is not an ordinary file",
            expected="an SQLite file",
            seen="another type of file",
            do="remove it: it is rebuilt from the runs' folders",
        )
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as connection:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                script = {0: _TABLES, 1: _FROM_VERSION_1 % _TABLES}.get(version, "")
                for statement in script.split(";"):
                    connection.execute(statement)
                if script:
                    connection.execute(f"PRAGMA user_version = {_VERSION}")
            if version not in (0, 1, _VERSION):
                raise ConfigError(
                    f"{path} has another version",
                    expected=f"version {_VERSION}",
                    seen=str(version),
                    do="remove it: it is rebuilt from the runs' folders",
                )
            with connection:
                yield connection
    except sqlite3.OperationalError as error:
        raise InfraError(
            f"cannot use {path}",
            expected="a writable results folder",
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
    """Add every finished run of the folder that the history lacks; returns a line for each unreadable run."""
    unread: list[str] = []
    with _database(results) as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM run")}
        for path in record_files(results):
            if path.parent.name in known:
                continue
            try:
                _insert(connection, path.parent.name, parse(read_json(path), path))
            except ConfigError as error:
                unread.append(f"{error.what} (skipped): {error.seen}")
    return unread


def _insert(connection: sqlite3.Connection, name: str, document: Document) -> None:
    run = document.run
    connection.execute(
        "INSERT OR IGNORE INTO run (name, job, started, seed, situations) VALUES (?, ?, ?, ?, ?)",
        (name, run.job, run.started, run.seed, run.situations),
    )
    rows = [("", 0, board.kind, board.build_id, row) for board in document.boards for row in board.stages]
    rows += [
        (test.id, nth, test.kind or HOST, test.build_id or "", row)
        for test in document.tests
        for nth, row in enumerate(test.measurements)
    ]
    connection.executemany(
        "INSERT OR IGNORE INTO figure VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (name, test, nth, board, build_id, row.name, row.clock.value, row.value, row.unit,
             row.stat.value if row.stat else None, row.limit, row.verdict.value)
            for test, nth, board, build_id, row in rows
        ],
    )  # fmt: skip


def points(results: Path) -> list[Point]:
    """Every figure, in the order in which the runs were added."""
    with _database(results) as connection:
        rows = connection.execute(
            "SELECT number, run, started, seed, situations, test, nth, board, build_id, stage, clock, value, unit, "
            "stat, budget, verdict FROM figure JOIN run ON run.name = figure.run WHERE verdict != 'skip' "
            "ORDER BY number, figure.rowid"
        ).fetchall()
    return [Point(*row) for row in rows]


def sparkline(values: Sequence[float | None]) -> str:
    """One character per value, lowest to highest; a space for a missing value, a middle bar if all are equal."""
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
    """Names that match a pattern. Raises ConfigError, with the nearest name, if there are none."""
    chosen = {name for name in found if pattern is None or fnmatchcase(name, pattern)}
    if not chosen:
        assert pattern is not None
        raise ConfigError(
            f"no {what} {pattern!r} in the history{did_you_mean(pattern, found)}",
            expected=f"one of {', '.join(found)}, or a glob",
            seen=pattern,
            do="omit the option to see all",
        )
    return chosen


def show_history(
    console: Console, results: Path, board: str | None, stage: str | None, last: int, test: str | None = None
) -> int:
    """Update the history and print the last runs of each board and stage, then of each test's figures.

    `test` is a glob of test ids; with it, runs are not printed. Returns 0.
    """
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
    stages = _chosen(sorted({point.stage for point in everything}, key=_order), stage, "stage")
    measured = sorted({point.test for point in everything})
    tests = set(measured) if test is None else _chosen([name for name in measured if name], test, "test")
    groups: dict[tuple[str, str, str, str, int], list[Point]] = {}
    for point in everything:
        if point.board in boards and point.stage in stages and point.test in tests:
            groups.setdefault(point.series, []).append(point)
    series = [groups[key][-last:] for key in sorted(groups, key=_series_order)]
    for of_tests in (False, True):
        shown = [trend for trend in series if bool(trend[0].test) is of_tests]
        if shown:
            console.print(trend_tables(shown, last))
    if stage is not None:
        for points_of_one in series:
            console.print(run_table(points_of_one))
    return 0


def _series_order(key: tuple[str, str, str, str, int]) -> tuple[object, ...]:
    test, board, stage, clock, nth = key
    return (test, board, _order(stage), clock, nth)


def _order(stage: str) -> tuple[int, str]:
    return (place_in_journey(stage), stage)


def trend_tables(series: Sequence[Sequence[Point]], last: int) -> Group:
    """A table per board (and test), a line per stage: the trend, the newest value, the earlier median, the verdicts."""
    of_tests = any(trend[0].test for trend in series)
    shown: list[RenderableType] = [f"the last {last} {'sessions' if of_tests else 'runs'}, oldest first"]
    table = plain_table()
    heading = ""
    for points_of_one in series:
        newest = points_of_one[-1]
        about = newest.board
        if of_tests:
            about = newest.test + (f" ({newest.nth + 1})" if newest.nth else "")
            about += f", {newest.board}" if newest.board and newest.board not in newest.test else ""
        if about != heading:
            heading = about
            table = _trend_table(about, first=len(shown) == 1)
            shown.append(table)
        before = [point.value for point in points_of_one[:-1] if point.value is not None]
        bad = sum(point.verdict not in ("pass", "marginal") for point in points_of_one)
        table.add_row(
            newest.stage,
            sparkline([point.value for point in points_of_one[-_TREND_WIDTH:]]),
            _shown(newest, statistics.median(before) if before else None),
            quantity(newest.value, newest.unit, newest.stage),
            newest.clock,
            f"[{VERDICT_STYLE[newest.verdict]}]{newest.verdict}[/]",
            str(bad or ""),
        )
    return Group(*shown)


def _trend_table(about: str, *, first: bool) -> Table:
    """An empty table of trends; all have the same column widths, and the first one names the columns."""
    table = plain_table("~stage", "trend", ">before", ">newest", "clock", "verdict", ">bad")
    for column, width in zip(table.columns, (9, _TREND_WIDTH, 7, 8, 7, 12, 3), strict=True):
        column.min_width = width
    table.title = f"[bold]{escape(about)}[/]"
    table.show_header = first
    return table


def _shown(point: Point, value: float | None) -> str:
    return figure_text(in_stage_unit(value, point.unit, point.stage))


def run_table(series: Sequence[Point]) -> Table:
    """One line per run of one board and stage."""
    first = series[0]
    title = f"{first.test + ': ' if first.test else ''}{first.board} {first.stage}, {first.clock} clock"
    table = plain_table("run", "started", ">seed", "kernel", ">value", "verdict")
    table.title = escape(f"{title}, {first.stat}" if first.stat else title)
    for point in series:
        table.add_row(
            point.run,
            point.started[:16],
            str(point.seed),
            point.build_id[:8],
            quantity(point.value, point.unit, point.stage),
            f"[{VERDICT_STYLE[point.verdict]}]{point.verdict}[/]",
        )
    return table
