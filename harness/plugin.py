"""pytest plugin: `--board` chooses kinds, the `board` fixture hands a test a running, pristine board of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import pytest

from contracts.board import BoardSpec
from contracts.errors import AssayError, ConfigError, InfraError, KernelError, SetupError
from harness.keys import LabKey, load_key

if TYPE_CHECKING:
    from harness.board import Board
    from harness.standing_board import StandingBoard

ROOT: Final = Path(__file__).resolve().parent.parent
INFRA_EXIT: Final = 75
INCONCLUSIVE_EXIT: Final = 76

_SPECS: Final = pytest.StashKey[list[BoardSpec]]()
_INFRA: Final = pytest.StashKey[list[str]]()
_LOST: Final = pytest.StashKey[list[str]]()
_OUTCOMES: Final = pytest.StashKey[set[str]]()
_STANDING: Final = pytest.StashKey["list[StandingBoard]"]()
_FAILED: Final = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options, in a group of their own in `pytest --help`."""
    group = parser.getgroup("assay", "Assay boards")
    group.addoption(
        "--board",
        action="append",
        default=[],
        metavar="KIND",
        help="board kind, glob or tag:NAME; repeatable (default: every kind tagged `default`)",
    )
    group.addoption("--seed", type=int, default=1, help="seed of boards and situations (default: 1)")


def pytest_configure(config: pytest.Config) -> None:
    """Choose boards before anything is collected: an unknown kind is a usage error (exit 4)."""
    config.addinivalue_line("markers", "board_kinds(*globs): run a board test on these kinds only")
    config.stash[_INFRA] = []
    config.stash[_LOST] = []
    config.stash[_OUTCOMES] = set()
    if not config.getoption("--board"):
        return
    from harness.registry import select

    try:
        config.stash[_SPECS] = list(select(config.getoption("--board")))
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from error


def _specs(config: pytest.Config) -> list[BoardSpec]:
    if _SPECS not in config.stash:
        from harness.registry import select

        try:
            config.stash[_SPECS] = list(select([]))
        except ConfigError as error:  # a UsageError would be one collection error among others here
            pytest.exit(str(error), returncode=ConfigError.exit_code)
    return config.stash[_SPECS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test that asks for a board runs once a kind; its id carries the kind."""
    if "board_spec" in metafunc.fixturenames:
        specs = _specs(metafunc.config)
        marker = metafunc.definition.get_closest_marker("board_kinds")
        if marker:
            from fnmatch import fnmatchcase

            specs = [spec for spec in specs if any(fnmatchcase(spec.kind, glob) for glob in marker.args)]
        metafunc.parametrize("board_spec", specs, ids=[spec.kind for spec in specs], scope="session")


@pytest.fixture(scope="session")
def lab_key() -> LabKey:
    """The development key."""
    return load_key(None)


def _standing(
    spec: BoardSpec, key: LabKey, config: pytest.Config, variant: Literal["release", "testing"]
) -> StandingBoard:
    from harness.build import build_kernel
    from harness.standing_board import StandingBoard

    return StandingBoard(spec, key, build_kernel(spec.firmware, variant=variant), config.getoption("--seed"))


@pytest.fixture(scope="session")
def _release_board(
    board_spec: BoardSpec, lab_key: LabKey, pytestconfig: pytest.Config
) -> Iterator[StandingBoard]:
    with _standing(board_spec, lab_key, pytestconfig, "release") as standing:
        yield standing


@pytest.fixture(scope="session")
def _testing_board(
    board_spec: BoardSpec, lab_key: LabKey, pytestconfig: pytest.Config
) -> Iterator[StandingBoard]:
    with _standing(board_spec, lab_key, pytestconfig, "testing") as standing:
        yield standing


def _lend(standing: StandingBoard, item: pytest.Item) -> Iterator[Board]:
    """Hand a standing board to one test. A test that passes although its board died is an error."""
    ended = standing.renew()
    if ended is not None:
        item.config.stash[_LOST].append(
            f"{standing.spec.kind} was found dead before {item.nodeid} and powered on again: {ended.what}"
        )
    item.stash.setdefault(_STANDING, []).append(standing)
    yield standing.board
    if not item.stash.get(_FAILED, False):
        standing.board.check_alive()


@pytest.fixture
def board(_release_board: StandingBoard, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A running board with a release kernel, pristine (`harness.board.Board`)."""
    yield from _lend(_release_board, request.node)


@pytest.fixture
def testing_board(_testing_board: StandingBoard, request: pytest.FixtureRequest) -> Iterator[Board]:
    """A running board with a testing kernel (it can plant faults), pristine (`harness.board.Board`)."""
    yield from _lend(_testing_board, request.node)


@pytest.fixture
def fresh_board(
    board_spec: BoardSpec, lab_key: LabKey, pytestconfig: pytest.Config, request: pytest.FixtureRequest
) -> Iterator[Board]:
    """A board that this test alone uses, powered on for it, with a testing kernel; the test may kill it."""
    with _standing(board_spec, lab_key, pytestconfig, "testing") as standing:
        request.node.stash.setdefault(_STANDING, []).append(standing)
        yield standing.board


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """The lab's own faults become the category `infra`; a failure shows what its board said last."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    item.config.stash[_OUTCOMES].add(report.outcome if report.when == "call" or not report.passed else "")
    if not report.failed:
        return
    item.stash[_FAILED] = True
    error = call.excinfo.value if call.excinfo else None
    if isinstance(error, InfraError | SetupError):
        item.config.stash[_INFRA].append(item.nodeid)
        report.assay_infra = True
        item.user_properties.append(("verdict", "infra"))  # the JUnit report takes them from the last phase
        report.user_properties.append(("verdict", "infra"))
    if isinstance(error, AssayError):
        report.sections.append(("assay", str(error)))
    for standing in item.stash.get(_STANDING, []):
        report.sections.append((f"board {standing.spec.kind}: last frames", standing.last_frames()))
        if isinstance(error, KernelError):
            report.sections.append((f"board {standing.spec.kind}: crash", standing.board.crash_record()))


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Show `infra` as a category of its own."""
    if getattr(report, "assay_infra", False):
        return "infra", "I", "INFRA"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the lab's own faults in full (pytest does so for `failed` alone), and which boards died."""
    for report in terminalreporter.getreports("infra"):
        terminalreporter.section(f"infra: {report.nodeid}")
        terminalreporter.line(report.longreprtext)
        for title, text in report.sections:
            terminalreporter.section(title, "-")
            terminalreporter.line(text)
    if config.stash[_LOST]:
        terminalreporter.section("boards that died")
        for line in config.stash[_LOST]:
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A session in which nothing failed but the lab ends with 75, one in which all was skipped with 76."""
    infra = session.config.stash[_INFRA]
    if infra and exitstatus == pytest.ExitCode.TESTS_FAILED and session.testsfailed == len(infra):
        session.exitstatus = INFRA_EXIT
    outcomes = session.config.stash[_OUTCOMES] - {""}
    if exitstatus == pytest.ExitCode.OK and outcomes == {"skipped"}:
        session.exitstatus = INCONCLUSIVE_EXIT


def pytest_unconfigure(config: pytest.Config) -> None:
    """Once pytest has written its JUnit report: faults of the lab become errors of type `infra` there."""
    path = config.getoption("xmlpath", None)
    if path and config.stash.get(_INFRA, []) and Path(path).is_file():
        from harness.junit import mark_infra

        mark_infra(Path(path))
