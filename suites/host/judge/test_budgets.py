"""Budgets: samples become verdicts as documented, and mistakes in budget files are reported with their location."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from contracts.errors import BudgetExceeded, ConfigError
from contracts.measurement import Budget, Clock, Measurement, Samples, Stat, Verdict
from contracts.root import ROOT
from contracts.stages import Stage
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
        (budget.stage, budget.clock): budget.limit
        * {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "%": 0}[budget.unit]
        for budget in budgets.values()
    }
    seed = {
        "generate": 100e6, "verify": 10e6, "jit": 5e6, "deploy": 1e6, "execute": 1e3, "wasm_call": 10e3,
        "adapt": 1e9, "rollback": 100e6,
    }  # fmt: skip
    for stage, limit in seed.items():
        assert {clock: limits_ns[stage, clock] for clock in Stage(stage).clocks} == dict.fromkeys(
            Stage(stage).clocks, limit
        ), "each on every clock that it can be measured on"
    for (_, clock), budget in budgets.items():
        if clock is Clock.HARDWARE:
            assert (budget.stat, budget.warmup) == (Stat.P99, 1)
            assert budget.min_samples > 10


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


def test_a_test_asks_a_budget_by_stage_and_its_samples_say_the_clock() -> None:
    budget = Budgets.load()
    judged = budget("verify").judge(Samples(Clock.VIRTUAL, (70_000, 4_000_000)))
    assert (judged.clock, judged.value, judged.unit, judged.verdict) == (
        Clock.VIRTUAL,
        4.0,
        "ms",
        Verdict.PASS,
    )
    assert budget("verify", "virtual") == budget("verify", Clock.VIRTUAL)
    assert budget("unadapted").judge([30.0], unit="%").verdict is Verdict.FAIL


def test_a_limit_of_another_clock_is_refused() -> None:
    hardware = Samples(Clock.HARDWARE, (5e6,))
    with pytest.raises(
        ConfigError, match="samples of the hardware clock are not judged by the virtual limit"
    ):
        Budgets.load()("verify", "virtual").judge(hardware)
    with pytest.raises(ValueError, match="cannot be combined"):
        _ = hardware + Samples(Clock.VIRTUAL, (1,))


def test_plain_numbers_of_a_stage_of_the_board_need_a_clock_even_where_the_file_has_one() -> None:
    for budgets in (Budgets.load(), Budgets(BUDGETS)):
        with pytest.raises(ConfigError, match="samples of verify without a clock"):
            budgets("verify").judge([5e6])
    assert Budgets(BUDGETS)("generate").judge([5e6] * 21).verdict is Verdict.PASS, "the host has one clock"


def test_samples_of_the_hardware_clock_are_judged_in_time_and_say_what_stood_in_for_a_board() -> None:
    judged = Budgets.load()("verify").judge(Samples(Clock.HARDWARE, (99e6, *(2e6,) * 16), "QEMU"))
    assert (judged.clock, judged.value, judged.unit, judged.stat) == (Clock.HARDWARE, 2.0, "ms", Stat.P99)
    assert (judged.verdict, judged.source, judged.to_json()["source"]) == (Verdict.PASS, "QEMU", "QEMU")
    few = Budgets.load()("verify").judge(Samples(Clock.HARDWARE, (2e6,) * 16))
    assert few.verdict is Verdict.INCONCLUSIVE, "one of them is the warm-up"


def test_a_budget_for_the_boards_other_clock_alone_is_not_judged_and_not_a_pass() -> None:
    judged = judge(Measurement("verify", Clock.HARDWARE, (1e6,)), BUDGETS)
    assert (judged.limit, judged.verdict) == (None, Verdict.INCONCLUSIVE)
    assert judged.reason == (
        "not judged: measured on the hardware clock, and the budget is only for the virtual clock"
    )
    assert judge(Measurement("verify", Clock.HARDWARE, ()), BUDGETS).verdict is Verdict.SKIP, "it did not run"
    assert judge(Measurement("unseal", Clock.HARDWARE, (1e6,)), BUDGETS).verdict is Verdict.PASS, "reported"


OWN = """schema: 1
budgets:
  - {name: boot_time, stat: p99, unit: s, clock: host, min_samples: 3, warmup: 1, at_most: 4, stretch: 2}
  - {name: throughput, stat: min, unit: packets/s, clock: hardware, min_samples: 2, warmup: 0, at_least: 1000}
