"""A measured value with its unit and clock, a budget, and the verdict that follows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

NS_PER_UNIT: Final = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
"""Units of time as they stand in budgets, records and reports."""


class Clock(StrEnum):
    """Whose time it is: modelled (`-icount`), board counters, or the host's."""

    VIRTUAL = "virtual"
    HARDWARE = "hardware"
    HOST = "host"


class Stat(StrEnum):
    """How samples become one figure."""

    MAX = "max"
    P99 = "p99"
    MEDIAN = "median"


class Verdict(StrEnum):
    """The one scale of outcomes; docs/verdicts.md maps it to pytest, JUnit, Robot and exit codes."""

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
class Measurement:
    """Samples of one stage. Values are in ns (`unit` "ns"); virtual ones are instructions at 1 ns each.

    `waited` (host wall times only; empty or one a sample) is the part of each sample in which the stage's threads
    were ready to run and had no processor, or in which nobody ran at all. Where that is known of all samples together
    alone, it is `lost_ns`. `lost` says why nobody ran, for people.

    Samples that were divided by the slow-down of the machine have what was measured in `raw`, and in `least` the least
    that each may be on a quiet one; both are empty, or one a sample.
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


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit: `limit` and `stretch` in `unit`; `warmup` leading samples are dropped before judging."""

    stage: str
    stat: Stat
    unit: str
    clock: Clock
    min_samples: int
    warmup: int
    limit: float
    stretch: float | None = None
