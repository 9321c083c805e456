"""Budgets: the limits of `lab-config/budgets.yaml`, and the only code that turns samples into a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from contracts.errors import BudgetExceeded, ConfigError, did_you_mean
from contracts.measurement import (
    NS_PER_UNIT,
    Budget,
    Clock,
    Direction,
    Measurement,
    Samples,
    Stat,
    Verdict,
)
from contracts.record import MeasuredRow, StageRow
from contracts.root import ROOT
from contracts.stages import Side, Stage
from harness.config.strict import load_yaml
from harness.terminal.style import of_limit, quantity

DEFAULT_BUDGETS: Final = ROOT / "lab-config" / "budgets.yaml"

# A figure within this share of its limit is `marginal`.
MARGINAL_BAND: Final = 0.10

_PER_UNIT: Final = {**NS_PER_UNIT, "%": 1.0}

_STAGE_STATS: Final = ("max", "p99", "median")

# The similarity above which a measurement's name counts as a misspelt stage (difflib's ratio).
_MISSPELT: Final = 0.8

_BOARD_CLOCKS: Final = Side.BOARD.clocks

# The share of samples that must be within the limit so that the statistic is.
_RANKS: Final = {Stat.MAX: 1.0, Stat.P99: 0.99, Stat.MEDIAN: 0.5, Stat.P1: 0.01, Stat.MIN: 0.0}

# The unit of a figure without a budget.
_REPORTED_UNIT: Final = {Clock.HOST: "ms", Clock.VIRTUAL: "us", Clock.HARDWARE: "us"}


class BudgetEntry(BaseModel):
    """One row of the budget file: for a `stage` of the journey, or for a custom measurement with a `name`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    stage: Annotated[Stage, Field(strict=False)] | None = None
    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)] | None = None
    stat: Literal["max", "p99", "median", "p1", "min"]
    unit: Annotated[
        str, Field(min_length=1, max_length=20, pattern=r"^[^\x00-\x20\x7f](.*[^\x00-\x20\x7f])?$")
    ]
    clock: Literal["virtual", "hardware", "host"]
    min_samples: int
    warmup: int
    limit: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    stretch: float | None = None

    @field_validator("stage", mode="before")
    @classmethod
    def _a_stage_of_ours(cls, value: object) -> object:
        if isinstance(value, str) and value not in tuple(Stage) and not did_you_mean(value, tuple(Stage)):
            raise ValueError(f"no stage {value!r}; a custom measurement is written as `name: {value[:40]}`")
        return value

    @field_validator("name", mode="after")
    @classmethod
    def _no_stage_misspelt(cls, value: str | None) -> str | None:
        near = get_close_matches(value or "", [str(stage) for stage in Stage], n=1, cutoff=_MISSPELT)
        if near:
            raise ValueError(
                f"{value!r} is similar to the stage {near[0]!r}: did you mean `stage: {near[0]}`?"
            )
        return value

    @property
    def bounds(self) -> list[tuple[Direction, float]]:
        """The limits that the row gives, each with its direction."""
        given = (
            (Direction.AT_MOST, self.limit),
            (Direction.AT_MOST, self.at_most),
            (Direction.AT_LEAST, self.at_least),
        )
        return [(direction, float(bound)) for direction, bound in given if bound is not None]

    @model_validator(mode="after")
    def _sensible(self) -> BudgetEntry:
        if self.min_samples < 1 or self.warmup < 0:
            raise ValueError("min_samples must be 1 or more and warmup 0 or more")
        if (self.stage is None) is (self.name is None):
            raise ValueError("give `stage`, one of the journey, or `name`, of a custom measurement")
        if self.stage is None:
            self._own()
        else:
            self._of_stage(self.stage)
        return self

    def _of_stage(self, stage: Stage) -> None:
        if self.limit is None or self.at_most is not None or self.at_least is not None:
            raise ValueError("the limit of a stage is given as `limit`")
        if self.limit <= 0 or (self.stretch is not None and not 0 < self.stretch <= self.limit):
            raise ValueError("limit must be above 0 and stretch between 0 and limit")
        if self.stat not in _STAGE_STATS:
            raise ValueError(f"a stage is judged by its {', '.join(_STAGE_STATS)}")
        if self.unit not in _PER_UNIT:
            raise ValueError(f"the unit of a stage is one of {', '.join(_PER_UNIT)}")
        if Clock(self.clock) not in stage.clocks:
            clocks = " or ".join(stage.clocks)
            raise ValueError(f"{stage} is measured on the {clocks} clock, never on {self.clock}")

    def _own(self) -> None:
        if len(self.bounds) != 1 or self.limit is not None:
            raise ValueError("give one limit: `at_most` or `at_least`")
        ((direction, limit),) = self.bounds
        numbers = (limit, limit if self.stretch is None else float(self.stretch))
        if not all(map(math.isfinite, numbers)):
            raise ValueError("limits are finite numbers")
        ahead = numbers[1] <= limit if direction is Direction.AT_MOST else numbers[1] >= limit
        if not ahead:
            raise ValueError("stretch is beyond the limit, on its good side")

    def budget(self) -> Budget:
        """The row as a budget."""
        ((direction, limit),) = self.bounds
        return Budget(
            self.stage or self.name or "",
            Stat(self.stat),
            self.unit,
            Clock(self.clock),
            self.min_samples,
            self.warmup,
            limit,
            None if self.stretch is None else float(self.stretch),
            direction,
            self.stage is None,
        )


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
        budget = entry.budget()
        key = (budget.stage, budget.clock)
        if key in out:
            raise ConfigError(
                f"{path}: two budgets for {budget.stage!r} on the {entry.clock} clock",
                expected="one budget per stage (or name) and clock",
                seen="a second budget",
                do="remove one of the two",
            )
        out[key] = budget
    return out


