"""The contents of the report as plain frozen values: the page uses only these and no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from contracts.measurement import Direction
from contracts.stages import Stage
from harness.terminal.sentence import BoardTold, FigureTold, first_line, run_sentence, session_sentence

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Listing:
    """The part of a text file that the page shows; `href` links to the whole file, "" if there is none."""

    title: str
    text: str
    href: str
    lines_cut: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure of one situation, in ns (or in the stage's own unit if that is not a time)."""

    situation: int
    warmup: bool
    value: float


@dataclass(frozen=True, slots=True)
class StageView:
    """One row of a board: a stage on one clock. Values are in `unit`; None if missing."""

    name: str
    value: float | None
    unit: str
    clock: str
    stat: str
    count: int
    p50: float | None
    p99: float | None
    max: float | None
    limit: float | None
    stretch: float | None
    missed_stretch: bool
    verdict: str
    reason: str
    samples: tuple[Sample, ...]
    direction: str = "at_most"
    source: str = ""

    @property
    def used(self) -> float | None:
        """The share of its limit that a figure uses, above 1 beyond it; None without a limit above 0."""
        if self.value is None or self.limit is None or self.limit <= 0:
            return None
        if self.direction == "at_most":
            return self.value / self.limit
        return self.limit / self.value if self.value > 0 else float("inf")

    @property
    def shown_clock(self) -> str:
        """The clock, and what replaced a board on it."""
        return f"{self.clock} ({self.source})" if self.source else self.clock

    @property
    def shown_verdict(self) -> str:
        """The verdict, or `reported` for a figure without a budget."""
        reported = self.limit is None and self.value is not None and self.verdict == "pass"
        return "reported" if reported else self.verdict


def figures_told(stages: Iterable[StageView]) -> tuple[FigureTold, ...]:
    """Rows for a sentence."""
    return tuple(
        FigureTold(
            row.name,
            row.value,
            row.limit,
            row.unit,
            row.verdict,
            row.reason,
            row.direction == Direction.AT_LEAST,
        )
        for row in stages
    )


@dataclass(frozen=True, slots=True)
class Attempt:
    """One program that was written: the last stage it reached, and why that stage refused it ("" if deployed)."""

    number: int
    stage: str
    reason: str
    source: Listing | None
    prompt: Listing | None

    @property
    def refused(self) -> bool:
        """True if a stage refused it."""
        return bool(self.reason) or self.stage != Stage.DEPLOY


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one situation: `value_ns` in total, over `turns` measurements."""

    stage: str
    value_ns: float
    turns: int


@dataclass(frozen=True, slots=True)
class SituationView:
    """One extension from observe to rollback. `full` is False if the page shows only one line."""

    index: int
    warmup: bool
    family: str
    seed: str
    deployed: bool
    attempts: tuple[Attempt, ...]
    bottleneck: str
    hook: str
    evidence: str
    parameters: tuple[tuple[str, str], ...]
    program_id: str
    program: str
    host: tuple[Step, ...]
    virtual: tuple[Step, ...]
    adapt_ns: float | None
    uart_ns: float | None
    listings: tuple[Listing, ...]
    missing: tuple[str, ...]
    href: str
    full: bool = True

    @property
    def remarkable(self) -> bool:
        """True if it needs attention: nothing deployed, or not on the first attempt."""
        return not self.deployed or len(self.attempts) > 1


@dataclass(frozen=True, slots=True)
class Frame:
    """One line of the channel's transcript: `text` is its decoded payload, `repeats` its number of repetitions."""

    t: str
    outgoing: bool
    kind: str
    message: str
    sequence: str
    status: str
    text: str
    repeats: int = 1


