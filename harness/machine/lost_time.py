"""Lost time: this process stopped, a board's process stopped, the machine asleep or its processors stolen.

The clocks of a measurement and of a timeout continue during it. A thread checks twenty times a second: its own gaps
(minus the time that this process worked in them, and minus the time that its threads waited for a processor:
`harness.machine.noise`), the state of the board's processes (proc_pid_stat(5)), the time that a hypervisor gave to other
machines (proc_stat(5), `steal`), and the clock that counts sleep (clock_gettime(2), CLOCK_BOOTTIME).
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from targets.processes import is_stopped

TICK_S: Final = 0.05
GAP_S: Final = 0.2
"""A gap below this is a busy interpreter or a timer that came late."""
STOLEN_SHARE: Final = 0.5
"""A smaller stolen share of a check is normal on a shared machine and is ignored."""
TOLD_S: Final = 0.05
"""A smaller total is ignored."""
_KEPT: Final = 4096
_JOIN_S: Final = 2.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Lost:
    """Lost seconds of a span, and a readable reason.

    `seconds` passed on the monotonic clock; `asleep_s` did not: the machine slept.
    """

    seconds: float = 0.0
    asleep_s: float = 0.0
    why: str = ""

    @property
    def any(self) -> bool:
        """Whether it is enough to be reported."""
        return self.seconds >= TOLD_S or self.asleep_s >= TOLD_S


@dataclass(frozen=True, slots=True)
class _Span:
    """A span of lost time on the monotonic clock; `seconds` of it are lost, not counting sleep."""

    began_s: float
    ended_s: float
    seconds: float
    why: str
    asleep: bool = False


class LostTime:
    """Counts from the moment it is made until `close`. A context manager.

    `processes` gives the processes that a board runs in, whenever it is asked; 0 and those that are gone are none.
    """

    def __init__(self, processes: Callable[[], Iterable[int]] = tuple) -> None:
        self._processes = processes
        self._spans: deque[_Span] = deque(maxlen=_KEPT)
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._last = _Moment.now()
        self._thread = threading.Thread(target=self._run, name="lost-time", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop counting; may be called twice."""
        self._closed.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(_JOIN_S)

    def since(self, began_s: float) -> Lost:
        """The time lost from `began_s` (monotonic) until now, including a gap that is still open."""
        with self._guard:
            spans = [span for span in self._spans if span.ended_s > began_s]
            spans += self._gap(self._last, _Moment.now())
        seconds = asleep_s = 0.0
        why: dict[str, float] = {}
        for span in spans:
            whole_s = span.ended_s - span.began_s
            inside = 1.0 if span.asleep else (span.ended_s - max(span.began_s, began_s)) / max(whole_s, 1e-9)
            lost_s = span.seconds * min(1.0, max(0.0, inside))
            if span.asleep:
                asleep_s += lost_s
            else:
                seconds += lost_s
            why[span.why] = why.get(span.why, 0.0) + lost_s
        told = "; ".join(f"{reason} for {lost_s:.2f} s" for reason, lost_s in why.items() if lost_s >= TOLD_S)
        return Lost(seconds, asleep_s, told)

    def _run(self) -> None:
        while not self._closed.wait(TICK_S):
            moment = _Moment.now()
            stopped = [pid for pid in self._processes() if pid and is_stopped(pid)]
            with self._guard:
                self._spans.extend(self._since_last(self._last, moment, stopped))
                self._last = moment

    def _since_last(self, last: _Moment, now: _Moment, stopped: list[int]) -> list[_Span]:
        spans = self._gap(last, now)
        tick_s = now.at_s - last.at_s
        if stopped and not spans:
            who = ", ".join(f"process {pid}" for pid in stopped)
            spans = [_Span(last.at_s, now.at_s, tick_s, f"the board ({who}) was stopped")]
        asleep_s = now.slept_min_s - last.slept_max_s
        if asleep_s >= TOLD_S:
            spans.append(_Span(last.at_s, now.at_s, asleep_s, "this machine slept", asleep=True))
        return spans

    @staticmethod
    def _gap(last: _Moment, now: _Moment) -> list[_Span]:
        """A gap between two checks in which no thread worked or waited for a processor, or the stolen part of it."""
        whole_s = now.at_s - last.at_s
        stolen_s = min(whole_s, now.stolen_s - last.stolen_s)
        gap_s = whole_s - TICK_S
        lost_s = gap_s - (now.worked_s - last.worked_s) - max(0.0, now.waited_s - last.waited_s)
        if gap_s >= GAP_S and lost_s >= max(GAP_S / 2, stolen_s):
            return [_Span(last.at_s, now.at_s, lost_s, "this process or machine did not run")]
        if stolen_s >= whole_s * STOLEN_SHARE > 0:
            return [
                _Span(
                    last.at_s, now.at_s, stolen_s, "the hypervisor gave this machine's processors to others"
                )
            ]
        return []


@dataclass(frozen=True, slots=True)
class _Moment:
    """One reading of every clock, in seconds.

    What the machine slept since boot is the difference of two clocks, which cannot be read at one moment: it lies
    between `slept_min_s` and `slept_max_s`.
    """

    at_s: float
    slept_min_s: float
    slept_max_s: float
    worked_s: float
    waited_s: float
    stolen_s: float

    @classmethod
    def now(cls) -> _Moment:
        before_s = time.monotonic()
        boot_s = time.clock_gettime(time.CLOCK_BOOTTIME)
        at_s = time.monotonic()
        return cls(
            at_s,
            boot_s - at_s,
            boot_s - before_s,
            time.process_time(),
            _waited_s(),
            _stolen_s(),
        )


def _waited_s() -> float:
    """How long all threads of this process waited for a processor; the sum may exceed the time that passed."""
    waited_ns = 0
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError, ValueError, IndexError):
                waited_ns += int((thread / "schedstat").read_text().split()[1])
    return waited_ns / 1e9


def _stolen_s() -> float:
    """The time stolen from the processor that lost most, since boot; 0 if the kernel does not report it."""
    most = 0
    with suppress(OSError, ValueError):
        for line in Path("/proc/stat").read_text().splitlines():
            words = line.split()
            if not words or not words[0].startswith("cpu"):
                break
            if words[0] != "cpu" and len(words) > 8:
                most = max(most, int(words[8]))
    return most / _TICKS_PER_S
