"""How often a writer's first program passes verifier and trial, in situations that training never saw.

The exam is 100 situations whose compositions or whole templates are held out of training by hash, so that training
cannot contain their prompts or programs. The checks (compiler, verifier, trial) are passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Final

from ai.diagnose import diagnose
from ai.scenarios import Situation, families, parameters_of, situation
from ai.scenarios.observe import telemetry
from ai.scenarios.parameters import held_out
from contracts.diagnosis import Diagnosis, Refusal
from contracts.errors import ProgramRejected

EXAM_SEED: Final = 1_000_000
"""First seed of the exam; a run's situations start at its own `--seed`."""
EXAM_SITUATIONS: Final = 100
PASS_SHARE: Final = 0.80
"""The share that the shipped model must pass on the first attempt."""

Write = Callable[[Diagnosis], str]
Attempt = Callable[[str, Situation], Refusal | None]
"""Compiles, verifies and tries a source in a situation: None if all accept it, else the stage and the reason."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one writer: counts of situations, by hold-out and by refusing stage."""

    writer: str
    passed: int
    total: int
    by_split: Mapping[str, tuple[int, int]]
    refused_by: Mapping[str, int]
    reasons: tuple[str, ...]

    @property
    def share(self) -> float:
        """Share of the situations that passed on the first attempt."""
        return self.passed / self.total if self.total else 0.0

    def __str__(self) -> str:
        splits = ", ".join(f"{name} {right}/{of}" for name, (right, of) in sorted(self.by_split.items()))
        refused = ", ".join(f"{stage} {n}" for stage, n in sorted(self.refused_by.items())) or "none"
        return f"{self.writer}: {self.passed}/{self.total} on the first attempt ({splits}; refused by: {refused})"


def exam(total: int = EXAM_SITUATIONS) -> Iterator[Situation]:
    """Situations of held-out compositions and templates, the families in turn."""
    streams = [_held_out_of(family) for family in families()]
    return islice((next(stream) for stream in _cycle(streams)), total)


def natural(total: int) -> Iterator[Situation]:
    """Unselected situations, four in five with compositions from training (with other traces and figures)."""
    seeds = count(EXAM_SEED)
    return islice((situation(family, seed) for seed in seeds for family in families()), total)


def score(writer: str, write: Write, attempt: Attempt, situations: Iterable[Situation]) -> Score:
    """Scores `write` on one first attempt per situation; a ProgramRejected from `write` counts as a refusal."""
    passed, total = 0, 0
    splits: dict[str, tuple[int, int]] = {}
    refused: Counter[str] = Counter()
    reasons = []
    for one in situations:
        refusal = _first_attempt(write, attempt, one)
        right, of = splits.get(one.split or "seen", (0, 0))
        splits[one.split or "seen"] = (right + (refusal is None), of + 1)
        total += 1
        if refusal is None:
            passed += 1
        else:
            refused[refusal.stage] += 1
            reasons.append(f"{one.family} {one.seed}: {refusal.stage}: {refusal.reason}")
    return Score(writer, passed, total, splits, refused, tuple(reasons))


def _first_attempt(write: Write, attempt: Attempt, one: Situation) -> Refusal | None:
    diagnosis = diagnose(telemetry(one.workload), one.policy)
    try:
        source = write(diagnosis)
    except ProgramRejected as rejected:
        return Refusal(rejected.stage, rejected.reason, "")
    return attempt(source, one)


def _held_out_of(family: str) -> Iterator[Situation]:
    for seed in count(EXAM_SEED):
        if held_out(parameters_of(family, seed)):
            yield situation(family, seed)


def _cycle(streams: list[Iterator[Situation]]) -> Iterator[Iterator[Situation]]:
    while True:
        yield from streams
