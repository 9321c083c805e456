"""Budgets: samples become verdicts by the table of DESIGN, and bad budget files say where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from contracts.errors import BudgetExceeded, ConfigError
from contracts.measurement import Budget, Clock, Measurement, Stat, Verdict
from contracts.root import ROOT
from harness.judge.budgets import DEFAULT_BUDGETS, Budgets, Judged, judge, load_budgets, percentile, worst

SCHEMA = ROOT / "docs" / "schemas" / "run.schema.json"

VERIFY = Budget("verify", Stat.MAX, "ms", Clock.VIRTUAL, 1, 0, 10.0, 0.1)
GENERATE = Budget("generate", Stat.P99, "ms", Clock.HOST, 20, 1, 100.0, 50.0)
BUDGETS = {("verify", Clock.VIRTUAL): VERIFY, ("generate", Clock.HOST): GENERATE}


def _verify(*ms: float) -> Measurement:
    return Measurement("verify", Clock.VIRTUAL, tuple(value * 1e6 for value in ms))


def test_virtual_figures_are_judged_by_their_maximum() -> None:
    judged = judge(_verify(1, 8, 2), BUDGETS)
    assert (judged.value, judged.unit, judged.verdict) == (8.0, "ms", Verdict.PASS)
    assert judge(_verify(1, 10.001, 2), BUDGETS).verdict is Verdict.FAIL


def test_a_figure_within_a_tenth_of_its_limit_is_marginal() -> None:
    assert judge(_verify(9.0), BUDGETS).verdict is Verdict.PASS
    assert judge(_verify(9.01), BUDGETS).verdict is Verdict.MARGINAL
    assert judge(_verify(10.0), BUDGETS).verdict is Verdict.MARGINAL


def test_too_few_samples_are_inconclusive_and_never_a_pass() -> None:
    samples = (1e6,) * 20  # one of them is warm-up
    assert judge(Measurement("generate", Clock.HOST, samples), BUDGETS).verdict is Verdict.INCONCLUSIVE
    assert judge(Measurement("generate", Clock.HOST, (*samples, 1e6)), BUDGETS).verdict is Verdict.PASS
    assert judge(Measurement("verify", Clock.VIRTUAL, ()), BUDGETS).verdict is Verdict.INCONCLUSIVE


def test_warm_up_samples_are_dropped_before_judging() -> None:
    samples = (9e9, *(1e6,) * 20)
    assert judge(Measurement("generate", Clock.HOST, samples), BUDGETS).max == 1.0


def test_a_limit_missed_only_by_waiting_for_a_processor_is_inconclusive() -> None:
    adapt = Budget("adapt", Stat.P99, "ms", Clock.HOST, 2, 0, 1000.0)
    budgets = {("adapt", Clock.HOST): adapt}
    samples = (300e6, 1200e6)
    assert judge(Measurement("adapt", Clock.HOST, samples), budgets).verdict is Verdict.FAIL
    busy = judge(Measurement("adapt", Clock.HOST, samples, waited=(0.0, 400e6)), budgets)
    assert busy.verdict is Verdict.INCONCLUSIVE
    assert "noisy host" in busy.reason
    slow = judge(Measurement("adapt", Clock.HOST, samples, waited=(0.0, 100e6)), budgets)
    assert slow.verdict is Verdict.FAIL


def test_a_budget_is_never_applied_to_another_clock() -> None:
    judged = judge(Measurement("verify", Clock.HOST, (1e12,)), BUDGETS)
    assert judged.limit is None
    assert judged.verdict is Verdict.PASS


def test_a_missed_stretch_is_shown_and_does_not_fail() -> None:
    judged = judge(_verify(5), BUDGETS)
    assert judged.missed_stretch
    assert judged.verdict is Verdict.PASS


def test_below_a_hundred_samples_the_99th_percentile_is_the_maximum() -> None:
    assert percentile(list(range(99)), 99) == 98
    assert percentile(list(range(200)), 99) == 197


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["pass", "infra", "fail"], Verdict.FAIL),
        (["pass", "inconclusive", "infra"], Verdict.INFRA),
        (["pass", "inconclusive", "marginal"], Verdict.INCONCLUSIVE),
        (["pass", "skip", "marginal"], Verdict.MARGINAL),
        (["skip", "skip"], Verdict.INCONCLUSIVE),
    ],
)
def test_the_worst_verdict_of_many(verdicts: list[str], expected: Verdict) -> None:
    assert worst([Verdict(v) for v in verdicts]) is expected


def test_every_seed_budget_is_in_the_shipped_file() -> None:
    budgets = load_budgets(DEFAULT_BUDGETS)
    limits_ns = {
        budget.stage: budget.limit * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "%": 0}[budget.unit]
        for budget in budgets.values()
    }
    seed = {
        "generate": 100e6, "verify": 10e6, "jit": 5e6, "deploy": 1e6, "execute": 1e3, "wasm_call": 10e3,
        "adapt": 1e9, "rollback": 100e6,
    }  # fmt: skip
    assert {stage: limits_ns[stage] for stage in seed} == seed


@pytest.mark.parametrize(
    ("broken", "hint"),
    [
        ("limti: 10", "limit"),
        ("limit: ten", "number"),
        ("limit: 10, stage: verfy", "verify"),
    ],
)
def test_a_typo_in_a_budget_file_is_named_with_file_and_line(tmp_path: Path, broken: str, hint: str) -> None:
    stage = "" if "stage:" in broken else "stage: verify, "
    path = tmp_path / "budgets.yaml"
    path.write_text(
        "schema: 1\nbudgets:\n"
        f"  - {{{stage}stat: max, unit: ms, clock: virtual, min_samples: 1, warmup: 0, {broken}}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_budgets(path)
    assert f"{path}:3" in str(caught.value)
    assert hint in str(caught.value)


def test_a_test_asks_a_budget_by_stage_and_its_one_clock() -> None:
    budget = Budgets.load()
    judged = budget("verify").judge([70_000, 4_000_000])
    assert (judged.clock, judged.value, judged.unit, judged.verdict) == (
        Clock.VIRTUAL,
        4.0,
        "ms",
        Verdict.PASS,
    )
    assert budget("verify", "virtual") == budget("verify", Clock.VIRTUAL)
    assert budget("unadapted").judge([30.0], unit="%").verdict is Verdict.FAIL


def test_a_missed_budget_says_figure_and_limit_and_nothing_else_raises() -> None:
    budget = Budgets(BUDGETS)
    for samples, verdict in (((1e6,), "pass"), ((9.5e6,), "marginal"), ((), "inconclusive")):
        assert budget("verify").judge(samples).demand().verdict == verdict
    with pytest.raises(BudgetExceeded) as caught:
        budget("verify").judge([1e6, 12.5e6]).demand()
    assert "12.5 ms is above the limit of 10 ms" in str(caught.value)


def test_strict_budgets_make_marginal_a_failure_and_say_so() -> None:
    strict = Budgets(BUDGETS, strict=True)
    judged = strict("verify").judge([9.5e6])
    assert judged.verdict is Verdict.FAIL
    assert "strict" in judged.reason
    assert strict("verify").judge([5e6]).verdict is Verdict.PASS  # a missed stretch stays no failure
    assert strict("verify").judge([]).verdict is Verdict.INCONCLUSIVE


def test_a_stage_without_a_budget_for_the_clock_is_reported_by_the_test_too() -> None:
    judged = Budgets(BUDGETS)("verify", Clock.HARDWARE).judge([1e12])
    assert (judged.limit, judged.verdict) == (None, Verdict.PASS)


@pytest.mark.parametrize(
    ("stage", "clock", "hint"),
    [
        ("verfy", None, "did you mean 'verify'"),
        ("verify", "virtaul", "virtual"),
        ("observe", None, "no budget of that stage"),
    ],
)
def test_a_budget_that_does_not_exist_is_a_usage_error(stage: str, clock: str | None, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        Budgets(BUDGETS)(stage, clock)


@pytest.mark.parametrize("samples", [(), (5e6,), (9.5e6,), (12e6,)])
def test_a_judged_figure_comes_back_from_json_as_it_went(samples: tuple[float, ...]) -> None:
    for judged in (Budgets(BUDGETS)("verify").judge(samples), Budgets({})("verify", "host").judge(samples)):
        row = json.loads(json.dumps(judged.to_json()))
        stage = json.loads(SCHEMA.read_text())
        jsonschema.validate(row, {**stage, **stage["$defs"]["stage"]})
        assert Judged.from_json(row | {"of a later version": 1}) == judged
    with pytest.raises(ConfigError, match="verdict"):
        Judged.from_json(row | {"verdict": "fine"})
