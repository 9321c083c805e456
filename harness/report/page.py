"""The view model -> one self-contained HTML page: no script, no request to anywhere, every text escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from contracts.errors import AssayError
from harness.report import charts
from harness.report.view import BoardView, RunView, StageView

_HERE: Final = Path(__file__).resolve().parent

_CLOCKS: Final = (
    ("host", "Host clock", "time on this machine; generate to seal are processor time, adapt is wall time"),
    (
        "virtual",
        "Virtual clock",
        "instructions the guest executed, shown as modelled time: 1 instruction = 1 ns",
    ),
    ("hardware", "Hardware clock", "the board's own counters"),
)
_MARKS: Final = {
    "pass": "✓",
    "marginal": "≈",
    "fail": "✗",
    "infra": "!",
    "inconclusive": "?",
    "skip": "–",
    "reported": "·",
    "unknown": "?",
}


class ReportError(AssayError):
    """A report that cannot be made of a run's record; the run and its verdict stand without it."""


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one clock with the axis that they share."""

    clock: str
    title: str
    note: str
    stages: tuple[StageView, ...]
    axis: charts.Axis | None


def sections(board: BoardView) -> tuple[Section, ...]:
    """A board's rows by clock, in the order of the journey; shares and stages not run stand apart."""
    run = [stage for stage in board.stages if stage.value is not None]
    found = []
    for clock, title, note in _CLOCKS:
        rows = tuple(stage for stage in run if stage.clock == clock and stage.unit != "%")
        if rows:
            found.append(Section(clock, title, note, rows, charts.axis_of(rows)))
    shares = tuple(stage for stage in run if stage.unit == "%")
    if shares:
        found.append(Section("share", "Shares", "of the judged situations", shares, None))
    return tuple(found)


def budget_names(boards: Sequence[BoardView]) -> tuple[str, ...]:
    """Every stage that some board has a budget for, in the order of the journey."""
    names: dict[str, None] = {}
    for board in boards:
        names.update({stage.name: None for stage in board.stages if stage.limit is not None})
    return tuple(names)


def _stage_of(board: BoardView, name: str) -> StageView | None:
    return next((stage for stage in board.stages if stage.name == name and stage.limit is not None), None)


def _share(stage: StageView) -> str:
    """How much of its budget a figure takes."""
    if stage.value is None or not stage.limit:
        return ""
    share = 100.0 * stage.value / stage.limit
    return "<0.1 %" if 0 < share < 0.1 else f"{share:.2g} %" if share < 100 else f"{share:.0f} %"


def render(view: RunView) -> str:
    """The page. Raises ReportError when the template cannot show the view."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=charts.figure, unit=charts.unit_name, duration=charts.duration)
    try:
        return environment.get_template("page.html.jinja").render(
            run=view,
            style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),  # noqa: S704
            mark=_MARKS,
            sections=sections,
            budget_names=budget_names(view.boards),
            stage_of=_stage_of,
            share=_share,
            charts=charts,
        )
    except (jinja2.TemplateError, OSError) as error:
        raise ReportError(
            f"run {view.name} cannot be rendered",
            expected="a run folder as `assay run` leaves it",
            seen=str(error),
            do="report this with the run's folder; run.json holds the same figures",
        ) from error
