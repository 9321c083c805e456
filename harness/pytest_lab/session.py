"""A session from start to end: preflight, the record, signals, the exit code, releasing the boards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from contracts.errors import AssayError, ConfigError, InfraError
from harness.pytest_lab.chosen import specs_of
from harness.pytest_lab.gate import INFRA_EXIT, leave
from harness.pytest_lab.hook_faults import where
from harness.pytest_lab.junit import conform_session, write_again
from harness.pytest_lab.signals import interruptions_of
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
_SUMMED_UP: Final = (0, 1, 2, 4, 5)  # exit codes after which pytest calls `pytest_terminal_summary` itself


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Select boards before collection: an unknown board type is a usage error (exit 4)."""
    lab = config.stash[LAB] = Lab(worker=is_worker(config))
    lab.files = [Path(file) for file in config.getoption("--lab")]
    if lab.worker:
        lab.transcripts = _transcripts(config)
        return
    _check_budgets(config)
    if config.getoption("--keep") and is_xdist_controller(config):
        raise pytest.UsageError(
            "--keep uses one board, and -n makes several processes that each need one: leave one of the two out"
        )
    if config.getoption("--board"):
        specs_of(config)
        if lab.usage:
            raise pytest.UsageError(lab.usage)


def _check_budgets(config: pytest.Config) -> None:
    """A budget file that cannot be used ends the session with 4, before collection."""
    file = config.getoption("--budgets")
    if file:
        from harness.judge.budgets import load_budgets

        try:
            load_budgets(Path(file))
        except ConfigError as error:
            raise pytest.UsageError(str(error)) from error


def _transcripts(config: pytest.Config) -> Path | None:
    """The folder for a worker's transcripts, set by its controller."""
    given = config.workerinput.get("assay", {}).get("transcripts")  # type: ignore[attr-defined]
    return Path(given) if given else None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the record if this process keeps it."""
    config = session.config
    lab = lab_of(config)
    if lab.worker:
        config.pluginmanager.register(Ending(session), "assay-ending")
        return
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


def _open_record(config: pytest.Config, *, wanted: bool) -> None:
    """Create the run's folder. A session that cannot keep its record does not start."""
    lab = lab_of(config)
    assert lab.record is not None
    try:
        lab.transcripts = lab.record.open(wanted=wanted) / "transcripts"
    except InfraError as error:
        leave(config, "the session's record cannot be created, so no test was run", str(error))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the record when a collected test uses a board."""
    lab = lab_of(session.config)
    if lab.record is None or session.config.getoption("collectonly"):
        return
    if any(kind_of(item) is not None for item in session.items):
        _open_record(session.config, wanted=True)


class Recorder:
    """The hooks without a `config` argument, in the process that keeps the record."""

    def __init__(self, lab: Lab, record: SessionRecord) -> None:
        self._lab = lab
        self._record = record

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Record a collection error: the session does not pass."""
        self._lab.broken_collection = self._lab.broken_collection or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write the record, also for a worker's tests."""
        self._record.add(report)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Distinguish an interruption from `pytest.exit` and from pytest's own ways to stop."""
        _note_end(self._lab, excinfo.value)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Take the final report of a worker."""
        _ = error
        told = getattr(node, "workeroutput", None) or {}
        self._lab.usage = self._lab.usage or told.get("assay_usage", "")
        self._lab.trouble += told.get("assay_trouble", [])
        self._lab.interrupted = self._lab.interrupted or told.get("assay_interrupted", False)
        self._lab.exit_asked = self._lab.exit_asked or told.get("assay_exit")


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> Iterator[None]:
    """Release the board, write the record, and exit with the code of the table in docs/verdicts.md, whatever failed."""
    try:
        result = yield
    except pytest.exit.Exception:
        _finish(session, exitstatus)
        raise
    except Exception as error:  # noqa: BLE001 - any hook may raise any error
        result = None
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        lab_of(session.config).trouble.append(f"a hook failed at the end of the session: {where(error)}")
        write_again(session.config)
    _finish(session, exitstatus)
    return result


def _finish(session: pytest.Session, exitstatus: int) -> None:
    config = session.config
    lab = lab_of(config)
    _free(lab)
    lab.interrupted = lab.interrupted or interruptions_of(config).number is not None
    if lab.worker:
        _tell_controller(config, lab)
    if lab.record is None:
        return
    session.exitstatus = _exit_code(lab, int(session.exitstatus))
    conform_session(config)
    lab.record.finish(exit_code=int(session.exitstatus), interrupted=lab.interrupted)
    if lab.record.unwritten and session.exitstatus in (0, INCONCLUSIVE_EXIT):
        session.exitstatus = INFRA_EXIT
    _summarise(config, exitstatus)


def _summarise(config: pytest.Config, exitstatus: int) -> None:
    """After `pytest.exit` with its own code pytest prints no summary; the tests that did not run are still reported."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and lab_of(config).exit_asked is not None and exitstatus not in _SUMMED_UP:
        config.hook.pytest_terminal_summary(terminalreporter=reporter, exitstatus=exitstatus, config=config)


