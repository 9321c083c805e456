"""The figures of a recorded run or of the committed baseline, for comparisons and the history."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from contracts.errors import ConfigError, did_you_mean
from contracts.measurement import NS_PER_UNIT, Clock, Direction, Stat, Verdict
from contracts.root import ROOT
from contracts.stages import Stage as JourneyStage
from harness.config.json_file import read_json
from harness.runs.record import DEFAULT_RESULTS, Job, find_run

BASELINE: Final = ROOT / "lab-config" / "baseline.json"

# Names for a document that are not the name of a run.
_WORDS: Final = ("baseline", "last")


class _Read(BaseModel):
    """A part of a document: ignores keys of later versions, requires the keys that are used."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Stage(_Read):
    """A stage's row: its judged value in `unit` on `clock`; None if nothing was measured."""

    name: str
    value: float | None
    unit: str
    clock: Clock
    stat: Stat | None
    samples: int
    limit: float | None = None
    verdict: Verdict
    direction: Direction = Direction.AT_MOST

    @property
    def own_unit(self) -> str:
        """The unit of a custom measurement; empty for a stage of the journey."""
        return "" if self.name in tuple(JourneyStage) else self.unit

    @property
    def in_samples_unit(self) -> float:
        """The value in the unit of its samples: ns, or the unit of a custom measurement."""
        scale = 1.0 if self.own_unit else NS_PER_UNIT.get(self.unit, 1.0)
        return round((self.value or 0.0) * scale, 6)


class Program(_Read):
    """The program that a situation deployed."""

    program_id: str


class Attempt(_Read):
    """One written program: the stage that refused it, or `deploy`."""

    stage: str


class Situation(_Read):
    """One seeded situation: its samples by stage, in ns (virtual: instructions)."""

    index: int
    warmup: bool
    family: str
    seed: int
    attempts: list[Attempt]
    program: Program | None = None
    virtual: dict[str, list[float]]
    hardware: dict[str, list[float]] = {}
    host: dict[str, list[float]] = {}

    def samples(self, clock: Clock) -> dict[str, list[float]]:
        """Its samples on one clock, by stage."""
        return {Clock.VIRTUAL: self.virtual, Clock.HARDWARE: self.hardware, Clock.HOST: self.host}[clock]

    @property
    def identity(self) -> tuple[str, int, str, tuple[str, ...]]:
        """Equal for two situations with the same input, the same program and the same attempts."""
        stages = tuple(attempt.stage for attempt in self.attempts)
        return (self.family, self.seed, self.program.program_id if self.program else "", stages)


class Measured(Stage):
    """A figure that a test had judged: the row, and its samples, warm-up included."""

    samples_list: list[float] = []


class TestRow(_Read):
    """One test of a session, with its figures."""

    __test__ = False  # pytest is not to take it for a test case

    id: str
    kind: str | None = None
    verdict: Verdict
    build_id: str | None = None
    measurements: list[Measured] = []


class Board(_Read):
    """One board's part of a document."""

    kind: str
    build_id: str
    scenario: str
    verdict: Verdict
    error: str = ""
    testing_build_id: str = ""
    drill: dict[str, int] = {}
    stages: list[Stage]
    situations: list[Situation]

    def rows(self, clock: Clock) -> dict[str, Stage]:
        """Its measured stages on one clock, by name."""
        return {row.name: row for row in self.stages if row.clock is clock and row.value is not None}


class About(_Read):
    """A document's data about its run. A test session has no situations."""

    job: Job = "run"
    name: str
    started: str
    seed: int
    situations: int = 0
    writer: str = ""
    model_hash: str = ""
    verdict: Verdict
    interrupted: bool = False


class Document(_Read):
    """`run.json` of a run or of a test session, or a baseline made from a run (only its virtual figures)."""

    version: Literal[1] = Field(alias="schema")
    run: About
    boards: list[Board]
    tests: list[TestRow] = []


@dataclass(frozen=True, slots=True)
class Figures:
    """A document, its file, and its name in tables."""

    label: str
    path: Path
    document: Document

    @property
    def boards(self) -> Mapping[str, Board]:
        """Its boards by board type."""
        return {board.kind: board for board in self.document.boards}


def parse(content: Any, path: Path) -> Document:
    """Read a document. Raises ConfigError, with the key, if `content` is not one."""
    try:
        return Document.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "the file"
        raise ConfigError(
            f"{path} is not a run's record: {where}: {first['msg']}",
            expected="a run.json that matches docs/schemas/run.schema.json",
            seen=repr(first["input"])[:80],
            do="name a finished run, or make one with `assay run`",
        ) from error


def load(
    name: str, results: Path = DEFAULT_RESULTS, baseline: Path = BASELINE, job: Job | None = None
) -> Figures:
    """The figures of a run's name or folder, a JSON file, `last` (of a job, if given), or `baseline`.

    Raises ConfigError, with the nearest name, for anything else.
    """
    if name == "baseline":
        if not baseline.is_file():
            raise ConfigError(
                f"no baseline at {baseline}",
                expected="the virtual figures of an earlier run",
                seen="no such file",
                do="make a run with `assay run`, then `assay baseline write last`",
            )
        path = baseline
    elif _is_no_folder(Path(name)):
        path = Path(name)
    else:
        path = _recorded(name, results, job)
    document = parse(read_json(path), path)
    label = f"baseline ({document.run.name})" if path == baseline else document.run.name
    return Figures(label, path, document)


def _is_no_folder(path: Path) -> bool:
    """Whether a file exists that may be a record; its reader checks it."""
    with contextlib.suppress(OSError):  # not a valid file name
        return path.exists() and not path.is_dir()
    return False


def _recorded(name: str, results: Path, job: Job | None) -> Path:
    try:
        return find_run(name, results, job) / "run.json"
    except ConfigError as error:
        meant = did_you_mean(name, _WORDS)
        if name in _WORDS or not meant:
            raise
        raise ConfigError(
            f"no run {name!r} under {results}{meant}",
            expected="a run's name, its folder, a JSON file, `last` or `baseline`",
            seen=name,
            do="list the folder, or make a run with `assay run`",
        ) from error