"""


def test_measurements_of_ones_own_have_any_unit_and_a_direction(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    budget = Budgets.load(path)
    boot = budget("boot_time").judge([9.0, 3.0, 3.5, 2.5])
    assert (boot.value, boot.unit, boot.verdict, boot.missed_stretch) == (3.5, "s", Verdict.PASS, True)
    assert budget("boot_time").judge([9000.0, 3000, 3500, 4100], unit="ms").verdict is Verdict.FAIL
    fast = budget("throughput").judge([1500.0, 1200.0])
    assert (fast.value, fast.unit, fast.verdict) == (1200.0, "packets/s", Verdict.PASS)
    assert budget("throughput").judge([1500.0, 1050.0]).verdict is Verdict.MARGINAL
    slow = budget("throughput").judge([1500.0, 900.0])
    assert slow.reason == "900 of at least 1,000 packets/s: below the limit"
    with pytest.raises(BudgetExceeded, match="min of 2 samples of at least 1,000 packets/s"):
        slow.demand()
    assert slow.to_json()["direction"] == "at_least"
    with pytest.raises(ConfigError, match="did you mean 'throughput'"):
        budget("thruoghput")
    with pytest.raises(ConfigError, match="no limit on the host clock"):
        budget("throughput", "host")
    with pytest.raises(ConfigError, match="samples of throughput in 'ms'"):
        budget("throughput").judge([1.0], unit="ms")
    with pytest.raises(ConfigError, match="not judged by the hardware limit"):
        budget("throughput").judge(Samples(Clock.VIRTUAL, (1e6, 1e6)))


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ("stage: verfy, clock: virtual, unit: ms, limit: 1", "did you mean 'verify'"),
        ("stage: boot_time, clock: host, unit: s, limit: 1", "`name: boot_time`"),
        ("name: verfy, clock: host, unit: s, at_most: 1", "did you mean `stage: verify`"),
        ("name: boot_time, clock: host, unit: s", "`at_most` or `at_least`"),
        ("name: boot_time, clock: host, unit: s, at_most: 1, at_least: 0", "one limit"),
        ("name: boot_time, clock: host, unit: s, limit: 1", "`at_most` or `at_least`"),
        ("name: boot_time, clock: host, unit: s, at_mots: 1", "did you mean 'at_most'"),
        ("name: boot_time, clock: host, unit: s, at_least: 5, stretch: 4", "stretch"),
        ("name: Boot time, clock: host, unit: s, at_most: 1", "pattern"),
        ("clock: host, unit: s, at_most: 1", "`stage`"),
        ("stage: verify, clock: virtual, unit: A, limit: 1", "unit of a stage"),
        ("stage: verify, clock: virtual, unit: ms, at_most: 1", "given as `limit`"),
    ],
)
def test_a_bad_row_of_ones_own_or_of_ours_is_told_with_its_line(tmp_path: Path, row: str, hint: str) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text(f"schema: 1\nbudgets:\n  - {{{row}, stat: max, min_samples: 1, warmup: 0}}\n")
    with pytest.raises(ConfigError) as caught:
        load_budgets(path)
    assert f"{path}:3" in str(caught.value)
    assert hint in str(caught.value)


def test_a_missed_budget_says_figure_and_limit_and_nothing_else_raises() -> None:
    budget = Budgets(BUDGETS)
    for samples, verdict in (((1e6,), "pass"), ((9.5e6,), "marginal"), ((), "inconclusive")):
        assert budget("verify", "virtual").judge(samples).demand().verdict == verdict
    with pytest.raises(BudgetExceeded) as caught:
        budget("verify", "virtual").judge([1e6, 12.5e6]).demand()
    assert "12,500 of 10,000 us: above the limit" in str(caught.value)


def test_strict_budgets_make_marginal_a_failure_and_say_so() -> None:
    strict = Budgets(BUDGETS, strict=True)
    judged = strict("verify", "virtual").judge([9.5e6])
    assert judged.verdict is Verdict.FAIL
    assert "strict" in judged.reason
    assert (
        strict("verify", "virtual").judge([5e6]).verdict is Verdict.PASS
    )  # a missed stretch is still not a failure
    assert strict("verify", "virtual").judge([]).verdict is Verdict.INCONCLUSIVE


def test_a_stage_without_a_budget_for_the_clock_is_reported_by_the_test_too() -> None:
    judged = Budgets(BUDGETS)("unseal", Clock.HARDWARE).judge([1e12])
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
    for judged in (
        Budgets(BUDGETS)("verify", "virtual").judge(samples),
        Budgets({})("verify", "host").judge(samples),
    ):
        row = json.loads(json.dumps(judged.to_json()))
        stage = json.loads(SCHEMA.read_text())
        jsonschema.validate(row, {**stage, **stage["$defs"]["stage"]})
        assert Judged.from_json(row | {"of a later version": 1}) == judged
    with pytest.raises(ConfigError, match="verdict"):
        Judged.from_json(row | {"verdict": "fine"})
