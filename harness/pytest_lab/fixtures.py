"""Fixtures: boards, the worker's lease, the lab's key, budgets."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
from _pytest.outcomes import Skipped

from contracts.board import BoardSpec
from contracts.errors import BuildError, ConfigError, InfraError
from harness.config.keys import LabKey, load_key
from harness.pytest_lab.state import ATTEMPT, Attempt, lab_of

if TYPE_CHECKING:
    from contracts.measurement import Clock, Samples
    from harness.boards.board import Board
    from harness.boards.serial_line import SerialLine
    from harness.boards.standing import StandingBoard, Variant
    from harness.judge.budgets import Judged
    from harness.lease import Lease
    from harness.machine.lost_time import Lost, LostTime


class Inconclusive(Skipped):
    """A budget could not be judged: too few samples or a noisy host. Neither a pass nor a failure."""


@pytest.fixture(scope="session")
def lab_key() -> LabKey:
    """The development key."""
    return load_key(None)


@pytest.fixture(scope="session")
def board_spec(request: pytest.FixtureRequest) -> BoardSpec:
    """The board type that the test runs on (`contracts.board.BoardSpec`)."""
    spec = getattr(request, "param", None)
    if not isinstance(spec, BoardSpec):
        raise pytest.UsageError(
            "a board fixture must be an argument, so that the test runs once per board type: "
            f"`def test_it(board): ...`; {request.fixturename} was requested in another way"
        )
    return spec


def make_standing(config: pytest.Config, key: LabKey, *, second: bool = False) -> StandingBoard:
    """A board for this process by the session's options. A `second` one is never the one that is up (`--keep`)."""
    from harness.boards.standing import StandingBoard
    from harness.keeper.standing import KeptStanding

    worker = getattr(config, "workerinput", {}).get("workerid", "")

    def waiting(reason: str) -> None:
        """Print on the terminal (also from a worker) why the session waits."""
        capture = config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            return
        with capture.global_and_fixture_disabled():
            sys.stderr.write(f"\nassay: waiting{f' ({worker})' if worker else ''}: {reason}\n")

    make = KeptStanding if config.getoption("--keep") and not second else StandingBoard
    return make(
        key,
        config.getoption("--seed"),
        timeout_s=config.getoption("--lease-timeout"),
        purpose=f"pytest {worker}".strip(),
        waiting=waiting,
    )


def _standing(request: pytest.FixtureRequest, key: LabKey) -> StandingBoard:
    lab = lab_of(request.config)
    if lab.standing is None:
        lab.standing = make_standing(request.config, key)
    return lab.standing


def _attempt(request: pytest.FixtureRequest) -> Attempt:
    stash: pytest.Stash = request.node.stash
    return stash.setdefault(ATTEMPT, Attempt())


def _listen(standing: StandingBoard, attempt: Attempt, path: Path | None) -> None:
    """Start the test's transcript. A write failure affects the record, not the test."""
    try:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        standing.listen(path)
    except (InfraError, OSError) as error:
        attempt.unwritten.append(f"transcript {path}: {error}")
        attempt.transcript = None
        standing.listen(None)


def _hush(standing: StandingBoard, attempt: Attempt) -> None:
    try:
        standing.hush()
    except InfraError as error:
        attempt.unwritten.append(f"transcript {attempt.transcript}: {error}")


def _lend(
    request: pytest.FixtureRequest,
    spec: BoardSpec,
    key: LabKey,
    variant: Variant,
    how: Literal["ready", "fresh"],
) -> Iterator[Board]:
    """Give the process's board to one test. A test that passes although its board died is an error."""
    standing, attempt = _standing(request, key), _attempt(request)
    attempt.boards.append(standing)
    _listen(standing, attempt, attempt.transcript)
    try:
        if how == "fresh":
            yield standing.fresh(spec, variant)
        else:
            board, ended = standing.ready(spec, variant)
            if ended is not None:
                test = request.node.nodeid
                attempt.lost.append(
                    f"{spec.kind} was found dead before {test} and powered on again: {ended.what}"
                )
            yield board
            if not attempt.failed and not lab_of(request.config).interrupted:
                board.check_alive()
    except BuildError as error:  # no test of this board type can run; no board has been leased
        request.session.shouldfail = f"the kernel of {spec.kind} does not build: {error.what}"
        raise
    finally:
        _hush(standing, attempt)
        if how == "fresh":
            standing.off()


