"""One figure before and after: exact figures must not get worse, times are reported and never judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.markup import escape
from rich.table import Table

from contracts.measurement import Clock, Direction
from harness.terminal.style import quantity
from harness.terminal.table import plain_table

DEFAULT_THRESHOLD: Final = 2.0
"""Allowed growth of a virtual figure in percent."""

_MIN_HOST_SAMPLES: Final = 5
_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both documents: in ns (virtual: instructions), or in the unit of a custom measurement.

    `direction` is that of its budget: which way is worse.
    """

    stage: str
    before: float
    after: float
    direction: Direction = Direction.AT_MOST

    @property
    def ratio(self) -> float:
        """After divided by before; infinite if before is 0 and after is not."""
        if self.before == 0:
            return math.inf if self.after > 0 else 1.0
        return self.after / self.before

    @property
    def harm(self) -> float:
        """The ratio, oriented so that above 1 is worse."""
        if self.direction is Direction.AT_MOST:
            return self.ratio
        return 1 / self.ratio if self.ratio else math.inf

    def grew_by_more_than(self, percent: float) -> bool:
        """Whether it is a regression at a threshold of `percent`; exact for instruction counts.

        What has to be large enough regresses by shrinking.
        """
        if self.direction is Direction.AT_LEAST:
            return self.after * 100 < self.before * (100 - percent)
        return self.after * 100 > self.before * (100 + percent)

    @property
    def is_improvement(self) -> bool:
        """Any improvement: virtual figures are exact."""
        return self.harm < 1


@dataclass(frozen=True, slots=True)
class HostChange:
    """A figure of a board or a test on the host or hardware clock: medians, a 95% interval of their ratio.

    `interval` is None for few samples. Medians are in ns, or in the `unit` of a custom measurement.
    """

    kind: str
    figure: Change
    interval: tuple[float, float] | None
    clock: Clock = Clock.HOST
    unit: str = ""

    @property
    def reading(self) -> str:
        """The conclusion from the interval."""
        if self.interval is None:
            return f"fewer than {_MIN_HOST_SAMPLES} samples"
        low, high = self.interval
        if low <= 1 <= high:
            return "no difference"
        if not self.unit:
            return "slower" if low > 1 else "faster"
        return "worse" if (low > 1) is (self.figure.direction is Direction.AT_MOST) else "better"


def ratio_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float] | None:
    """A 95% bootstrap interval of median(after) / median(before); None below five samples on either side.

    Resampling is seeded: the same samples give the same interval.
    """
    if min(len(before), len(after)) < _MIN_HOST_SAMPLES:
        return None
    random = np.random.default_rng(0)
    old, new = (
        np.median(random.choice(np.asarray(side), (_RESAMPLES, len(side))), axis=1)
        for side in (before, after)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = np.nanpercentile(new / old, [2.5, 97.5])
    return float(low), float(high)


def percent_text(ratio: float) -> str:
    """A ratio as a change: `+20.0%`, `=` for no change, `new` if the figure was 0."""
    return "new" if math.isinf(ratio) else f"{ratio - 1:+.1%}" if ratio != 1 else "="


def _median(value: float, change: HostChange) -> str:
    return quantity(value, change.unit or "ns", change.figure.stage)


def host_table(changes: Sequence[HostChange], of: str = "board") -> Table:
    """Figures on the host and hardware clocks: medians, and the conclusion from the interval of their ratio."""
    clocks = [str(clock) for clock in Clock if any(change.clock is clock for change in changes)]
    table = plain_table(
        f"~{of}", "stage", "clock", ">before", ">after", ">change", ">95% interval", "~reading"
    )
    table.title = f"{' and '.join(clocks)} medians, reported and never judged"
    for change in changes:
        between = "-"
        if change.interval is not None:
            between = f"{change.interval[0] - 1:+.1%} .. {change.interval[1] - 1:+.1%}"
        table.add_row(
            escape(change.kind),
            change.figure.stage,
            change.clock.value,
            escape(_median(change.figure.before, change)),
            escape(_median(change.figure.after, change)),
            percent_text(change.figure.ratio),
            between,
            change.reading,
        )
    return table
