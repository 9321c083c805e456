"""A sample is judged as it would be on a quiet machine, and slow code stays slow on a busy one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ai.reference import Reference
from contracts.measurement import Budget, Clock, Stat, Verdict
from harness.judge.budgets import judge
from harness.judge.stopwatch import Stopwatch
from harness.machine import pace as pace_module
from harness.machine.pace import Pace

BUDGETS = {("generate", Clock.HOST): Budget("generate", Stat.P99, "ms", Clock.HOST, 3, 0, 100.0)}
QUIET_NS = 1e6


class Machine:
    """A reference on a machine whose slow-down and runnable tasks a test sets: a real one does not do as it is told."""

    key = "fixed"

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.slow_down = 1.0
        self.busy = False
        patch.setattr(pace_module, "_runnable", lambda: 99 if self.busy else 1)

    def run(self) -> float:
        return QUIET_NS * self.slow_down


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def measured(machine: Machine, pace: Pace, own_ms: float, around: list[tuple[float, float]]) -> Stopwatch:
    """Samples of a stage that takes `own_ms` on a quiet machine, with the slow-downs before and after each."""
    watch = Stopwatch()
    for before, after in around:
        machine.slow_down = before
        before_ns = pace.now_ns()
        machine.slow_down = after
        watch.add_paced("generate", pace.paced(own_ms * 1e6 * (before + after) / 2, before_ns, pace.now_ns()))
    return watch


def verdict(watch: Stopwatch) -> tuple[Verdict, float | None, float | None]:
    (measurement,) = watch.measurements()
    judged = judge(measurement, BUDGETS)
    return judged.verdict, judged.value, judged.raw


def test_load_alone_misses_no_limit_and_both_figures_stand_in_the_row(
    machine: Machine, tmp_path: Path
) -> None:
    pace = Pace(machine, tmp_path)
    machine.busy = True
    found, value, raw = verdict(measured(machine, pace, 69.0, [(1.7, 1.7), (1.5, 1.6), (2.0, 1.0)]))
    assert found is Verdict.PASS
    assert value == pytest.approx(69.0)
    assert raw == pytest.approx(69.0 * 1.7)


@pytest.mark.parametrize("around", [[(1.0, 1.0)] * 3, [(1.7, 1.6)] * 3], ids=["quiet", "busy"])
def test_twice_the_time_is_a_failure_on_a_quiet_and_on_a_busy_machine(
    machine: Machine, tmp_path: Path, around: list[tuple[float, float]]
) -> None:
    pace = Pace(machine, tmp_path)
    machine.busy = True
    assert verdict(measured(machine, pace, 2 * 69.0, around))[0] is Verdict.FAIL


def test_a_quiet_machines_own_spread_moves_no_limit(machine: Machine, tmp_path: Path) -> None:
    pace = Pace(machine, tmp_path)
    found, value, raw = verdict(measured(machine, pace, 101.0, [(1.05, 1.09)] * 3))
    assert (found, value) == (Verdict.FAIL, raw)


def test_a_slow_down_that_changes_by_more_than_a_fifth_leaves_it_open(
    machine: Machine, tmp_path: Path
) -> None:
    pace = Pace(machine, tmp_path)
    assert verdict(measured(machine, pace, 105.0, [(1.6, 1.2)] * 3))[0] is Verdict.INCONCLUSIVE
    assert verdict(measured(machine, pace, 105.0, [(1.6, 1.4)] * 3))[0] is Verdict.FAIL
    assert verdict(measured(machine, pace, 200.0, [(1.6, 1.2)] * 3))[0] is Verdict.FAIL


def test_a_machine_that_was_never_seen_quiet_is_not_held_to_its_busy_pace(
    machine: Machine, tmp_path: Path
) -> None:
    machine.busy, machine.slow_down = True, 1.7
    pace = Pace(machine, tmp_path)
    assert not pace.quiet.proven
    assert verdict(measured(machine, pace, 69.0, [(1.7, 1.7)] * 3))[0] is Verdict.INCONCLUSIVE
    assert verdict(measured(machine, pace, 69.0 * 2, [(1.7, 1.7)] * 3))[0] is Verdict.FAIL


def test_the_quiet_pace_is_kept_for_later_processes_and_a_damaged_file_is_begun_anew(
    machine: Machine, tmp_path: Path
) -> None:
    Pace(machine, tmp_path)
    machine.busy, machine.slow_down = True, 1.7
    later = Pace(machine, tmp_path)
    assert (later.quiet.ns, later.quiet.proven) == (QUIET_NS, True)
    (kept,) = tmp_path.iterdir()
    for text in ("", "[]", '{"ns": -1.0, "proven": true}', '{"ns": "1", "proven": true}'):
        kept.write_text(text)
        assert not Pace(machine, tmp_path).quiet.proven
    assert json.loads(kept.read_text()) == {"ns": QUIET_NS * 1.7, "proven": False}


def test_the_reference_is_a_short_evaluation_that_repeats(tmp_path: Path) -> None:
    reference = Reference()
    pace = Pace(reference, tmp_path)
    assert 1e4 < pace.quiet.ns < 1e8
    assert pace.quiet.ns <= pace.now_ns()
    assert Reference().key == reference.key