@pytest.fixture
def board(board_spec: BoardSpec, lab_key: LabKey, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A running board with a release kernel, reset to its state after boot (`harness.boards.board.Board`)."""
    yield from _lend(request, board_spec, lab_key, "release", "ready")


@pytest.fixture
def testing_board(board_spec: BoardSpec, lab_key: LabKey, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A running board with a testing kernel (it can plant faults), reset to its state after boot."""
    yield from _lend(request, board_spec, lab_key, "testing", "ready")


@pytest.fixture
def fresh_board(board_spec: BoardSpec, lab_key: LabKey, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A board that is powered on for this test only, with a testing kernel; the test may crash it."""
    yield from _lend(request, board_spec, lab_key, "testing", "fresh")


@pytest.fixture
def board_pair(
    board_spec: BoardSpec, lab_key: LabKey, request: pytest.FixtureRequest
) -> Iterator[tuple[Board, Board]]:
    """Two boards of one type with release kernels, reset. Skipped if the lab has only one."""
    if board_spec.instances < 2:
        pytest.skip(f"the lab has only one {board_spec.kind}, the test needs two")
    attempt = _attempt(request)
    lending = _lend(request, board_spec, lab_key, "release", "ready")
    first = next(lending)
    try:
        with make_standing(request.config, lab_key, second=True) as second:
            second.avoid = frozenset({first.lease.place.name})
            attempt.boards.append(second)
            path = attempt.transcript
            _listen(second, attempt, path and path.with_suffix(".second.jsonl"))
            other, _ = second.ready(board_spec, "release")
            yield first, other
            if not attempt.failed and not lab_of(request.config).interrupted:
                other.check_alive()
            _hush(second, attempt)
    finally:
        for _ in lending:
            pass


@pytest.fixture
def lease(board_spec: BoardSpec, lab_key: LabKey, request: pytest.FixtureRequest) -> Lease:
    """The process's place, with its board off, for a test that boots it: `open_board(..., lease=lease)`."""
    standing = _standing(request, lab_key)
    _attempt(request).boards.append(standing)
    standing.off()
    lease = standing.claim(board_spec)
    if standing.keeps:
        pytest.skip("a board that is kept up (`--keep`) is booted by its keeper, not by a test")
    return lease


@pytest.fixture
def serial(board_spec: BoardSpec, lease: Lease, request: pytest.FixtureRequest) -> Iterator[SerialLine]:
    """The raw console of a board that was just switched on, whatever it boots: `serial.expect("login:")`.

    Nothing is written to a hardware board's boot medium; a QEMU runs the release kernel. A failing `expect` reports what
    was received (`harness.boards.serial_line.SerialLine`).
    """
    from harness.boards.serial_line import raw_console
    from harness.kernel.board_kernel import kernel_for

    image = kernel_for(board_spec) if board_spec.qemu is not None else None
    with raw_console(board_spec, lease, image, log=_console_log(request)) as line:
        yield line


@pytest.fixture
def open_serial(request: pytest.FixtureRequest) -> Iterator[Callable[..., SerialLine]]:
    """Raw lines of devices that are not boards of the lab: `open_serial("/dev/ttyUSB3", baud=115200)`."""
    from contextlib import ExitStack

    from harness.boards.serial_line import open_line

    with ExitStack() as stack:

        def open_one(url: str, *, baud: int = 115_200) -> SerialLine:
            return stack.enter_context(open_line(url, baud=baud, log=_console_log(request)))

        yield open_one


def _console_log(request: pytest.FixtureRequest) -> Path | None:
    """The file for a raw console's bytes, beside the transcripts of the session."""
    path = _attempt(request).transcript
    if path is None:
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_suffix(".console")


class BudgetQuestion:
    """One stage's budget in a test."""

    def __init__(self, fixture: TestBudgets, stage: str, clock: Clock | str | None) -> None:
        self._fixture = fixture
        self._stage = stage
        self._clock = clock

    def judge(
        self,
        samples: Samples | Iterable[float],
        *,
        clock: Clock | str | None = None,
        unit: str | None = None,
        waited: Iterable[float] = (),
    ) -> Judged:
        """Judge samples and add the figure to the test's record.

        `board.samples(...)` carry their clock; plain numbers are in ns, or in the unit of a custom measurement. A missed
        limit fails the test (BudgetExceeded); too few samples, a noisy host or a budget only for another clock make it
        inconclusive; a stage without a budget and without samples skips it. Marginal passes and is reported. Raises
        ConfigError for an unknown stage or clock, for samples of another clock than the requested one, and for plain
        numbers of an on-board stage without a clock.
        """
        __tracebackhide__ = True
        return self._fixture.judge(self._stage, clock or self._clock, samples, unit, waited)


class TestBudgets:
    """The `budget` fixture: `budget("verify").judge(board.samples("verify", loaded))`.

    A missed limit is BudgetExceeded, which fails the test; too few samples make the test inconclusive.
    """

    __test__ = False

    def __init__(self, file: Path | None, *, strict: bool, attempt: Attempt, lost_time: LostTime) -> None:
        self._file = file
        self._strict = strict
        self._attempt = attempt
        self._lost_time = lost_time
        self._began_s = time.monotonic()

    def _lost(self) -> Lost:
        """The most time that this process, or a board of this test, has lost since the test began."""
        boards = [standing.board for standing in self._attempt.boards if standing.board is not None]
        found = [self._lost_time.since(self._began_s), *(board.lost_since(self._began_s) for board in boards)]
        return max(found, key=lambda lost: lost.seconds)

    def __call__(self, stage: str, clock: Clock | str | None = None) -> BudgetQuestion:
        """The budget of a stage or of a custom measurement; without a clock, on the samples' clock."""
        return BudgetQuestion(self, stage, clock)

    def judge(
        self,
        stage: str,
        clock: Clock | str | None,
        samples: Samples | Iterable[float],
        unit: str | None,
        waited: Iterable[float],
    ) -> Judged:
        """Judge by the file's budget; see `BudgetQuestion.judge`."""
        from contracts.measurement import Samples, Verdict
        from harness.judge.budgets import DEFAULT_BUDGETS, Budgets

        __tracebackhide__ = True
        values = [float(sample) for sample in samples]
        budgets = Budgets.load(self._file or DEFAULT_BUDGETS, strict=self._strict)
        lost = self._lost()
        given = samples if isinstance(samples, Samples) else values
        if given is values and clock is not None:
            self._refuse_another_clock(stage, str(clock))
        judged = budgets(stage, clock).judge(
            given, unit=unit, waited=waited, lost_ns=lost.seconds * 1e9, lost=lost.why if lost.any else ""
        )
        self._attempt.measurements.append(judged.with_samples(values))
        if judged.verdict is Verdict.INCONCLUSIVE:
            raise Inconclusive(f"{stage} on the {judged.clock} clock is inconclusive: {judged.reason}")
        if judged.verdict is Verdict.SKIP:
            pytest.skip(f"{stage} on the {judged.clock} clock: {judged.reason}")
        return judged.demand()

    def _refuse_another_clock(self, stage: str, clock: str) -> None:
        """Plain numbers have the clock that the test names, but a board has only one. Raises ConfigError."""
        from contracts.stages import Side

        clocks = {str(standing.board.clock) for standing in self._attempt.boards if standing.board}
        if clocks and clock in Side.BOARD.clocks and clock not in clocks:
            (own, *_) = sorted(clocks)
            raise ConfigError(
                f"figures of {stage} on the {clock} clock",
                expected=f"the {own} clock, on which this test's board measures",
                seen=clock,
                do=f'give `budget("{stage}").judge(board.samples("{stage}", answer))`: the samples carry their clock',
            )


@pytest.fixture
def budget(request: pytest.FixtureRequest) -> Iterator[TestBudgets]:
    """Budgets as assertions: `budget("verify").judge(board.samples("verify", loaded))` fails if the limit is missed."""
    config = request.config
    file = config.getoption("--budgets")
    from harness.machine.lost_time import LostTime

    with LostTime() as lost_time:
        yield TestBudgets(
            Path(file) if file else None,
            strict=config.getoption("--strict-budgets"),
            attempt=_attempt(request),
            lost_time=lost_time,
        )
