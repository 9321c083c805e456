"""Inline SVG from numbers: bars with budgets, dots of samples, steps of a timeline. Contains no external text.

Positions are percentages, so that a chart fits its column on a desktop or a phone and its dots stay round; colours
come from the page's style sheet.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from contracts.measurement import NS_PER_UNIT
from harness.report.view import Sample, StageView, Step, Trend
from harness.terminal.style import duration_text, figure_text

DOTS: Final = 100
"""Dots in one strip; of more samples only every n-th by size is drawn, always with the smallest and the largest."""

_BAR_HEIGHT: Final = 26
_STRIP_HEIGHT: Final = 26
_TREND_HEIGHT: Final = 64
_NEAR_BUDGET: Final = 0.5
"""A trend shows its budget only if its largest value is at least this share of it: otherwise the curve would be flat."""


def in_ns(value: float | None, unit: str) -> float | None:
    """A value of a row in ns; None if it is not a positive time (a log axis cannot show it)."""
    scale = NS_PER_UNIT.get(unit)
    return value * scale if value is not None and scale is not None and value > 0 else None


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis over whole decades: 10**low to 10**high ns."""

    low: int
    high: int

    def place(self, ns: float) -> float:
        """A time's position in percent of the width, clamped."""
        return min(100.0, max(0.0, 100.0 * (math.log10(ns) - self.low) / (self.high - self.low)))


def axis_of(stages: Sequence[StageView]) -> Axis | None:
    """One axis for all rows of a clock, so that their bars are comparable; None if no row has a time."""
    times = [
        ns
        for stage in stages
        for value in (stage.value, stage.limit, stage.stretch)
        if (ns := in_ns(value, stage.unit)) is not None
    ]
    if not times:
        return None
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    return Axis(low, max(high, low + 1))


def _grid(axis: Axis, height: int) -> str:
    steps = range(axis.low + 1, axis.high)
    return "".join(
        f'<line class="grid" x1="{x:.4g}%" x2="{x:.4g}%" y1="0" y2="{height}"/>'
        for x in (axis.place(10.0**step) for step in steps)
    )


def axis_scale(axis: Axis) -> Markup:
    """The axis with labelled decades, for the head of a column of bars."""
    span = axis.high - axis.low
    every = 1 if span <= 3 else 2 if span <= 6 else 3
    marks = []
    for step in range(axis.low, axis.high + 1, every):
        x = axis.place(10.0**step)
        anchor = "start" if step == axis.low else "end" if step == axis.high else "middle"
        marks.append(f'<text x="{x:.4g}%" y="11" text-anchor="{anchor}">{duration_text(10.0**step)}</text>')
    return Markup(f'<svg class="scale" height="14" aria-hidden="true">{"".join(marks)}</svg>')  # noqa: S704


