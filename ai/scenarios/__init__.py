"""Scenario families: seeded situations, each with a workload, a trial and an oracle.

`situation(family, seed)` is a pure function of its arguments; `families()` is the registry.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from ai.scenarios import oracle, traces
from ai.scenarios.oracle import Expectation
from ai.scenarios.parameters import (
    ACTIONS,
    FAMILIES,
    FILTERS,
    KEYS,
    LIMITING,
    LIMITS,
    MIN_LENGTHS,
    SCALES,
    WINDOWS_MS,
    Parameters,
    draw,
    held_out,
)
from ai.scenarios.programs import EMPTY, reference
from contracts.diagnosis import TrialObservation, TrialResult
from contracts.errors import ConfigError, did_you_mean
from contracts.trace import Trace

__all__ = ["EMPTY", "Parameters", "Policy", "Situation", "families", "held_out", "situation"]

TRIAL_BYTES_MAX: Final = 8 * 1024
_RECORD_BYTES: Final = 16
_ATTEMPTS: Final = 40


@dataclass(frozen=True, slots=True)
class Policy:
    """The operator's policy for a bottleneck: every choice that telemetry cannot show.

    The fields of `Parameters` except the family and the protocol filter, which a diagnosis takes from the telemetry.
    """

    key: str
    measure: str
    min_length: int
    entries: int
    limit: int = 0
    window_ms: int = 0
    action: str = ""
    scale: str = ""
    buckets: int = 0


@dataclass(frozen=True, slots=True)
class Situation:
    """One seeded situation: what to observe, what to try a program on, and the expected result.

    A kernel replays `workload` before its telemetry is read; the program is tried on `trial` with empty maps.
    `reference` is a correct program; `split` names the hold-out that it belongs to, or is "".
    """

    family: str
    seed: int
    parameters: Parameters
    policy: Policy
    workload: Trace
    trial: Trace
    expected: Expectation
    reference: str
    split: str

    def judge_trial(self, observed: TrialObservation) -> TrialResult:
        """Whether the trial matches the oracle; the reason of a failure is suitable for a repair prompt."""
        return oracle.judge(self.expected, observed)


def families() -> tuple[str, ...]:
    """Names of the scenario families."""
    return FAMILIES


def situation(family: str, seed: int) -> Situation:
    """The situation of `family` that `seed` names. Raises ConfigError for an unknown family."""
    if family not in FAMILIES:
        raise ConfigError(
            f"no scenario {family!r}{did_you_mean(family, FAMILIES)}",
            expected=f"one of {', '.join(FAMILIES)}",
            seen=repr(family),
            do="name one with --scenario",
        )
    return situation_for(parameters_of(family, seed), seed)


def parameters_of(family: str, seed: int) -> Parameters:
    """The parameters of that situation, without its traces."""
    return draw(family, Random(f"situation/{family}/{seed}"))


def situation_for(parameters: Parameters, seed: int) -> Situation:
    """The situation with given parameters; traces and addresses come from `seed`."""
    rng = Random(f"traces/{parameters.family}/{seed}")
    workload = traces.workload(parameters, rng)
    trial = _telling_trial(parameters, rng)
    policy = Policy(
        key=parameters.key,
        measure=parameters.measure,
        min_length=parameters.min_length,
        entries=parameters.entries,
        limit=parameters.limit,
        window_ms=parameters.window_ms,
        action=parameters.action,
        scale=parameters.scale,
        buckets=parameters.buckets,
    )
    return Situation(
        family=parameters.family,
        seed=seed,
        parameters=parameters,
        policy=policy,
        workload=workload,
        trial=trial,
        expected=oracle.expect(parameters, trial),
        reference=reference(parameters),
        split=held_out(parameters),
    )


def wrong_choices(parameters: Parameters) -> list[Parameters]:
    """Parameters that differ from the given ones in one choice that a trial can show (not the number of entries)."""
    p, wrong = parameters, []
    wrong += [replace(p, filter=f) for f in FILTERS[p.family] if f != p.filter]
    wrong += [replace(p, min_length=n) for n in MIN_LENGTHS if n != p.min_length]
    if p.key != "pair":
        wrong += [replace(p, key=k) for k in KEYS[p.family] if k not in (p.key, "pair")]
    if p.family in LIMITING:
        wrong += [replace(p, limit=n) for n in LIMITS[p.measure] if n != p.limit]
        wrong += [replace(p, action=a) for a in ACTIONS if a != p.action]
        wrong += (
            [replace(p, window_ms=w) for w in WINDOWS_MS if w and w != p.window_ms] if p.window_ms else []
        )
    if p.family == "latency":
        wrong += [replace(p, scale=s) for s in SCALES if s != p.scale]
    return wrong


def _telling_trial(parameters: Parameters, rng: Random) -> Trace:
    """The first trial, of a bounded number of seeded candidates, that detects the most wrong choices."""
    best: tuple[int, Trace] | None = None
    for _ in range(_ATTEMPTS):
        trace = traces.trial(parameters, rng)
        if sum(_RECORD_BYTES + (len(p.frame) + 7) // 8 * 8 for p in trace.packets) > TRIAL_BYTES_MAX:
            continue
        right = oracle.expect(parameters, trace)
        if parameters.action and not _acts(parameters, right):
            continue
        missed = sum(_same(right, oracle.expect(wrong, trace)) for wrong in wrong_choices(parameters))
        if best is None or missed < best[0]:
            best = (missed, trace)
        if missed == 0:
            break
    if best is None:
        raise ValueError(f"no trial of at most {TRIAL_BYTES_MAX} bytes triggers the action for {parameters}")
    return best[1]


def _acts(parameters: Parameters, right: Expectation) -> bool:
    return bool(right.maps["marked"]) if parameters.action == "mark" else len(set(right.verdicts)) > 1


def _same(right: Expectation, wrong: Expectation) -> bool:
    """Whether two expectations are equal except for map names (a program may use the right name but wrong contents)."""
    contents = [list(e.maps.values()) for e in (right, wrong)]
    return right.verdicts == wrong.verdicts and contents[0] == contents[1]