@dataclass(frozen=True, slots=True)
class Judged:
    """One row of the result table. Values are in `unit`; `limit` and `stretch` are None if nothing is judged."""

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
    direction: Direction = Direction.AT_MOST
    source: str = ""

    @property
    def missed_stretch(self) -> bool:
        """True if the figure is on the wrong side of its stretch limit (never a failure)."""
        if self.stretch is None or self.value is None:
            return False
        return self.value > self.stretch if self.direction is Direction.AT_MOST else self.value < self.stretch

    def _text(self, value: float | None) -> str:
        return quantity(value, self.unit, self.name)

    def to_json(self) -> StageRow:
        """The row in the form of records: plain values, including `missed_stretch`."""
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
            "direction": self.direction.value,
            "source": self.source,
        }

    def with_samples(self, samples: Sequence[float]) -> MeasuredRow:
        """Like `to_json`, with its samples: in ns, or in the unit of a custom measurement."""
        return {**self.to_json(), "samples_list": list(samples)}

    @classmethod
    def from_json(cls, row: Mapping[str, object]) -> Judged:
        """The row from its JSON form; ignores keys of later versions. Raises ConfigError."""
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

    @property
    def _bound(self) -> str:
        return "up to" if self.direction is Direction.AT_MOST else "of at least"

    def demand(self) -> Judged:
        """The row itself if it passed. Raises BudgetExceeded on `fail`, with figure, limit and what to do.

        `inconclusive` and `skip` raise nothing: the code is not at fault, and the caller maps them to its own skip.
        """
        if self.verdict is not Verdict.FAIL:
            return self
        raise BudgetExceeded(
            f"{self.name} missed its budget on the {self.clock} clock",
            expected=f"{self.stat} of {self.samples} samples {self._bound} {self._text(self.limit)}",
            seen=f"p50 {self._text(self.p50)}, p99 {self._text(self.p99)}, max {self._text(self.max)}: {self.reason}",
            do="improve it, or change the budget file and give the reason",
        )


