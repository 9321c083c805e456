"""The view model -> one self-contained HTML page: no network requests, every text escaped, no script except a filter."""

from __future__ import annotations

import base64
import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import jinja2
from markupsafe import Markup

from contracts.errors import AssayError
from contracts.measurement import NS_PER_UNIT
from harness.report import charts
from harness.report.view import BoardView, KindView, RunView, SessionView, StageView, TestView
from harness.terminal.style import duration_text, figure_text, quantity

_HERE: Final = Path(__file__).resolve().parent

_CLOCKS: Final = (
    ("host", "Host clock", "time on this machine; generate to seal are CPU time, adapt is wall time"),
    (
        "virtual",
        "Virtual clock",
        "instructions executed by the guest, shown as modelled time: 1 instruction = 1 ns",
    ),
    ("hardware", "Hardware clock", "the board's own counters"),
)
_SLOWEST: Final = 15
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
    """A report cannot be rendered from a run's record; the run and its verdict are not affected."""


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one clock with their common axis."""

    clock: str
    title: str
    note: str
    stages: tuple[StageView, ...]
    axis: charts.Axis | None


def sections(board: BoardView) -> tuple[Section, ...]:
    """A board's rows by clock, in the order of the journey; shares and stages that did not run are separate."""
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


def budget_names(boards: Sequence[BoardView | KindView]) -> tuple[str, ...]:
    """Every stage with a budget on any board, in the order of the journey."""
    names: dict[str, None] = {}
    for board in boards:
        names.update({stage.name: None for stage in board.stages if stage.limit is not None})
    return tuple(names)


def _stage_of(board: BoardView | KindView, name: str) -> StageView | None:
    return next((stage for stage in board.stages if stage.name == name and stage.limit is not None), None)


def _share(stage: StageView) -> str:
    """The share of its budget that a figure uses."""
    if stage.used is None or math.isinf(stage.used):
        return ""
    share = 100.0 * stage.used
    return "<0.1 %" if 0 < share < 0.1 else f"{share:.2g} %" if share < 100 else f"{share:.0f} %"


def _sample_text(value: float, stage: StageView) -> str:
    """A sample of a stage, in its unit: samples of time are in ns."""
    return quantity(value, "ns" if stage.unit in NS_PER_UNIT else stage.unit, stage.name)


@functools.cache  # templates are compiled once
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=figure_text, duration=duration_text, of_stage=_sample_text)
    environment.globals.update(mark=_MARKS, stage_of=_stage_of, share=_share, charts=charts)
    return environment


def _render(template: str, name: str, **values: object) -> str:
    try:
        style = Markup((_HERE / "page.css").read_text(encoding="utf-8"))  # noqa: S704
        return _environment().get_template(template).render(style=style, **values)
    except (jinja2.TemplateError, OSError) as error:
        raise ReportError(
            f"run {name} cannot be rendered",
            expected="a run folder written by `assay run`",
            seen=str(error),
            do="report this with the run's folder; run.json has the same figures",
        ) from error


def render(view: RunView) -> str:
    """The page of a run. Raises ReportError if the template cannot render the view."""
    return _render(
        "page.html.jinja", view.name, run=view, sections=sections, budget_names=budget_names(view.boards)
    )


def render_session(view: SessionView) -> str:
    """The page of a test session. Raises ReportError if the template cannot render the view."""
    script = (_HERE / "filter.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _render(
        "session.html.jinja",
        view.name,
        run=view,
        budget_names=budget_names(view.kinds),
        verdicts=[name for name in _MARKS if any(name in dict(kind.counts) for kind in view.kinds)],
        measured=measured(view),
        skipped=skipped(view),
        slowest=slowest(view),
        script=Markup(script),  # noqa: S704
        script_hash=f"sha256-{digest}",
    )


@dataclass(frozen=True, slots=True)
class MeasuredRow:
    """One figure of a test, with the axis of its board type and clock; `more` tests took the same one."""

    test: TestView
    stage: StageView
    axis: charts.Axis | None
    more: int


def measured(view: SessionView) -> tuple[tuple[str, str, charts.Axis | None, tuple[MeasuredRow, ...]], ...]:
    """Board type, clock, axis and rows of the measurements; those over their limit first, then the nearest to it."""
    groups: dict[tuple[str, str], list[tuple[TestView, StageView]]] = {}
    for test in view.tests:
        for stage in test.measurements:
            groups.setdefault((test.kind, stage.clock), []).append((test, stage))
    found = []
    for (kind, clock), rows in sorted(groups.items()):
        axis = charts.axis_of([stage for _, stage in rows])
        ordered = sorted(rows, key=lambda row: -(row[1].used or 0.0))
        folded: dict[StageView, list[TestView]] = {}
        for test, stage in ordered:
            folded.setdefault(replace(stage, samples=()), []).append(test)
        shown = tuple(MeasuredRow(tests[0], stage, axis, len(tests) - 1) for stage, tests in folded.items())
        found.append((kind, clock, axis, shown))
    return tuple(found)


def skipped(view: SessionView) -> tuple[tuple[str, tuple[TestView, ...]], ...]:
    """Skipped tests by reason."""
    reasons: dict[str, list[TestView]] = {}
    for test in view.tests:
        if test.verdict == "skip":
            reasons.setdefault(test.message or "no reason given", []).append(test)
    return tuple((reason, tuple(tests)) for reason, tests in reasons.items())


def slowest(view: SessionView) -> tuple[TestView, ...]:
    """The tests that took longest, longest first."""
    timed = [test for test in view.tests if test.duration_s]
    return tuple(sorted(timed, key=lambda test: -(test.duration_s or 0.0))[:_SLOWEST])
