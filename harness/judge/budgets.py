"""Budgets: the limits of `lab-config/budgets.yaml`, and the one place where samples become a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from contracts.errors import BudgetExceeded, ConfigError, did_you_mean
from contracts.measurement import NS_PER_UNIT, Budget, Clock, Measurement, Stat, Verdict
from contracts.record import MeasuredRow, StageRow
from contracts.root import ROOT
from contracts.stages import Stage
from harness.config.strict import load_yaml

DEFAULT_BUDGETS: Final = ROOT / "lab-config" / "budgets.yaml"

# A figure within this share of its limit is `marginal`.
MARGINAL_BAND: Final = 0.10

_PER_UNIT: Final = {**NS_PER_UNIT, "%": 1.0}

# What a figure without a budget is shown in.
_REPORTED_UNIT: Final = {Clock.HOST: "ms", Clock.VIRTUAL: "us", Clock.HARDWARE: "us"}


class BudgetEntry(BaseModel):
    """One row of the budget file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    stage: Annotated[Stage, Field(strict=False)]
    stat: Literal["max", "p99", "median"]
    unit: Literal["ns", "us", "ms", "s", "%"]
    clock: Literal["virtual", "hardware", "host"]
    min_samples: int
    warmup: int
    limit: float
    stretch: float | None = None

    @model_validator(mode="after")
    def _sensible(self) -> BudgetEntry:
        if self.min_samples < 1 or self.warmup < 0:
            raise ValueError("min_samples must be 1 or more and warmup 0 or more")
        if self.limit <= 0 or (self.stretch is not None and not 0 < self.stretch <= self.limit):
            raise ValueError("limit must be above 0 and stretch between 0 and limit")
        if Clock(self.clock) not in self.stage.clocks:
            clocks = " or ".join(self.stage.clocks)
            raise ValueError(f"{self.stage} is measured on the {clocks} clock, never on {self.clock}")
        return self


class BudgetFile(BaseModel):
    """The budget file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    version: Literal[1] = Field(alias="schema")
    budgets: list[BudgetEntry]


def load_budgets(path: Path = DEFAULT_BUDGETS) -> dict[tuple[str, Clock], Budget]:
    """Budgets by (stage, clock), limits in the entry's own unit. Raises ConfigError with file, line and column."""
    document = load_yaml(path, BudgetFile)
    out: dict[tuple[str, Clock], Budget] = {}
    for entry in document.budgets:
        key = (entry.stage, Clock(entry.clock))
        if key in out:
            raise ConfigError(
                f"{path}: two budgets for stage {entry.stage!r} on the {entry.clock} clock",
                expected="one budget a stage and clock",
                seen="a second one",
                do="remove one of the two",
            )
        out[key] = Budget(
            entry.stage,
            Stat(entry.stat),
            entry.unit,
            Clock(entry.clock),
            entry.min_samples,
            entry.warmup,
            float(entry.limit),
            None if entry.stretch is None else float(entry.stretch),
        )
    return out