@dataclass(frozen=True, slots=True)
class StageBudget:
    """Judges one stage or one custom measurement.

    `budgets` are its budgets in the file, by clock: without one for the samples' clock there is no limit. `clock` is the
    requested one; None means the samples' clock.
    """

    stage: str
    clock: Clock | None
    budgets: Mapping[Clock, Budget]
    strict: bool = False

    def judge(
        self,
        samples: Samples | Iterable[float],
        *,
        unit: str | None = None,
        waited: Iterable[float] = (),
        lost_ns: float = 0.0,
        lost: str = "",
    ) -> Judged:
        """Samples -> the judged row; never raises for a missed budget.

        `Samples` (`board.samples(...)`) carry their clock. Plain numbers are in ns, or in `unit` (`%`, or that of a
        custom measurement, where it is the default). `lost_ns` is the lost time while samples of the host, or
        of a QEMU's time, were taken, and `lost` the reason. Raises ConfigError for samples of another clock
        than the one asked for, for plain numbers of a stage of the board without a clock, and for another unit.
        """
        source = samples.source if isinstance(samples, Samples) else ""
        clock = self._clock_of(samples)
        known = self._unit(clock, unit)
        if known == "%" or not (clock is Clock.HOST or source):
            lost_ns, lost = 0.0, ""
        measurement = Measurement(
            self.stage, clock, tuple(samples), known, tuple(waited), lost_ns=lost_ns, lost=lost, source=source
        )
        budgets = {(self.stage, on): budget for on, budget in self.budgets.items()}
        return judge(measurement, budgets, strict=self.strict)

    @property
    def _is_own(self) -> bool:
        return any(budget.is_own for budget in self.budgets.values())

    def _clock_of(self, samples: Samples | Iterable[float]) -> Clock:
        """The samples' clock. Raises ConfigError if it is not the requested one, or if it is unknown."""
        if isinstance(samples, Samples):
            if self.clock not in (None, samples.clock) or (
                self._is_own and samples.clock not in self.budgets
            ):
                meant = self.clock or ", ".join(self.budgets)
                raise ConfigError(
                    f"samples of the {samples.clock} clock are not judged by the {meant} limit of {self.stage}",
                    expected=f"samples of the {meant} clock",
                    seen=f"{len(samples)} of the {samples.clock} clock",
                    do="omit the clock: the samples carry theirs",
                )
            return samples.clock
        if self.clock is not None:
            return self.clock
        on_board = self.stage in tuple(Stage) and Stage(self.stage).side is Side.BOARD
        if not on_board and len(self.budgets) == 1:
            return next(iter(self.budgets))
        raise ConfigError(
            f"samples of {self.stage} without a clock",
            expected="samples that carry their clock, or an explicit clock",
            seen="plain numbers, which may be instructions or ns",
            do=f'give board.samples("{self.stage}", answer), or name their clock: budget("{self.stage}", "virtual")',
        )

    def _unit(self, clock: Clock, unit: str | None) -> str:
        budget = self.budgets.get(clock)
        own = budget.unit if budget is not None and budget.is_own else "ns"
        if unit is None or unit == own:
            return own
        alike = {unit, own} <= set(NS_PER_UNIT) or (own == "ns" and unit == "%")
        if not alike:
            raise ConfigError(
                f"samples of {self.stage} in {unit!r}",
                expected=own if own not in NS_PER_UNIT else f"one of {', '.join(_PER_UNIT)}",
                seen=unit,
                do="give them in the unit of the budget file",
            )
        return unit


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets of a file, by stage: `Budgets.load()("verify", Clock.VIRTUAL).judge(samples)`.

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
        """The budget of a stage or of a custom measurement; without a clock, on the samples' clock.

        A stage of the journey without a budget for the samples' clock is never judged by another clock's budget. Raises
        ConfigError for an unknown stage, name or clock, and for a clock without a budget of a custom measurement.
        """
        own = sorted({budget.stage for budget in self.entries.values() if budget.is_own})
        known = (*Stage, *own)
        if stage not in known:
            raise ConfigError(
                f"no stage {stage!r}{did_you_mean(stage, known)}",
                expected=f"one of {', '.join(known)}",
                seen=stage,
                do=f"name a stage of the journey, or add a row with this name to {self.path}",
            )
        if clock is not None and clock not in tuple(Clock):
            raise ConfigError(
                f"no clock {clock!r}{did_you_mean(clock, tuple(Clock))}",
                expected=f"one of {', '.join(Clock)}",
                seen=clock,
                do="name the clock of the samples",
            )
        budgets = {on: budget for (name, on), budget in self.entries.items() if name == stage}
        if stage in own and clock is not None and clock not in budgets:
            raise ConfigError(
                f"{stage} has no limit on the {clock} clock",
                expected=f"the {', '.join(budgets)} clock, as {self.path} has it",
                seen=clock,
                do="add a row for that clock to the file",
            )
        if clock is None and not budgets and Stage(stage).side is not Side.BOARD:
            raise ConfigError(
                f"budget {stage!r} needs a clock",
                expected=f"a budget for {stage} in {self.path}",
                seen="no budget of that stage",
                do=f'say which: budget("{stage}", "host")',
            )
        return StageBudget(stage, None if clock is None else Clock(clock), budgets, self.strict)


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

    A budget is never applied to another clock: without one for this clock the row is reported, with verdict `pass` if it
    has samples and `skip` if it has none. But an on-board stage with a budget only on the board's other clock is
    `inconclusive`: there is a limit, and nothing was judged. Too few samples are `inconclusive`, and so is a missed limit
    on a noisy host, if the figure is within the limit without the time spent waiting for a processor or lost time.
    `strict` makes `marginal` a `fail` and says so in the reason. Raises ConfigError for a sample that is not a finite
    number.
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
    scale = 1.0 if measurement.unit == unit else _PER_UNIT[measurement.unit] / _PER_UNIT[unit]
    warmup = budget.warmup if budget else 0
    samples = [value * scale for value in measurement.samples[warmup:]]
    if not all(map(math.isfinite, samples)):
        raise ConfigError(
            f"a sample of {measurement.stage} is not a number",
            expected="finite numbers",
            seen=", ".join(f"{value:g}" for value in samples if not math.isfinite(value))[:80],
            do="correct the measurement",
        )
    p50 = percentile(samples, 50) if samples else None
    p99 = percentile(samples, 99) if samples else None
    worst = max(samples) if samples else None
    if budget is None:
        verdict, reason = _unjudged(measurement, budgets) if samples else (Verdict.SKIP, "not measured")
        return Judged(
            measurement.stage, p50, unit, measurement.clock, Stat.MEDIAN if samples else None, len(samples), p50,
            p99, worst, None, None, verdict, reason, source=measurement.source,
        )  # fmt: skip
    value = _statistic(budget.stat, samples) if samples else None
    if value is None or len(samples) < budget.min_samples:
        verdict = Verdict.INCONCLUSIVE
        reason = f"{len(samples)} samples after {warmup} of warm-up, {budget.min_samples} needed"
    elif not budget.is_kept_by(value) and _kept_without_waiting(measurement, budget, scale):
        verdict = Verdict.INCONCLUSIVE
        shown = quantity(value, unit, budget.stage)
        reason = f"noisy host: {shown} is within the limit without the time spent waiting for a processor"
        if measurement.lost:
            reason = f"{shown} is within the limit without the lost time: {measurement.lost}"
    elif not budget.is_kept_by(value) and _may_be_kept_when_quiet(measurement, budget, scale):
        verdict = Verdict.INCONCLUSIVE
        reason = (
            f"noisy host: {quantity(value, unit, budget.stage)} is above the limit, but the machine's load "
            "changed by more than a fifth around a sample, or the machine has not been quiet yet"
        )
    elif not budget.is_kept_by(value):
        verdict = Verdict.FAIL
        side = "above" if budget.direction is Direction.AT_MOST else "below"
        least = budget.direction is Direction.AT_LEAST
        reason = f"{of_limit(value, budget.limit, unit, budget.stage, at_least=least)}: {side} the limit"
    elif not budget.is_kept_by(value, _marginal_from(budget)):
        verdict, reason = Verdict.MARGINAL, f"within {MARGINAL_BAND:.0%} of the limit"
    else:
        verdict, reason = Verdict.PASS, ""
    return Judged(
        budget.stage, value, unit, budget.clock, budget.stat, len(samples), p50, p99, worst, budget.limit,
        budget.stretch, verdict, reason, _raw(measurement, budget, scale), budget.direction, measurement.source,
    )  # fmt: skip


