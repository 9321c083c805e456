"""A measured value with its unit and clock, a budget, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NS_PER_UNIT: Final = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
"""Units of time in budgets, records and reports."""


class Clock(StrEnum):
    """The time source: modelled (`-icount`), board counters, or the host."""

    VIRTUAL = "virtual"
    HARDWARE = "hardware"
    HOST = "host"


class Stat(StrEnum):
    """How samples become one figure."""

    MAX = "max"
    P99 = "p99"
    MEDIAN = "median"
    P1 = "p1"
    MIN = "min"


class Direction(StrEnum):
    """On which side of its limit a figure must stay."""

    AT_MOST = "at_most"
    AT_LEAST = "at_least"


class Verdict(StrEnum):
    """All outcomes; the table in docs/verdicts.md maps them to pytest, JUnit, Robot and exit codes."""

    PASS = "pass"  # noqa: S105
    MARGINAL = "marginal"
    FAIL = "fail"
    INFRA = "infra"
    INCONCLUSIVE = "inconclusive"
    SKIP = "skip"

    @property
    def exit_code(self) -> int:
        """Process exit code when this is a run's worst verdict."""
        return {"fail": 1, "infra": 75, "inconclusive": 76}.get(self.value, 0)


@dataclass(frozen=True, slots=True)
class Samples:
    """Figures with their clock. Values are in ns; virtual ones are instructions at 1 ns each.

    `source` names what stood in for a board on the `hardware` clock (`QEMU`), empty where it was a board.
    """

    clock: Clock
    values: tuple[float, ...]
    source: str = ""

    def __iter__(self) -> Iterator[float]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def __add__(self, other: Samples) -> Samples:
        """These followed by `other`. Raises ValueError for samples of another clock or source."""
        if not isinstance(other, Samples):
            return NotImplemented
        if (self.clock, self.source) != (other.clock, other.source):
            raise ValueError(f"samples of the {self.clock} and the {other.clock} clock cannot be combined")
        return Samples(self.clock, self.values + other.values, self.source)


@dataclass(frozen=True, slots=True)
class Measurement:
    """Samples of one stage. Values are in ns (`unit` "ns"); virtual ones are instructions at 1 ns each.

    `waited` (host wall times only; empty or one per sample) is the time of each sample in which the stage's threads
    were ready to run but had no processor, or in which nothing ran at all. If it is known only for all samples together,
    it is in `lost_ns`. `lost` is the reason as readable text.

    Samples that were divided by the slow-down of the machine have the measured values in `raw`, and in `least` the least
    that each may be on a quiet one; both are empty, or one a sample. `source` is that of `Samples`.
    """

    stage: str
    clock: Clock
    samples: tuple[float, ...]
    unit: str = "ns"
    waited: tuple[float, ...] = ()
    lost_ns: float = 0.0
    lost: str = ""
    raw: tuple[float, ...] = ()
    least: tuple[float, ...] = ()
    source: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit: `limit` and `stretch` in `unit`; `warmup` leading samples are dropped before judging.

    `stage` is a stage of the journey, or the name of a custom measurement (`is_own`), whose samples are in
    `unit`. `direction` says which side of the limits is the good one.
    """

    stage: str
    stat: Stat
    unit: str
    clock: Clock
    min_samples: int
    warmup: int
    limit: float
    stretch: float | None = None
    direction: Direction = Direction.AT_MOST
    is_own: bool = False

    def is_kept_by(self, value: float, limit: float | None = None) -> bool:
        """Whether a figure in `unit` is on the good side of the limit (or of another one), or on it."""
        bound = self.limit if limit is None else limit
        return value <= bound if self.direction is Direction.AT_MOST else value >= bound