@dataclass(frozen=True, slots=True)
class Judged:
    """One row of the result table. Values are in `unit`; `limit` and `stretch` are None where nothing is judged."""

    name: str
    value: float | None
    unit: str
    clock: Clock
    stat: Stat | None
    samples: int
    p50: float | None
    p99: float | None
    max: float | None
    limit: float | None
    stretch: float | None
    verdict: Verdict
    reason: str = ""
    raw: float | None = None
    """The statistic as measured, where `value` is of samples that were divided by the machine's slow-down."""

    @property
    def missed_stretch(self) -> bool:
        """True when the figure is above its stretch limit (never a failure)."""
        return self.stretch is not None and self.value is not None and self.value > self.stretch

    def to_json(self) -> StageRow:
        """The row as records hold it: plain values, `missed_stretch` too."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "clock": self.clock.value,
            "stat": self.stat.value if self.stat else None,
            "samples": self.samples,
            "p50": self.p50,
            "p99": self.p99,
            "max": self.max,
            "limit": self.limit,
            "stretch": self.stretch,
            "verdict": self.verdict.value,
            "reason": self.reason,
            "missed_stretch": self.missed_stretch,
            "raw": self.raw,
        }

    def with_samples(self, samples: Sequence[float]) -> MeasuredRow:
        """As `to_json`, with the samples that it was judged from, in ns."""
        return {**self.to_json(), "samples_list": list(samples)}

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Judged:
        """The row back from its JSON form; keys that later versions add are ignored. Raises ConfigError."""
        known = {key: value for key, value in row.items() if key in cls.__slots__}
        try:
            return TypeAdapter(cls).validate_python(known)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or "the row"
            raise ConfigError(
                f"not a judged figure: {where}: {first['msg']}",
                expected="a `stage` as docs/schemas/run.schema.json has it",
                seen=repr(first["input"])[:80],
            ) from error

    def demand(self) -> Judged:
        """The row itself when it passed. Raises BudgetExceeded on `fail`, with figure, limit and what to look at.

        `inconclusive` and `skip` raise nothing: they are not the code's fault, the caller maps them to its own skip.
        """
        if self.verdict is not Verdict.FAIL:
            return self
        raise BudgetExceeded(
            f"{self.name} missed its budget on the {self.clock} clock",
            expected=f"{self.stat} of {self.samples} samples up to {self.limit:.4g} {self.unit}",
            seen=f"p50 {self.p50:.4g} {self.unit}, p99 {self.p99:.4g} {self.unit}, max {self.max:.4g} {self.unit}: "
            f"{self.reason}",
            do="make the stage cheaper, or change lab-config/budgets.yaml and say why",
        )


@dataclass(frozen=True, slots=True)
class StageBudget:
    """One stage on one clock, asked to judge. `budget` is None where nothing is promised: figures are reported."""

    stage: str
    clock: Clock
    budget: Budget | None
    strict: bool = False

    def judge(
        self,
        samples: Iterable[float],
        *,
        unit: Literal["ns", "%"] = "ns",
        waited: Iterable[float] = (),
        lost_ns: float = 0.0,
        lost: str = "",
    ) -> Judged:
        """Samples (ns; virtual: instructions; or `unit` "%") -> the judged row; never raises for a missed budget.

        `lost_ns` of the time in which host samples were taken was nobody's, and `lost` says why.
        """
        if self.clock is not Clock.HOST or unit == "%":
            lost_ns, lost = 0.0, ""
        measurement = Measurement(
            self.stage, self.clock, tuple(samples), unit, tuple(waited), lost_ns=lost_ns, lost=lost
        )
        budgets = {(self.stage, self.clock): self.budget} if self.budget else {}
        return judge(measurement, budgets, strict=self.strict)


@dataclass(frozen=True, slots=True)
class Budgets:
    """Every budget of a file, to ask by stage: `Budgets.load()("verify", Clock.VIRTUAL).judge(samples)`.

    `strict` makes `marginal` a `fail`.
    """

    entries: Mapping[tuple[str, Clock], Budget]
    strict: bool = False
    path: Path = field(default=DEFAULT_BUDGETS, compare=False)

    @classmethod
    def load(cls, path: Path = DEFAULT_BUDGETS, *, strict: bool = False) -> Budgets:
        """The budgets of a file. Raises ConfigError with file, line and column."""
        return cls(load_budgets(path), strict, path)

    def __call__(self, stage: str, clock: Clock | str | None = None) -> StageBudget:
        """A stage's budget on a clock; without a clock, on the one clock that the file has for the stage.

        A stage of the journey without a budget for the asked clock is reported, never judged by another clock's.
        Raises ConfigError for an unknown stage or clock, and for no clock where the file does not decide it.
        """
        if stage not in tuple(Stage):
            raise ConfigError(
                f"no stage {stage!r}{did_you_mean(stage, tuple(Stage))}",
                expected=f"one of {', '.join(Stage)}",
                seen=stage,
                do="name a stage of the journey",
            )
        if clock is None:
            clocks = [known for name, known in self.entries if name == stage]
            if len(clocks) != 1:
                raise ConfigError(
                    f"budget {stage!r} needs a clock",
                    expected=f"one clock for {stage} in {self.path}",
                    seen=", ".join(clocks) or "no budget of that stage",
                    do=f'say which: budget("{stage}", "virtual")',
                )
            clock = clocks[0]
        elif clock not in tuple(Clock):
            raise ConfigError(
                f"no clock {clock!r}{did_you_mean(clock, tuple(Clock))}",
                expected=f"one of {', '.join(Clock)}",
                seen=clock,
                do="name the clock that the samples were taken on",
            )
        asked = Clock(clock)
        return StageBudget(stage, asked, self.entries.get((stage, asked)), self.strict)


def percentile(samples: Sequence[float], q: float) -> float:
    """The nearest-rank percentile: the smallest sample with at least q percent at or below it.

    Below 100 samples the 99th percentile is their maximum. Raises ValueError on an empty sequence.
    """
    if not samples:
        raise ValueError("a percentile needs at least one sample")
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(q / 100 * len(ordered)) - 1)]


def judge(
    measurement: Measurement, budgets: Mapping[tuple[str, Clock], Budget], *, strict: bool = False
) -> Judged:
    """Judge samples by the budget of their stage and clock.

    A budget is never applied to another clock: without one for this clock the row is reported, verdict `pass`
    when it has samples and `skip` when it has none. Too few samples are `inconclusive`, and so is a missed limit
    on a noisy host: one that would have been kept without the time spent waiting for a processor, or that nobody had.
    `strict` makes `marginal` a `fail`, and says so in the reason. Raises ConfigError for a sample that is no finite
    number: no limit holds one.
    """
    judged = _judge(measurement, budgets)
    if strict and judged.verdict is Verdict.MARGINAL:
        return replace(judged, verdict=Verdict.FAIL, reason=f"{judged.reason}, and budgets are strict")
    return judged


def _judge(measurement: Measurement, budgets: Mapping[tuple[str, Clock], Budget]) -> Judged:
    budget = budgets.get((measurement.stage, measurement.clock))
    unit = budget.unit if budget else _REPORTED_UNIT.get(measurement.clock, "ns")
    if measurement.unit == "%":
        unit = "%"
    scale = _PER_UNIT[measurement.unit] / _PER_UNIT[unit]
    warmup = budget.warmup if budget else 0
    samples = [value * scale for value in measurement.samples[warmup:]]
    if not all(map(math.isfinite, samples)):
        raise ConfigError(
            f"a sample of {measurement.stage} is no number",
            expected="finite numbers",
            seen=", ".join(f"{value:g}" for value in samples if not math.isfinite(value))[:80],
            do="correct the measurement",
        )
    p50 = percentile(samples, 50) if samples else None
    p99 = percentile(samples, 99) if samples else None
    worst = max(samples) if samples else None
    if budget is None:
        verdict = Verdict.PASS if samples else Verdict.SKIP
        return Judged(
            measurement.stage, p50, unit, measurement.clock, Stat.MEDIAN if samples else None, len(samples), p50,
            p99, worst, None, None, verdict, "" if samples else "not measured",
        )  # fmt: skip
    value = {Stat.MAX: worst, Stat.P99: p99, Stat.MEDIAN: p50}[budget.stat]
    if value is None or len(samples) < budget.min_samples:
        verdict = Verdict.INCONCLUSIVE
        reason = f"{len(samples)} samples after {warmup} of warm-up, {budget.min_samples} needed"
    elif value > budget.limit and _kept_without_waiting(measurement, budget, scale):
        verdict = Verdict.INCONCLUSIVE
        reason = f"noisy host: {value:.4g} {unit} is within the limit without the time spent waiting for a processor"
        if measurement.lost:
            reason = (
                f"{value:.4g} {unit} is within the limit without time that nobody had: {measurement.lost}"
            )
    elif value > budget.limit and _may_be_kept_when_quiet(measurement, budget, scale):
        verdict = Verdict.INCONCLUSIVE
        reason = (
            f"noisy host: {value:.4g} {unit} is above the limit, but how busy the machine was changed by more than a "
            "fifth around a sample, or it has not been seen quiet yet"
        )
    elif value > budget.limit:
        verdict = Verdict.FAIL
        reason = f"{value:.4g} {unit} is above the limit of {budget.limit:.4g} {unit}"
    elif value > budget.limit * (1 - MARGINAL_BAND):
        verdict, reason = Verdict.MARGINAL, f"within {MARGINAL_BAND:.0%} of the limit"
    else:
        verdict, reason = Verdict.PASS, ""
    return Judged(
        budget.stage, value, unit, budget.clock, budget.stat, len(samples), p50, p99, worst, budget.limit,
        budget.stretch, verdict, reason, _raw(measurement, budget, scale),
    )  # fmt: skip


def _raw(measurement: Measurement, budget: Budget, scale: float) -> float | None:
    raw = [sample * scale for sample in measurement.raw[budget.warmup :]]
    return _statistic(budget.stat, raw) if raw else None


def _may_be_kept_when_quiet(measurement: Measurement, budget: Budget, scale: float) -> bool:
    """Whether the limit is kept by the least that each sample may be on a quiet machine."""
    if len(measurement.least) != len(measurement.samples):
        return False
    least = [sample * scale for sample in measurement.least[budget.warmup :]]
    return _statistic(budget.stat, least) <= budget.limit


def _kept_without_waiting(measurement: Measurement, budget: Budget, scale: float) -> bool:
    """Whether the limit is kept once the waiting for a processor, and time that nobody had, is taken off."""
    waited = measurement.waited
    if len(waited) != len(measurement.samples):
        waited = (0.0,) * len(measurement.samples)
    net = [(sample - waiting) * scale for sample, waiting in zip(measurement.samples, waited, strict=True)][
        budget.warmup :
    ]
    if _statistic(budget.stat, net) <= budget.limit:
        return any(waited)
    # Which samples the rest was lost in is not known: it must make up for all that is above the limit, but for what
    # the statistic lets be there.
    over = sorted(sample - budget.limit for sample in net if sample > budget.limit)
    share = {Stat.MAX: 1.0, Stat.P99: 0.99, Stat.MEDIAN: 0.5}[budget.stat]
    needed = over[: max(0, len(over) - (len(net) - math.ceil(share * len(net))))]
    return sum(needed) <= measurement.lost_ns * scale


def _statistic(stat: Stat, samples: Sequence[float]) -> float:
    return {Stat.MAX: max(samples), Stat.P99: percentile(samples, 99), Stat.MEDIAN: percentile(samples, 50)}[
        stat
    ]


def skipped(stage: str, reason: str, clock: Clock = Clock.HOST) -> Judged:
    """A row for a stage that is not built or not there: `skip`, with why."""
    return Judged(stage, None, "", clock, None, 0, None, None, None, None, None, Verdict.SKIP, reason)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for many: fail, then infra, then inconclusive outrank the rest; all skipped is inconclusive."""
    for verdict in (Verdict.FAIL, Verdict.INFRA, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    if all(verdict is Verdict.SKIP for verdict in verdicts):
        return Verdict.INCONCLUSIVE
    return Verdict.MARGINAL if Verdict.MARGINAL in verdicts else Verdict.PASS
