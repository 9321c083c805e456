"""What the telemetry means, and what a model wrote about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.stages import Stage


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A bottleneck found in telemetry.

    `bottleneck` is the scenario family's name, `hook` where a program should sit, `evidence` one line a person
    can check against the telemetry, `parameters` the closed-set choices that a program is asked to make.
    """

    bottleneck: str
    hook: str
    evidence: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an earlier program was refused: the stage, its reason, and the program's source."""

    stage: Stage
    reason: str
    source: str


@dataclass(frozen=True, slots=True)
class Generated:
    """A program as a model wrote it, with its provenance.

    `thread_cpu_s` is the generating thread's CPU time in seconds, `wall_s` its wall time. Hashes are SHA-256.
    """

    source: str
    prompt: str
    tokens: int
    prompt_hash: bytes
    model_hash: bytes
    thread_cpu_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class TrialObservation:
    """What a program did on the trial trace: one verdict per packet, and the contents of its maps by name.

    Array maps are complete (key is the u32 index, little-endian); keys and values are raw bytes.
    """

    verdicts: tuple[int, ...]
    maps: Mapping[str, Mapping[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class TrialResult:
    """Whether the observation matches the oracle; `reason` describes the first difference."""

    ok: bool
    reason: str = ""
