"""A session from start to end: preflight, the record, signals, the exit code, and boards that are free afterwards."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import pytest

from contracts.errors import AssayError, ConfigError, InfraError
from harness.pytest_lab.chosen import specs_of
from harness.pytest_lab.gate import INFRA_EXIT, leave
from harness.pytest_lab.state import (
    LAB,
    Lab,
    is_worker,
    is_xdist_controller,
    kind_of,
    lab_of,
)

if TYPE_CHECKING:
    from harness.runs.session_record import SessionRecord

INCONCLUSIVE_EXIT: Final = 76
INTERRUPTED_EXIT: Final = 130
_HANDLER: Final = pytest.StashKey[Any]()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose boards before anything is collected: an unknown kind is a usage error (exit 4)."""
    lab = config.stash[LAB] = Lab(worker=is_worker(config))
    lab.files = [Path(file) for file in config.getoption("--lab")]
    if lab.worker:
        lab.transcripts = _transcripts(config)
        return
    _check_budgets(config)
    if config.getoption("--board"):
        specs_of(config)
        if lab.usage:
            raise pytest.UsageError(lab.usage)


def _check_budgets(config: pytest.Config) -> None:
    """A budget file that cannot be used ends the session with 4, before anything is collected."""
    file = config.getoption("--budgets")
    if file:
        from harness.judge.budgets import load_budgets

        try:
            load_budgets(Path(file))
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error


def _transcripts(config: pytest.Config) -> Path | None:
    """Where a worker's transcripts go, as its controller says."""
    given = config.workerinput.get("assay", {}).get("transcripts")  # type: ignore[attr-defined]
    return Path(given) if given else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Take SIGTERM as an interruption, and make a record where this process keeps it."""
    config = session.config
    lab = lab_of(config)
    if lab.worker:
        return
    _catch_termination(config)
    from harness.runs.record import DEFAULT_RESULTS
    from harness.runs.session_record import SessionRecord

    given = config.getoption("--results")
    lab.record = SessionRecord(
        Path(given) if given else DEFAULT_RESULTS,
        seed=config.getoption("--seed"),
        command=["pytest", *config.invocation_params.args],
    )
    config.pluginmanager.register(Recorder(lab, lab.record), "assay-recorder")
    if not config.getoption("collectonly") and (given or is_xdist_controller(config)):
        _open_record(config, wanted=bool(given))


def _catch_termination(config: pytest.Config) -> None:
    """SIGTERM ends a session as Ctrl-C does: boards freed, record written."""
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return

    def terminate(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: what follows is the orderly end
        raise KeyboardInterrupt("ended by SIGTERM")

    config.stash[_HANDLER] = signal.signal(signal.SIGTERM, terminate)


def _open_record(config: pytest.Config, *, wanted: bool) -> None:
    """Begin the run's folder. A session that cannot keep its record does not start."""
    lab = lab_of(config)
    assert lab.record is not None
    try:
        lab.transcripts = lab.record.open(wanted=wanted) / "transcripts"
    except InfraError as error:
        leave(config, "the session's record cannot be begun, so nothing was run", str(error))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin the record once it is known that a test uses a board."""
    lab = lab_of(session.config)
    if lab.record is None or session.config.getoption("collectonly"):
        return
    if any(kind_of(item) is not None for item in session.items):
        _open_record(session.config, wanted=True)


class Recorder:
    """The hooks that are given no `config`, in the process that keeps the record."""

    def __init__(self, lab: Lab, record: SessionRecord) -> None:
        self._lab = lab
        self._record = record

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Remember that something could not be collected: the session does not pass then."""
        self._lab.broken_collection = self._lab.broken_collection or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the record, of a worker's tests too."""
        self._record.add(report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell Ctrl-C and SIGTERM from pytest's own ways to stop, which are subclasses."""
        self._lab.interrupted = type(excinfo.value) is KeyboardInterrupt

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take what a worker says on its way out."""
        _ = error
        told = getattr(node, "workeroutput", None) or {}
        self._lab.usage = self._lab.usage or told.get("assay_usage", "")
        self._lab.trouble += told.get("assay_trouble", [])


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Free the board, write the record, and end with the code of the table in docs/verdicts.md."""
    _ = exitstatus
    config = session.config
    lab = lab_of(config)
    _free(lab)
    if lab.worker:
        config.workeroutput["assay_trouble"] = lab.trouble  # type: ignore[attr-defined]
    if lab.record is None:
        return
    session.exitstatus = _exit_code(lab, int(session.exitstatus))
    lab.record.finish(exit_code=int(session.exitstatus), interrupted=lab.interrupted)
    if lab.record.unwritten and session.exitstatus in (0, INCONCLUSIVE_EXIT):
        session.exitstatus = INFRA_EXIT


def _free(lab: Lab) -> None:
    standing, lab.standing = lab.standing, None
    if standing is not None:
        try:
            standing.drop()
        except AssayError as error:
            lab.trouble.append(str(error))


def _exit_code(lab: Lab, status: int) -> int:
    """Pytest's status, with the verdicts of the tests where they say more."""
    assert lab.record is not None
    if lab.interrupted:
        return INTERRUPTED_EXIT
    if lab.usage:
        return int(pytest.ExitCode.USAGE_ERROR)
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return status
    code = lab.record.verdict().exit_code
    if code == 0 and (lab.trouble or lab.record.unwritten):
        code = INFRA_EXIT
    if lab.broken_collection or (status != pytest.ExitCode.OK and code == 0):
        return status
    return code


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was lost, and where the record is."""
    lab = lab_of(config)
    if lab.record is None:
        return
    for title, lines in (
        ("usage", [lab.usage] if is_xdist_controller(config) else []),  # else pytest closes with it itself
        ("the lab", lab.trouble),
        ("record", lab.record.last_words()),
    ):
        if any(lines):
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.line(line)
    if lab.record.folder is not None:
        terminalreporter.line(f"results: {lab.record.folder}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Free what is left, once pytest has written its JUnit report; faults of the lab become errors there."""
    lab = config.stash.get(LAB, None)
    if lab is None:
        return
    _free(lab)
    lab.stack.close()
    if _HANDLER in config.stash:
        signal.signal(signal.SIGTERM, config.stash[_HANDLER])
    path = config.getoption("xmlpath", None)
    if path and lab.record is not None and lab.record.rows and Path(path).is_file():
        from harness.pytest_lab.junit import conform

        conform(Path(path))