def _tell_controller(config: pytest.Config, lab: Lab) -> None:
    """What a worker reports at its end. With exit code 2, xdist would start another worker in its place."""
    told: dict[str, object] = config.workeroutput  # type: ignore[attr-defined]
    told |= {
        "assay_trouble": lab.trouble,
        "assay_interrupted": lab.interrupted,
        "assay_exit": lab.exit_asked,
    }
    if lab.interrupted or lab.exit_asked:
        told["exitstatus"] = int(pytest.ExitCode.TESTS_FAILED)


def _note_end(lab: Lab, error: BaseException) -> None:
    """Remember why a session ends early: an interruption, or `pytest.exit`."""
    if isinstance(error, pytest.exit.Exception):
        lab.exit_asked = (str(error.msg) or "pytest.exit", error.returncode)
    else:
        lab.interrupted = lab.interrupted or type(error) is KeyboardInterrupt


class Ending:
    """In a worker: report an early end to the controller, which ends the session for the same reason."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Stop with the reason: the controller stops for a worker's `shouldstop`, with any scheduler."""
        lab = lab_of(self._session.config)
        _note_end(lab, excinfo.value)
        if lab.exit_asked is not None:
            self._session.shouldstop = lab.exit_asked[0]
        elif lab.interrupted:
            self._session.shouldstop = "a worker was interrupted"


def _free(lab: Lab) -> None:
    standing, lab.standing = lab.standing, None
    if standing is not None:
        try:
            standing.drop()
        except AssayError as error:
            lab.trouble.append(str(error))


def _exit_code(lab: Lab, status: int) -> int:
    """Pytest's status, refined by the verdicts of the tests."""
    assert lab.record is not None
    if lab.interrupted:
        return INTERRUPTED_EXIT
    if lab.usage:
        return int(pytest.ExitCode.USAGE_ERROR)
    if lab.exit_asked is not None and lab.exit_asked[1]:
        return lab.exit_asked[1]
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED):
        return status
    code = lab.record.verdict().exit_code
    if code == 0 and (lab.trouble or lab.record.unwritten):
        code = INFRA_EXIT
    if lab.broken_collection or (status != pytest.ExitCode.OK and code == 0):
        return status
    return code


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print what was lost, and the path of the record."""
    lab = lab_of(config)
    if lab.record is None:
        return
    for title, lines in (
        (
            "usage",
            [lab.usage] if is_xdist_controller(config) else [],
        ),  # otherwise pytest prints it at the end
        ("the lab", list(dict.fromkeys(lab.trouble))),
        ("record", lab.record.last_words()),
    ):
        if any(lines):
            terminalreporter.section(title)
            for line in lines:
                terminalreporter.line(line)
    if lab.record.folder is not None:
        terminalreporter.line(f"results: {lab.record.folder}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Release what is left."""
    lab = config.stash.get(LAB, None)
    if lab is None:
        return
    _free(lab)
    lab.stack.close()