def _unjudged(measurement: Measurement, budgets: Mapping[tuple[str, Clock], Budget]) -> tuple[Verdict, str]:
    """The verdict for samples without a budget, with the reason: reported, or a limit that was not judged."""
    others = [clock for stage, clock in budgets if stage == measurement.stage and clock in _BOARD_CLOCKS]
    if measurement.clock not in _BOARD_CLOCKS or not others:
        return Verdict.PASS, ""
    return (
        Verdict.INCONCLUSIVE,
        f"not judged: measured on the {measurement.clock} clock, and the budget is only for the {others[0]} clock",
    )


def _marginal_from(budget: Budget) -> float:
    band = abs(budget.limit) * MARGINAL_BAND
    return budget.limit - band if budget.direction is Direction.AT_MOST else budget.limit + band


def _raw(measurement: Measurement, budget: Budget, scale: float) -> float | None:
    raw = [sample * scale for sample in measurement.raw[budget.warmup :]]
    return _statistic(budget.stat, raw) if raw else None


def _may_be_kept_when_quiet(measurement: Measurement, budget: Budget, scale: float) -> bool:
    """Whether the figure is within the limit if each sample is the smallest possible on a quiet machine."""
    if len(measurement.least) != len(measurement.samples):
        return False
    least = [sample * scale for sample in measurement.least[budget.warmup :]]
    return budget.is_kept_by(_statistic(budget.stat, least))