def budget_bar(stage: StageView, axis: Axis) -> Markup:
    """A row's value as a bar, its budget as a solid line with a shaded area beyond it, its stretch as a dashed line."""
    parts = [_grid(axis, _BAR_HEIGHT)]
    said = []
    limit = in_ns(stage.limit, stage.unit)
    stretch = in_ns(stage.stretch, stage.unit)
    value = in_ns(stage.value, stage.unit)
    if limit is not None:
        x = axis.place(limit)
        begin, width = (x, 100 - x) if stage.direction == "at_most" else (0, x)
        parts.append(
            f'<rect class="beyond" x="{begin:.4g}%" y="0" width="{width:.4g}%" height="{_BAR_HEIGHT}"/>'
        )
    if value is not None:
        parts.append(
            f'<rect class="fill v-{stage.shown_verdict}" x="0" y="8" rx="2" '
            f'width="{max(0.6, axis.place(value)):.4g}%" height="10"/>'
        )
        said.append(f"value {duration_text(value)}")
    if stretch is not None:
        x = axis.place(stretch)
        parts.append(f'<line class="stretch" x1="{x:.4g}%" x2="{x:.4g}%" y1="3" y2="{_BAR_HEIGHT - 3}"/>')
        said.append(f"stretch {duration_text(stretch)}")
    if limit is not None:
        x = min(99.6, axis.place(limit))
        parts.append(f'<line class="limit" x1="{x:.4g}%" x2="{x:.4g}%" y1="1" y2="{_BAR_HEIGHT - 1}"/>')
        said.append(f"budget {duration_text(limit)}")
    label = ", ".join(said) or "no figure"
    return Markup(  # noqa: S704
        f'<svg class="bar" height="{_BAR_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def _drawn(samples: Sequence[Sample]) -> list[Sample]:
    if len(samples) <= DOTS:
        return list(samples)
    ordered = sorted(samples, key=lambda sample: sample.value)
    return [ordered[round(place * (len(ordered) - 1) / (DOTS - 1))] for place in range(DOTS)]


def sample_strip(samples: Sequence[Sample]) -> Markup:
    """One dot per sample from the smallest (left) to the largest (right), linear; warm-up dots are hollow."""
    if not samples:
        return Markup("")
    values = [sample.value for sample in samples]
    low, high = min(values), max(values)
    dots = []
    for number, sample in enumerate(_drawn(samples)):
        x = 50.0 if high == low else 2.5 + 95.0 * (sample.value - low) / (high - low)
        y = (13, 8, 18)[number % 3] if high > low else 13
        style = ' class="w"' if sample.warmup else ""
        dots.append(f'<circle cx="{x:.4g}%" cy="{y}" r="3"{style}/>')
    label = f"{len(values)} samples from {figure_text(low)} to {figure_text(high)} ns"
    return Markup(  # noqa: S704
        f'<svg class="dots" height="{_STRIP_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="grid" x1="0" x2="100%" y1="13" y2="13"/>{"".join(dots)}</svg>'
    )


@dataclass(frozen=True, slots=True)
class Lane:
    """The timeline of one clock: its steps in order, each with its bar, on one linear scale."""

    total_ns: float
    rows: tuple[tuple[str, str, str, Markup], ...]
    """Stage, duration, remark, bar."""


def lane(steps: Sequence[Step], whole_ns: float | None = None) -> Lane | None:
    """A lane of steps; `whole_ns` is the enclosing time, if longer. None without steps."""
    if not steps:
        return None
    total = sum(step.value_ns for step in steps)
    scale = max(total, whole_ns or 0.0) or 1.0
    rows = []
    begin = 0.0
    for step in steps:
        rows.append(
            (
                step.stage,
                duration_text(step.value_ns),
                f"{step.turns} times" if step.turns > 1 else "",
                _step_bar(begin, step.value_ns, scale, ""),
            )
        )
        begin += step.value_ns
    if whole_ns is not None and whole_ns > total:
        rest = whole_ns - total
        rows.append(("rest", duration_text(rest), "", _step_bar(begin, rest, scale, " rest")))
    return Lane(max(total, whole_ns or 0.0), tuple(rows))


def _step_bar(begin: float, length: float, scale: float, style: str) -> Markup:
    width = max(0.7, 100.0 * length / scale)
    x = min(100.0 - width, 100.0 * begin / scale)
    return Markup(  # noqa: S704
        f'<svg class="step{style}" height="12" aria-hidden="true">'
        f'<rect x="{max(0.0, x):.4g}%" y="2" width="{width:.4g}%" height="8" rx="1.5"/></svg>'
    )


def trend_plot(trend: Trend) -> Markup:
    """A figure over runs on a linear scale, oldest left; one dot per run, with its name and value as a tooltip."""
    values = [point.value for point in trend.points]
    drawn = list(values)
    near = trend.budget is not None and max(values) >= _NEAR_BUDGET * trend.budget
    if near and trend.budget is not None:
        drawn.append(trend.budget)
    low, high = min(drawn), max(drawn)
    span = (high - low) or 1.0

    def y(value: float) -> float:
        return _TREND_HEIGHT / 2 if high == low else 6 + (_TREND_HEIGHT - 12) * (high - value) / span

    def x(place: int) -> float:
        return 50.0 if len(values) == 1 else 2 + 96.0 * place / (len(values) - 1)

    parts = []
    if near and trend.budget is not None:
        parts.append(
            f'<line class="limit" x1="0" x2="100%" y1="{y(trend.budget):.4g}" y2="{y(trend.budget):.4g}"/>'
        )
    parts += [
        f'<line class="moved" x1="{x(place) - 48 / len(values):.4g}%" x2="{x(place) - 48 / len(values):.4g}%" '
        f'y1="0" y2="{_TREND_HEIGHT}"/>'
        for place, point in enumerate(trend.points)
        if point.moved
    ]
    parts += [
        f'<line class="way" x1="{x(place):.4g}%" y1="{y(first):.4g}" x2="{x(place + 1):.4g}%" y2="{y(second):.4g}"/>'
        for place, (first, second) in enumerate(itertools.pairwise(values))
    ]
    unit = trend.unit
    for place, point in enumerate(trend.points):
        style = f"v-{point.verdict}" + ("" if point.alike else " w")
        size = 4 if place == len(values) - 1 else 3
        said = escape(f"{point.run}: {figure_text(point.value)} {unit}, {point.verdict}")
        where = f'cx="{x(place):.4g}%" cy="{y(point.value):.4g}" r="{size}"'
        parts.append(f'<circle class="{style}" {where}><title>{said}</title></circle>')
    label = escape(
        f"{trend.stage}: {len(values)} runs from {figure_text(min(values))} to {figure_text(max(values))} {unit}, "
        f"newest {figure_text(values[-1])}"
    )
    return Markup(  # noqa: S704
        f'<svg class="plot" height="{_TREND_HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )


def trend_word(trend: Trend) -> str:
    """The newest figure relative to the median of earlier figures with the same inputs."""
    before = [point.value for point in trend.points[:-1] if point.alike]
    if not before:
        return ""
    middle = statistics.median(before)
    newest = trend.points[-1].value
    if newest == middle:
        return "="
    return f"{newest / middle - 1:+.1%}" if middle else ""


def share_bar(value: float, whole: float) -> Markup:
    """A bar with the length of `value` relative to `whole`."""
    return _step_bar(0.0, value, whole or 1.0, "")