@dataclass(frozen=True, slots=True)
class BoardView:
    """One board's card."""

    kind: str
    instance: str
    build_id: str
    scenario: str
    verdict: str
    error: str
    crash: str
    traceback: str
    drill: tuple[tuple[str, float], ...]
    stages: tuple[StageView, ...]
    situations: tuple[SituationView, ...]
    frames: tuple[Frame, ...]
    transcript_href: str
    files: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]

    @property
    def adapted(self) -> str:
        """The number of judged situations with a deployed program, in total and on the first attempt."""
        judged = [item for item in self.situations if not item.warmup]
        deployed = [item for item in judged if item.deployed]
        first = sum(1 for item in deployed if len(item.attempts) == 1)
        return f"{len(deployed)} of {len(judged)} situations adapted, {first} on the first attempt"


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One run's figure in a trend. `alike` is False for other inputs; `moved` is True if the kernel changed."""

    run: str
    value: float
    verdict: str
    alike: bool
    moved: bool


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure over runs, in the order in which they were added; the last point is the page's own run."""

    board: str
    stage: str
    clock: str
    test: str
    unit: str
    budget: float | None
    points: tuple[TrendPoint, ...]


@dataclass(frozen=True, slots=True)
class Trends:
    """The history up to a run. `note` explains missing trends."""

    trends: tuple[Trend, ...]
    note: str
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class RunView:
    """A whole run. `missing` lists what the folder lacks."""

    name: str
    started: str
    wall_s: float | None
    seed: str
    situations: str
    writer: str
    model_hash: str
    command: str
    python: str
    interrupted: bool
    verdict: str
    boards: tuple[BoardView, ...]
    missing: tuple[str, ...]
    trends: Trends

    @property
    def sentence(self) -> str:
        """The run in one sentence, as on the terminal."""
        told = [
            BoardTold(board.kind, board.verdict, board.error, figures_told(board.stages))
            for board in self.boards
        ]
        return run_sentence(told, interrupted=self.interrupted)

    @property
    def wrong(self) -> tuple[tuple[str, str, str], ...]:
        """What failed or was not judged: board, subject, reason."""
        found = []
        for board in self.boards:
            if board.error:
                found.append((board.kind, "ended early", first_line(board.error)))
            found += [
                (board.kind, stage.name, stage.reason)
                for stage in board.stages
                if stage.verdict in ("fail", "inconclusive")
            ]
        return tuple(found)


@dataclass(frozen=True, slots=True)
class TestAttempt:
    """One attempt at a test, and the board it ran on."""

    __test__ = False  # pytest is not to take it for a test case

    verdict: str
    place: str
    epoch: str
    message: str


@dataclass(frozen=True, slots=True)
class TestView:
    """One test of a session; `number` is its index in the record. Only tests that need attention have sections, frames."""

    __test__ = False

    number: int
    id: str
    kind: str
    verdict: str
    duration_s: float | None
    message: str
    attempts: tuple[TestAttempt, ...]
    sections: tuple[Listing, ...]
    measurements: tuple[StageView, ...]
    frames: tuple[Frame, ...]
    transcript_href: str
    build_id: str
    worker: str
    full: bool
    missing: tuple[str, ...]

    @property
    def remarkable(self) -> bool:
        """True if it needs attention: not passed and not skipped, or not on the first attempt."""
        return self.verdict not in ("pass", "marginal", "skip") or len(self.attempts) > 1


@dataclass(frozen=True, slots=True)
class KindView:
    """What a session's tests measured on one board type: for each stage the row nearest to its limit, or over it."""

    kind: str
    verdict: str
    counts: tuple[tuple[str, int], ...]
    stages: tuple[StageView, ...]
    duration_s: float
    on_board: bool = True


@dataclass(frozen=True, slots=True)
class SessionView:
    """A test session. `ended` is False if its controller ended before it wrote `run.json`."""

    job: str
    name: str
    started: str
    wall_s: float | None
    seed: str
    command: str
    python: str
    commit: str
    exit: str
    ended: bool
    interrupted: bool
    verdict: str
    files: tuple[tuple[str, str], ...]
    kinds: tuple[KindView, ...]
    tests: tuple[TestView, ...]
    missing: tuple[str, ...]
    trends: Trends

    @property
    def sentence(self) -> str:
        """The session in one sentence, as on the terminal."""
        told = [
            BoardTold(
                kind.kind if kind.on_board else "",
                kind.verdict,
                "",
                figures_told(kind.stages),
                tuple((test.id, test.verdict, test.message) for test in self.tests if test.kind == kind.kind),
            )
            for kind in self.kinds
        ]
        return session_sentence(told, interrupted=self.interrupted)
