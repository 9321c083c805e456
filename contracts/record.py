"""The contents of `run.json`, `tests.jsonl` and `records.jsonl`: docs/schemas/run.schema.json as types.

Writers create these; readers of files that may be foreign or damaged use `harness.runs.figures` or
`harness.report.fields`. A verdict, clock or statistic is the value of its enum (`contracts.measurement`). Keys that
are not required were added after the first version of the schema, or belong to only one job.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict


class StageRow(TypedDict):
    """A judged figure: value, percentiles and limits in `unit`; None if not measured, or without a limit.

    `direction` is `at_most` where it is missing; `source` names what stood in for a board on the hardware clock.
    """

    name: str
    value: float | None
    unit: str
    clock: str
    stat: str | None
    samples: int
    p50: float | None
    p99: float | None
    max: float | None
    limit: float | None
    stretch: float | None
    verdict: str
    reason: NotRequired[str]
    missed_stretch: NotRequired[bool]
    raw: NotRequired[float | None]
    direction: NotRequired[str]
    source: NotRequired[str]


class MeasuredRow(StageRow):
    """What a test measured: the figure and its samples, warm-up included.

    Samples are in ns; those of a custom measurement are in its `unit`.
    """

    samples_list: NotRequired[list[float]]


class CaseAttemptRow(TypedDict):
    """One attempt at a test; `place` and `epoch` are None if no board was held."""

    verdict: str
    place: str | None
    epoch: int | None
    message: str


class SpreadRow(TypedDict):
    """How a figure varies over the runs of a soak test; `stdev` is that of the measured values."""

    count: int
    min: float
    mean: float
    max: float
    stdev: float
    first: float
    last: float


class FigureSpreadRow(SpreadRow):
    """A judged figure over the runs of a soak test."""

    name: str
    clock: str
    unit: str


class FirstFailureRow(TypedDict):
    """The first failed run of a soak test: its number, counted from 1, and the seconds since the first run began."""

    run: int
    after_s: float
    verdict: str
    message: str


class SoakRow(TypedDict):
    """All runs of one test: their number, duration and verdicts, and what varies.

    `run_s` is a run's seconds; `memory_kib` and `descriptors` are those of the test's process after each run.
    """

    runs: int
    seconds: float
    verdicts: dict[str, int]
    first_failure: FirstFailureRow | None
    run_s: SpreadRow
    memory_kib: SpreadRow
    descriptors: SpreadRow
    figures: list[FigureSpreadRow]


class CaseRow(TypedDict):
    """One test of a session. `kind`, `transcript`, `build_id` are None for a test without a board."""

    id: str
    kind: str | None
    verdict: str
    duration_s: float
    attempts: list[CaseAttemptRow]
    message: str
    sections: list[list[str]]
    measurements: list[MeasuredRow]
    transcript: NotRequired[str | None]
    build_id: NotRequired[str | None]
    worker: NotRequired[str]
    soak: NotRequired[SoakRow]


class AttemptRow(TypedDict):
    """One program that was written: the stage that refused it and why, or `deploy` and an empty reason."""

    stage: str
    reason: str


class MapRow(TypedDict):
    """A map of a program; sizes in bytes."""

    name: str
    type: str
    key: int
    value: int
    entries: int


class ProgramRow(TypedDict):
    """A program that was deployed."""

    program_id: str
    slots: int
    hook: str
    maps: list[MapRow]


class DiagnosisRow(TypedDict):
    """The diagnosis of the telemetry (`contracts.diagnosis.Diagnosis`)."""

    bottleneck: str
    hook: str
    evidence: str
    parameters: Mapping[str, str]


class PacedRow(TypedDict):
    """A host sample that was divided by the machine's slow-down (`harness.machine.pace.Paced`); ns, slow-downs from 1."""

    raw_ns: float
    ns: float
    least_ns: float
    before: float
    after: float


class SituationRow(TypedDict):
    """One situation. `virtual`, `hardware` and `host` hold its samples by stage, in ns (virtual: one instruction each)."""

    index: int
    warmup: bool
    family: str
    seed: int
    deployed: bool
    attempts: list[AttemptRow]
    diagnosis: NotRequired[DiagnosisRow | None]
    source: str
    program: NotRequired[ProgramRow | None]
    virtual: dict[str, list[float]]
    hardware: NotRequired[dict[str, list[float]]]
    host: dict[str, list[float]]
    paced: NotRequired[dict[str, list[PacedRow]]]


class BoardRow(TypedDict):
    """The result of one board of a run."""

    kind: str
    instance: str
    build_id: str
    scenario: str
    source: str
    verdict: str
    error: str
    crash: NotRequired[str]
    traceback: NotRequired[str]
    testing_build_id: NotRequired[str]
    drill: NotRequired[dict[str, int]]
    stages: list[StageRow]
    situations: list[SituationRow]


class About(TypedDict):
    """A record's data about its run.

    Only sessions have `exit` and `commit`; only runs have `situations`, `writer` and `model_hash`.
    """

    job: NotRequired[str]
    name: str
    started: str
    wall_s: float
    seed: int
    situations: NotRequired[int]
    writer: NotRequired[str]
    model_hash: NotRequired[str]
    command: list[str]
    python: NotRequired[str]
    interrupted: NotRequired[bool]
    verdict: str
    exit: NotRequired[int]
    commit: NotRequired[str | None]


class Record(TypedDict):
    """`run.json` of `assay run` (boards), of a test session or of `assay accept` (tests)."""

    schema: int
    run: About
    boards: list[BoardRow]
    tests: NotRequired[list[CaseRow]]
