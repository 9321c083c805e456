"""`assay compare A B` of two test sessions: compares what each test measured, judges virtual figures."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.measurement import Clock, Direction, Verdict
from harness.judge.change import Change, HostChange, host_table, percent_text, ratio_interval
from harness.runs.figures import Figures, Measured, TestRow
from harness.terminal.table import plain_table

_Key = tuple[str, str, Clock, int]
"""Test id, stage, clock, and the index among the test's measurements of that stage."""


@dataclass(frozen=True, slots=True)
class TestChange:
    """What one test measured on the virtual clock, in both sessions; `samples` are its inputs, one by one.

    `threshold` is the growth in percent above which a figure is a regression.
    """

    __test__ = False  # not a pytest test case

    test: str
    stat: str
    figure: Change
    samples: tuple[Change, ...]
    threshold: float

    @property
    def worst(self) -> float:
        """How much worse the figure, or its worst sample, has become: 1 means no change."""
        return max(self.figure.harm, *(sample.harm for sample in self.samples), 0.0)

    @property
    def is_regression(self) -> bool:
        """Whether the figure or any sample is above the threshold."""
        return any(change.grew_by_more_than(self.threshold) for change in (self.figure, *self.samples))

    @property
    def reading(self) -> str:
        """The conclusion for the table."""
        if self.is_regression:
            return "[bold red]regression[/]"
        if self.worst > 1:
            grew = "grew" if self.figure.direction is Direction.AT_MOST else "shrank"
            return f"{grew}, within {self.threshold:g}%"
        better = self.figure.is_improvement or any(sample.is_improvement for sample in self.samples)
        return "[green]improvement[/]" if better else "same"


def _measured(figures: Figures) -> dict[_Key, tuple[TestRow, Measured]]:
    """Every figure that the session's tests measured."""
    found: dict[_Key, tuple[TestRow, Measured]] = {}
    for test in figures.document.tests:
        for row in test.measurements:
            nth = 0
            while (key := (test.id, row.name, row.clock, nth)) in found:
                nth += 1
            if row.value is not None:
                found[key] = (test, row)
    return found


def session_changes(
    before: Figures, after: Figures, threshold: float
) -> tuple[list[TestChange], list[HostChange], list[str]]:
    """Virtual changes, host changes, and a line for each figure that could not be judged.

    Sessions with different seeds have no equal inputs. A figure is judged if both sessions have it with the same
    statistic and the same number of samples.
    """
    old, new = _measured(before), _measured(after)
    virtual: list[TestChange] = []
    host: list[HostChange] = []
    notes = [f"{_name(key)}: in {before.label}, not in {after.label}" for key in old if key not in new]
    notes += [f"{_name(key)}: in {after.label}, not in {before.label}" for key in new if key not in old]
    if before.document.run.seed != after.document.run.seed:
        notes.append(
            f"{before.label} has seed {before.document.run.seed}, {after.label} {after.document.run.seed}"
        )
        return [], [], notes
    for key, (test, was) in old.items():
        if key not in new:
            continue
        now = new[key][1]
        if was.own_unit and was.unit != now.unit:
            notes.append(f"{_name(key)}: not judged, in {was.unit} before, in {now.unit} after")
        elif was.clock is not Clock.VIRTUAL:
            host += _host_change(test.id, was, now)
        elif (was.stat, was.samples) == (now.stat, now.samples):
            alike = len(was.samples_list) == len(now.samples_list)
            pairs = zip(was.samples_list, now.samples_list, strict=True) if alike else ()
            samples = tuple(Change(was.name, first, second, now.direction) for first, second in pairs)
            figure = Change(was.name, was.in_samples_unit, now.in_samples_unit, now.direction)
            stat = was.stat.value if was.stat else ""
            virtual.append(TestChange(test.id, stat, figure, samples, threshold))
        else:
            notes.append(f"{_name(key)}: not judged, {_why(was, now)}")
    return virtual, host, notes


def _name(key: _Key) -> str:
    test, stage, clock, nth = key
    return f"{test}: {stage} ({clock.value}{f', measurement {nth + 1}' if nth else ''})"


def _why(was: Measured, now: Measured) -> str:
    return f"{was.stat} of {was.samples} samples before, {now.stat} of {now.samples} after"


def _host_change(test: str, was: Measured, now: Measured) -> list[HostChange]:
    before = was.samples_list or [was.in_samples_unit]
    after = now.samples_list or [now.in_samples_unit]
    figure = Change(was.name, statistics.median(before), statistics.median(after), now.direction)
    return [HostChange(test, figure, ratio_interval(before, after), was.clock, now.own_unit)]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.6g}"


def _virtual_table(changes: list[TestChange], before: str, after: str) -> Table:
    table = plain_table("~test", "stage", "stat", ">before", ">after", ">change", ">worst", "~reading")
    table.title = f"instructions, {before} -> {after}; worst: of the samples"
    for change in changes:
        table.add_row(
            escape(change.test),
            change.figure.stage,
            change.stat,
            _count(change.figure.before),
            _count(change.figure.after),
            percent_text(change.figure.ratio),
            percent_text(max(change.samples, key=lambda sample: sample.harm).ratio)
            if change.samples
            else "-",
            change.reading,
        )
    return table


def compare_sessions(console: Console, before: Figures, after: Figures, threshold: float) -> int:
    """Print what two sessions' tests measured; judges virtual figures with a threshold in percent.

    Returns 1 on a virtual regression, 76 if nothing was comparable.
    """
    virtual, host, notes = session_changes(before, after, threshold)
    if virtual:
        console.print(_virtual_table(virtual, before.label, after.label))
    if host:
        console.print(host_table(host, "test"))
    for line in notes:
        console.print(line, markup=False, soft_wrap=True)
    regressions = sum(change.is_regression for change in virtual)
    console.print(f"{len(virtual)} virtual figures compared, regressions above {threshold:g}%: {regressions}")
    if not virtual:
        console.print("nothing to judge: compare sessions of the same tests with one --seed", markup=False)
        return Verdict.INCONCLUSIVE.exit_code
    return Verdict.FAIL.exit_code if regressions else 0
