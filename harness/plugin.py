"""pytest plugin: `--board` chooses kinds, the `board` fixture hands a test a running, pristine board of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from contracts.board import BoardSpec
from contracts.errors import AssayError, ConfigError, InfraError
from harness.keys import LabKey, load_key

ROOT: Final = Path(__file__).resolve().parent.parent
INFRA_EXIT: Final = 75

_SPECS: Final = pytest.StashKey[list[BoardSpec]]()
_INFRA: Final = pytest.StashKey[list[str]]()


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
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error
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


@pytest.fixture(scope="session")
def _release_board(board_spec: BoardSpec, lab_key: LabKey, pytestconfig: pytest.Config) -> Iterator[object]:
    from harness.board import open_board
    from harness.build import build_kernel

    image = build_kernel(board_spec.firmware, variant="release")
    with open_board(
        board_spec, lab_key, image, transcript=None, seed=pytestconfig.getoption("--seed")
    ) as board:
        yield board


@pytest.fixture(scope="session")
def _testing_board(board_spec: BoardSpec, lab_key: LabKey, pytestconfig: pytest.Config) -> Iterator[object]:
    from harness.board import open_board
    from harness.build import build_kernel

    image = build_kernel(board_spec.firmware, variant="testing")
    with open_board(
        board_spec, lab_key, image, transcript=None, seed=pytestconfig.getoption("--seed")
    ) as board:
        yield board


@pytest.fixture
def board(_release_board: object) -> object:
    """A running board with a release kernel, pristine (`harness.board.Board`)."""
    _release_board.pristine()  # type: ignore[attr-defined]
    return _release_board


@pytest.fixture
def testing_board(_testing_board: object) -> object:
    """A running board with a testing kernel (it can plant faults), pristine (`harness.board.Board`)."""
    _testing_board.pristine()  # type: ignore[attr-defined]
    return _testing_board


@pytest.fixture
def fresh_board(board_spec: BoardSpec, lab_key: LabKey, pytestconfig: pytest.Config) -> Iterator[object]:
    """A board that this test alone uses, powered on for it, with a testing kernel; the test may kill it."""
    from harness.board import open_board
    from harness.build import build_kernel

    image = build_kernel(board_spec.firmware, variant="testing")
    with open_board(
        board_spec, lab_key, image, transcript=None, seed=pytestconfig.getoption("--seed")
    ) as board:
        yield board


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """The lab's own faults become the category `infra`; our errors print as messages, not as tracebacks."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    error = call.excinfo.value if call.excinfo else None
    if report.failed and isinstance(error, InfraError):
        item.config.stash[_INFRA].append(item.nodeid)
        report.assay_infra = True
        report.user_properties.append(("verdict", "infra"))
    if report.failed and isinstance(error, AssayError):
        report.sections.append(("assay", str(error)))


def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Show `infra` as a category of its own."""
    if getattr(report, "assay_infra", False):
        return "infra", "I", "INFRA"
    return None


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """A session in which nothing failed but the lab ends with 75."""
    infra = session.config.stash[_INFRA]
    if infra and exitstatus == pytest.ExitCode.TESTS_FAILED and session.testsfailed == len(infra):
        session.exitstatus = INFRA_EXIT
