"""One figure before and after: counts of instructions that may not grow, host times that are told and never judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from rich.markup import escape
from rich.table import Table

DEFAULT_THRESHOLD: Final = 2.0
"""By how many percent a virtual figure may grow."""

_MIN_HOST_SAMPLES: Final = 5
_RESAMPLES: Final = 2000


@dataclass(frozen=True, slots=True)
class Change:
    """One figure in both documents, in ns; virtual ones are instructions."""

    stage: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """After over before; infinite where something came of nothing."""
        if self.before == 0:
            return math.inf if self.after > 0 else 1.0
        return self.after / self.before

    def grew_by_more_than(self, percent: float) -> bool:
        """Whether it is a regression at a threshold of `percent`; exact for counts of instructions."""
        return self.after * 100 > self.before * (100 + percent)

    @property
    def is_improvement(self) -> bool:
        """Smaller at all: virtual figures are exact."""
        return self.ratio < 1


@dataclass(frozen=True, slots=True)
class HostChange:
    """A stage of a board or a test on the host clock: medians in ns, a 95% interval of their ratio (None: few samples)."""

    kind: str
    figure: Change
    interval: tuple[float, float] | None

    @property
    def reading(self) -> str:
        """What the interval says."""
        if self.interval is None:
            return f"fewer than {_MIN_HOST_SAMPLES} samples"
        low, high = self.interval
        return "slower" if low > 1 else "faster" if high < 1 else "no difference seen"


def ratio_interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float] | None:
    """A 95% bootstrap interval of median(after) / median(before); None below five samples a side.

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
    """A ratio as a change: `+20.0%`, `=` for none, `new` for something out of nothing."""
    return "new" if math.isinf(ratio) else f"{ratio - 1:+.1%}" if ratio != 1 else "="


def host_table(changes: Sequence[HostChange], of: str = "board") -> Table:
    """Stages on the host clock: medians, and what the interval of their ratio says."""
    table = Table(title="host medians in ms, reported and never judged", title_justify="left")
    table.add_column(of, no_wrap=of == "board", overflow="fold")
    table.add_column("stage", no_wrap=True)
    for column in ("before", "after", "change", "95% interval"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("reading", no_wrap=True)
    for change in changes:
        between = "-"
        if change.interval is not None:
            between = f"{change.interval[0] - 1:+.1%} .. {change.interval[1] - 1:+.1%}"
        table.add_row(
            escape(change.kind),
            change.figure.stage,
            f"{change.figure.before / 1e6:,.3g}",
            f"{change.figure.after / 1e6:,.3g}",
            percent_text(change.figure.ratio),
            between,
            change.reading,
        )
    return table
