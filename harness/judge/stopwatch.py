"""Samples by stage and clock: what each stage took, on the clock of its budget."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from contracts.measurement import Clock, Measurement, Samples
from harness.machine.pace import Paced


@dataclass(slots=True)
class Stopwatch:
    """Collects samples in ns, in the order they were taken. Not shared between threads."""

    samples: dict[tuple[str, Clock], list[float]] = field(default_factory=dict)
    wall: dict[str, list[float]] = field(default_factory=dict)
    waited: dict[str, list[float]] = field(default_factory=dict)
    lost: dict[str, list[str]] = field(default_factory=dict)
    """Why part of the time of a stage's samples was lost, as readable text."""
    paced: dict[str, list[Paced]] = field(default_factory=dict)
    """Host samples that were divided by the machine's slow-down around them; empty for other stages."""
    sources: dict[Clock, str] = field(default_factory=dict)
    _parts: dict[str, int] = field(default_factory=dict)

    def add(self, stage: str, clock: Clock, ns: float) -> None:
        """Record one sample of `stage`."""
        self.samples.setdefault((stage, clock), []).append(float(ns))

    def add_paced(self, stage: str, paced: Paced) -> None:
        """Record one host sample as it would be on a quiet machine, together with the measured value."""
        self.add(stage, Clock.HOST, paced.ns)
        self.paced.setdefault(stage, []).append(paced)

    def take(self, stage: str, samples: Samples) -> None:
        """Record a board's samples of `stage`, on their clock."""
        for value in samples:
            self.add(stage, samples.clock, value)
        self.sources[samples.clock] = samples.source

    @contextlib.contextmanager
    def cpu(self, stage: str) -> Iterator[None]:
        """Time a host stage: thread CPU time is the sample, wall time is recorded separately."""
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(stage, Clock.HOST, time.thread_time_ns() - cpu)
            self.wall.setdefault(stage, []).append(float(time.perf_counter_ns() - wall))

    @contextlib.contextmanager
    def elapsed(self, stage: str) -> Iterator[None]:
        """Time a stage that waits for a board: wall time is the sample."""
        wall = time.perf_counter_ns()
        try:
            yield
        finally:
            self.add(stage, Clock.HOST, time.perf_counter_ns() - wall)

    @contextlib.contextmanager
    def part(self, stage: str) -> Iterator[None]:
        """Time one of several parts of a stage; `sum_parts` combines them into one sample."""
        wall = time.perf_counter_ns()
        try:
            yield
        finally:
            self._parts[stage] = self._parts.get(stage, 0) + time.perf_counter_ns() - wall

    def sum_parts(self, stage: str) -> None:
        """Record the parts since the last call as one sample."""
        self.add(stage, Clock.HOST, self._parts.pop(stage, 0))

    def measurements(self) -> list[Measurement]:
        """Everything recorded, one Measurement per stage and clock."""
        return [
            Measurement(
                stage,
                clock,
                tuple(values),
                waited=tuple(self.waited.get(stage, ())) if clock is Clock.HOST else (),
                lost="; ".join(self.lost.get(stage, ())) if clock is Clock.HOST else "",
                raw=tuple(paced.raw_ns for paced in self.paced.get(stage, ())) if clock is Clock.HOST else (),
                least=tuple(paced.least_ns for paced in self.paced.get(stage, ()))
                if clock is Clock.HOST
                else (),
                source=self.sources.get(clock, ""),
            )
            for (stage, clock), values in self.samples.items()
        ]