def _kept_without_waiting(measurement: Measurement, budget: Budget, scale: float) -> bool:
    """Whether the figure is within the limit without the time spent waiting for a processor and without lost time.

    For a figure that is not a time, or that must be large enough, nothing can be subtracted: lost time leaves it open.
    """
    if budget.unit not in _PER_UNIT or budget.direction is Direction.AT_LEAST:
        return bool(measurement.lost)
    waited = measurement.waited
    if len(waited) != len(measurement.samples):
        waited = (0.0,) * len(measurement.samples)
    net = [(sample - waiting) * scale for sample, waiting in zip(measurement.samples, waited, strict=True)][
        budget.warmup :
    ]
    if budget.is_kept_by(_statistic(budget.stat, net)):
        return any(waited)
    # It is unknown in which samples the rest was lost: it must cover everything above the limit, except what the
    # statistic ignores.
    over = sorted(sample - budget.limit for sample in net if sample > budget.limit)
    kept = max(1, math.ceil(_RANKS[budget.stat] * len(net)))
    needed = over[: max(0, len(over) - (len(net) - kept))]
    return sum(needed) <= measurement.lost_ns / _PER_UNIT[budget.unit]


def _statistic(stat: Stat, samples: Sequence[float]) -> float:
    match stat:
        case Stat.MAX:
            return max(samples)
        case Stat.MIN:
            return min(samples)
        case Stat.P99:
            return percentile(samples, 99)
        case Stat.P1:
            return percentile(samples, 1)
        case Stat.MEDIAN:
            return percentile(samples, 50)


def skipped(stage: str, reason: str, clock: Clock = Clock.HOST) -> Judged:
    """A row for a stage that is missing or not built: `skip`, with the reason."""
    return Judged(stage, None, "", clock, None, 0, None, None, None, None, None, Verdict.SKIP, reason)


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """One verdict for many: fail, then infra, then inconclusive outrank the rest; if all are skipped: inconclusive."""
    for verdict in (Verdict.FAIL, Verdict.INFRA, Verdict.INCONCLUSIVE):
        if verdict in verdicts:
            return verdict
    if all(verdict is Verdict.SKIP for verdict in verdicts):
        return Verdict.INCONCLUSIVE
    return Verdict.MARGINAL if Verdict.MARGINAL in verdicts else Verdict.PASS
