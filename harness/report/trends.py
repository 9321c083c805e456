"""A run's figures together with those of earlier runs, from the history next to the run's folder."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from contracts.errors import AssayError
from contracts.stages import place_in_journey
from harness.report.fields import verdict_of
from harness.report.view import Trend, TrendPoint, Trends
from harness.runs.history import FILE, Point, points
from harness.terminal.style import in_stage_unit, stage_unit

RUNS: Final = 30
"""Number of runs in a trend."""
TRENDS: Final = 90
"""Number of trends on one page; those that changed least are omitted."""


def read_trends(folder: Path, tests: Collection[str] = ("",)) -> Trends:
    """The figures of `folder`'s run and of earlier runs, from the history next to it.

    `tests` are the ids whose measurements are shown; the empty id stands for the stages of `assay run`. Earlier means
    added to the history earlier, independent of the clock.
    """
    root, name = folder.resolve().parent, folder.resolve().name
    if not (root / FILE).is_file():
        return Trends((), f"No {FILE} next to the run's folder: `assay history` creates it.")
    try:
        everything = points(root)
    except AssayError as error:
        return Trends((), f"The history cannot be read: {error.what}.")
    own = [point for point in everything if point.run == name]
    if not own:
        return Trends((), "This run is not in the history: it did not end normally, or measured nothing.")
    last = own[0].number
    series: dict[tuple[str, str, str, str, int], list[Point]] = {
        point.series: [] for point in own if point.test in tests
    }
    for point in everything:
        if point.series in series and point.number <= last and point.value is not None:
            series[point.series].append(point)
    found = [_trend(taken[-RUNS:]) for taken in series.values() if len(taken) > 1]
    note = "" if found else "No earlier run in the history has these figures."
    kept = sorted(found, key=_moved, reverse=True)[:TRENDS]
    kept.sort(key=lambda trend: (trend.test, trend.board, place_in_journey(trend.stage), trend.clock))
    return Trends(tuple(kept), note, len(found) - len(kept))


def _trend(taken: Sequence[Point]) -> Trend:
    newest = taken[-1]
    unit = stage_unit(newest.stage, newest.unit)
    shown = [
        TrendPoint(
            point.run,
            in_stage_unit(point.value, point.unit, point.stage) or 0.0,
            verdict_of(point.verdict),
            alike=(point.seed, point.situations) == (newest.seed, newest.situations),
            moved=bool(number) and point.build_id != taken[number - 1].build_id,
        )
        for number, point in enumerate(taken)
        if stage_unit(point.stage, point.unit) == unit
    ]
    budget = in_stage_unit(newest.budget, newest.unit, newest.stage)
    return Trend(newest.board, newest.stage, newest.clock, newest.test, unit, budget, tuple(shown))


def _moved(trend: Trend) -> tuple[bool, float]:
    """Judged figures first, then those that vary most."""
    values = [point.value for point in trend.points]
    return (
        trend.budget is not None,
        (max(values) - min(values)) / max(map(abs, values)) if any(values) else 0.0,
    )
