"""`assay compare A B`: judges virtual figures of equal inputs, shows host figures without judging them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from contracts.errors import ConfigError
from contracts.measurement import Clock, Stat, Verdict
from contracts.stages import Stage as JourneyStage
from harness.judge.budgets import percentile
from harness.judge.change import (
    DEFAULT_THRESHOLD,
    Change,
    HostChange,
    host_table,
    percent_text,
    ratio_interval,
)
from harness.runs.compare_tests import compare_sessions
from harness.runs.figures import Board, Figures, Situation, load
from harness.terminal.table import plain_table

_SHOWN: Final = 5  # number of situations to list per stage, worst first


@dataclass(frozen=True, slots=True)
class StageChange:
    """A board's stage on the virtual clock, over the inputs that both documents share.

    `situations` holds the changes by situation; `alike` of `total` situations had the same input and program.
    `threshold` is the growth in percent above which a figure is a regression.
    """

    kind: str
    stat: Stat
    figure: Change
    situations: tuple[tuple[Situation, Change], ...]
    alike: int
    total: int
    threshold: float

    @property
    def is_regression(self) -> bool:
        """Whether the stage's statistic or any situation is above the threshold."""
        return self.figure.grew_by_more_than(self.threshold) or bool(self.slower)

    @property
    def slower(self) -> list[tuple[Situation, Change]]:
        """The situations above the threshold, worst first."""
        above = [item for item in self.situations if item[1].grew_by_more_than(self.threshold)]
        return sorted(above, key=lambda item: item[1].ratio, reverse=True)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What two documents have in common, and in `missing` what only one has or could not be judged."""

    virtual: tuple[StageChange, ...]
    host: tuple[HostChange, ...]
    missing: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """`fail` on a virtual regression; `inconclusive` if no virtual figure was comparable."""
        if any(change.is_regression for change in self.virtual):
            return Verdict.FAIL
        return Verdict.PASS if self.virtual else Verdict.INCONCLUSIVE


def compare(before: Figures, after: Figures, threshold: float = DEFAULT_THRESHOLD) -> Comparison:
    """Compare two documents, board by board and stage by stage. `threshold`: allowed growth in percent."""
    virtual: list[StageChange] = []
    host: list[HostChange] = []
    missing = _only_one(before.boards, after.boards, "board ", before, after)
    for kind in before.boards:
        if kind not in after.boards:
            continue
        old, new = before.boards[kind], after.boards[kind]
        missing += [f"{kind} of {who} ended early: {board.error.splitlines()[0]}"
                    for who, board in ((before.label, old), (after.label, new)) if board.error]  # fmt: skip
        stages, notes = _virtual(old, new, before, after, threshold)
        virtual += stages
        missing += notes
        host += _host(old, new)
    return Comparison(tuple(virtual), tuple(host), tuple(missing))


def _only_one(
    old: Collection[str], new: Collection[str], what: str, before: Figures, after: Figures
) -> list[str]:
    """One line for each name that only one document has."""
    gone = [f"{what}{name}: in {before.label}, not in {after.label}" for name in old if name not in new]
    return gone + [
        f"{what}{name}: in {after.label}, not in {before.label}" for name in new if name not in old
    ]


def _virtual(
    old: Board, new: Board, before: Figures, after: Figures, threshold: float
) -> tuple[list[StageChange], list[str]]:
    """The virtual stages of one board type, and notes on what could not be judged."""
    olds, news = old.rows(Clock.VIRTUAL), new.rows(Clock.VIRTUAL)
    notes = _only_one(olds, news, f"{old.kind} stage ", before, after)
    known = {situation.identity: situation for situation in old.situations}
    pairs = [(known[s.identity], s) for s in new.situations if s.identity in known]
    total = max(len(old.situations), len(new.situations))
    out: list[StageChange] = []
    for stage in JourneyStage:
        if stage not in olds or stage not in news:
            continue
        row = olds[stage]
        changes = tuple(
            (situation, Change(stage, first.virtual[stage][-1], situation.virtual[stage][-1]))
            for first, situation in pairs
            if first.virtual.get(stage) and situation.virtual.get(stage)
        )
        stat = row.stat or Stat.MAX
        if len(pairs) == total and row.stat is news[stage].stat:
            figure = Change(stage, row.in_samples_unit, news[stage].in_samples_unit)
        elif changes:
            figure = Change(
                stage,
                _statistic(stat, [c.before for _, c in changes]),
                _statistic(stat, [c.after for _, c in changes]),
            )
        else:
            notes.append(f"{old.kind} stage {stage}: not judged, no situation is the same in both")
            continue
        out.append(StageChange(old.kind, stat, figure, changes, len(pairs), total, threshold))
    return out, notes


def _statistic(stat: Stat, samples: Sequence[float]) -> float:
    """A stage's statistic over the shared inputs, with the rules of `harness.judge.budgets`."""
    ranks = {Stat.MAX: 100, Stat.P99: 99, Stat.MEDIAN: 50, Stat.P1: 1, Stat.MIN: 0}
    return percentile(samples, ranks[stat])


