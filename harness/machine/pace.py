"""How fast this machine is right now: a fixed piece of work is timed before and after each measurement.

Processor time also grows on a busy machine: other processes use caches, memory and execution units, and no counter
shows that. Therefore a sample is divided by the slow-down of a similar reference around it, compared with the
reference's time on this machine when it is quiet.

That quiet time is the smallest measured since this machine was started, by this process or an earlier one: nothing
makes a fixed piece of work faster. It is *proven* once it was measured while nothing else ran (proc_loadavg(5):
runnable tasks). Until then it is unknown how much slower than quiet the machine has been.
"""

from __future__ import annotations

import json
import os
import statistics
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Protocol

from contracts.record import PacedRow
from contracts.root import ROOT

CACHE: Final = ROOT / "build" / "pace"
STEADY: Final = 1.2
"""If the slow-downs before and after a sample differ by more, it is unknown which one applied."""
QUIET_BAND: Final = 1.1
"""A slow-down below this is the reference's own spread: on a quiet machine limits do not change."""
UNPROVEN: Final = 1.7
"""How much slower than quiet a machine may have been: the largest measured growth of `generate`."""
_RUNS: Final = 3
_FIRST_RUNS: Final = 24


class Reference(Protocol):
    """A fixed piece of work. `key` names everything that its time depends on, except the machine."""

    key: str

    def run(self) -> float:
        """CPU time of one run, in ns."""
        ...


@dataclass(frozen=True, slots=True)
class Quiet:
    """The reference's smallest time in ns, and whether it was seen on a quiet machine."""

    ns: float
    proven: bool


@dataclass(frozen=True, slots=True)
class Paced:
    """A sample in ns. `raw_ns` is as measured, `ns` on a quiet machine; `least_ns` is the smallest possible value.

    `before` and `after` are the slow-downs around it (1: quiet).
    """

    raw_ns: float
    ns: float
    least_ns: float
    before: float
    after: float

    def to_json(self) -> PacedRow:
        """The sample as stored in records."""
        return {
            "raw_ns": self.raw_ns,
            "ns": self.ns,
            "least_ns": self.least_ns,
            "before": self.before,
            "after": self.after,
        }


class Pace:
    """The slow-down of `reference` on this machine. Not for use by two threads at once."""

    def __init__(self, reference: Reference, folder: Path = CACHE) -> None:
        self._reference = reference
        self._path = folder / f"{reference.key}-{_machine()}.json"
        self.quiet = self._read()
        self._look(_FIRST_RUNS)

    def now_ns(self) -> float:
        """The reference's time now: the median of three runs, which excludes a cold cache and a short disturbance."""
        return statistics.median(self._look(_RUNS))

    def paced(self, raw_ns: float, before_ns: float, after_ns: float) -> Paced:
        """A sample with the reference's times around it."""
        before, after = self._slow_down(before_ns), self._slow_down(after_ns)
        least, most = sorted((before, after))
        slow_down = (before + after) / 2
        if most <= STEADY * least:
            most = slow_down
        if not self.quiet.proven:
            most *= UNPROVEN
        return Paced(raw_ns, raw_ns / slow_down, raw_ns / most, before, after)

    def _slow_down(self, ns: float) -> float:
        found = ns / self.quiet.ns
        return found if found >= QUIET_BAND else 1.0

    def _look(self, runs: int) -> list[float]:
        alone = _runnable() <= _room()
        took = [self._reference.run() for _ in range(runs)]
        alone = alone and _runnable() <= _room()
        least = min(took)
        if least < self.quiet.ns or (alone and not self.quiet.proven):
            self.quiet = Quiet(min(least, self.quiet.ns), self.quiet.proven or alone)
            self._write()
        return took

    def _read(self) -> Quiet:
        with suppress(OSError, ValueError, TypeError, KeyError):
            found = json.loads(self._path.read_bytes())
            ns, proven = found["ns"], found["proven"]
            if isinstance(ns, float) and ns > 0 and isinstance(proven, bool):
                return Quiet(ns, proven)
        return Quiet(float("inf"), proven=False)

    def _write(self) -> None:
        """Store it for the next process, atomically; without it, that process starts from nothing."""
        partial = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps(asdict(self.quiet)))
            partial.replace(self._path)


def _machine() -> str:
    """This boot of this machine: another boot may have another clock and other neighbours."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    return "unknown"


def _room() -> int:
    """The number of runnable tasks, including this one, that leaves us a core: half of the cores, or one."""
    return max(1, (os.cpu_count() or 1) // 2)


def _runnable() -> int:
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    return _room() + 1