def _host(old: Board, new: Board) -> list[HostChange]:
    """The stages of one board type on inexact clocks, from the samples of its situations after the warm-up."""
    out = []
    for stage in JourneyStage:
        for clock in (Clock.HOST, Clock.HARDWARE):
            before, after = _samples(old, stage, clock), _samples(new, stage, clock)
            if before and after:
                figure = Change(stage, statistics.median(before), statistics.median(after))
                out.append(HostChange(old.kind, figure, ratio_interval(before, after), clock))
    return out


def _samples(board: Board, stage: str, clock: Clock) -> list[float]:
    return [value for s in board.situations if not s.warmup for value in s.samples(clock).get(stage, [])]


def _reading(change: StageChange) -> str:
    if change.is_regression:
        return "[bold red]regression[/]"
    if change.figure.ratio > 1:
        return f"grew, within {change.threshold:g}%"
    improved = change.figure.is_improvement or any(c.is_improvement for _, c in change.situations)
    return "[green]improvement[/]" if improved else "same"


def virtual_table(comparison: Comparison, before: str, after: str) -> Table:
    """Stages on the virtual clock: instruction counts and their changes."""
    table = plain_table(
        "~board", "stage", "stat", ">before", ">after", ">change", ">worst", ">alike", "~reading"
    )
    table.title = f"instructions, {before} -> {after}; worst: of the situations alike in both"
    for change in comparison.virtual:
        worst = max((c.ratio for _, c in change.situations), default=1.0)
        table.add_row(
            change.kind,
            change.figure.stage,
            change.stat.value,
            f"{change.figure.before:,.0f}",
            f"{change.figure.after:,.0f}",
            percent_text(change.figure.ratio),
            percent_text(worst) if change.situations else "-",
            f"{change.alike}/{change.total}",
            _reading(change),
        )
    return table


def compare_runs(
    console: Console, before: str, after: str, results: Path, threshold: float = DEFAULT_THRESHOLD
) -> int:
    """Compare two runs or two test sessions by name and print the result.

    `threshold` is in percent: a virtual figure that grew by more is a regression. Raises ConfigError for a threshold
    that is not a number of 0 or more.

    `last` as the second name is the last run of the first one's job. Returns 1 on a virtual regression, 76 if nothing
    was comparable.
    """
    if not 0 <= threshold < math.inf:
        raise ConfigError(
            f"no threshold: {threshold:g}",
            expected="a percentage, 0 or more",
            seen=f"{threshold:g}",
            do="set --threshold to a number such as 1 or 0.5",
        )
    old = load(before, results)
    new = load(after, results, job=old.document.run.job)
    if old.document.run.job != new.document.run.job:
        jobs = old.document.run.job, new.document.run.job
        console.print(
            f"nothing to judge: {old.label} has the job `{jobs[0]}`, {new.label} the job `{jobs[1]}`",
            soft_wrap=True,
        )
        return Verdict.INCONCLUSIVE.exit_code
    if old.document.run.job != "run":
        return compare_sessions(console, old, new, threshold)
    comparison = compare(old, new, threshold)
    if comparison.virtual:
        console.print(virtual_table(comparison, old.label, new.label))
    for change in comparison.virtual:
        _print_situations(console, change)
    if comparison.host:
        console.print(host_table(comparison.host))
    for line in comparison.missing:
        console.print(line, markup=False)
    regressions = sum(change.is_regression for change in comparison.virtual)
    console.print(
        f"{len(comparison.virtual)} virtual figures compared, regressions above {threshold:g}%: {regressions}"
    )
    if not comparison.virtual:
        seed, count = old.document.run.seed, old.document.run.situations
        console.print(
            f"nothing to judge: compare runs of one seed (`assay run --seed {seed} --situations {count}`)",
            markup=False,
        )
    return comparison.verdict.exit_code


def _print_situations(console: Console, change: StageChange) -> None:
    """The situations that regressed, worst first."""
    slower = change.slower
    for situation, item in slower[:_SHOWN]:
        console.print(
            f"{change.kind} {item.stage}, situation {situation.index} ({situation.family}, seed {situation.seed}): "
            f"{item.before:,.0f} -> {item.after:,.0f} instructions, {percent_text(item.ratio)}",
            markup=False,
        )
    if len(slower) > _SHOWN:
        console.print(
            f"{change.kind} {change.figure.stage}: {len(slower) - _SHOWN} more situations regressed"
        )
