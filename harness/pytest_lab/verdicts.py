"""Maps a phase of a test to a verdict, and shows it on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest
from _pytest.outcomes import Skipped

from contracts.errors import AssayError, Cause, InfraError, KernelError, SetupError
from harness.pytest_lab.fixtures import Inconclusive
from harness.pytest_lab.shown import end_at_the_test
from harness.pytest_lab.state import ATTEMPT, Attempt, lab_of
from harness.runs.plain import plain, plain_value, xml_text
from harness.runs.session_record import Told

_MESSAGE_MAX = 4000
_EXONERATING: Final = (Cause.MACHINE, Cause.OUTSIDE, Cause.LAB, Cause.ITSELF)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The single errors of an error or a group (several finalizers may fail), however deep they lie in groups."""
    waiting = [error]
    while waiting:
        next_one = waiting.pop()
        if isinstance(next_one, BaseExceptionGroup):
            waiting += reversed(next_one.exceptions)
        else:
            yield next_one


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:  # a wrapper yields for the hook's own result
    """Give each phase its verdict; a failure shows the board's last frames."""
    if call.excinfo is not None and not item.config.getoption("fulltrace"):
        end_at_the_test(call.excinfo)
    report: pytest.TestReport = yield  # type: ignore[assignment]
    attempt = item.stash.get(ATTEMPT, None)
    errors = list(_leaves(call.excinfo.value)) if call.excinfo else []
    if report.failed:
        errors = _taken(attempt) or errors
    verdict = _verdict(report, errors, attempt)
    told: Told = {"verdict": verdict, "message": _message(report, verdict, errors, attempt)}
    report.__dict__["assay"] = told  # xdist carries what a report has in its `__dict__`
    if verdict == "infra":
        report.outcome = "failed"  # also if the mark `xfail` would accept it as expected
        report.__dict__.pop("wasxfail", None)
        told["cause"] = _cause(errors).value
    if verdict == "fail" and report.passed:
        report.outcome, report.longrepr = "failed", told["message"]
    if verdict not in ("pass", "skip"):
        item.user_properties.append(("verdict", verdict))  # JUnit takes them from the last phase
        report.user_properties.append(("verdict", verdict))
    if report.failed:
        _explain(report, errors, attempt)
    _make_plain(report)
    return report  # type: ignore[return-value]


def _make_plain(report: pytest.TestReport) -> None:
    """Make a report readable for every reader: undecodable bytes of a console end up in messages and properties."""
    report.__dict__["assay"] = plain_value(report.__dict__["assay"])
    report.sections = [(plain(str(title)), plain(str(text))) for title, text in report.sections]
    report.user_properties = [
        (xml_text(str(name)), plain(value) if isinstance(value, str) else value)
        for name, value in report.user_properties
    ]
    if isinstance(report.longrepr, str):
        report.longrepr = plain(report.longrepr)


def _verdict(report: pytest.TestReport, errors: list[BaseException], attempt: Attempt | None) -> str:
    if errors and all(isinstance(error, Inconclusive) for error in errors):
        return "inconclusive"
    if errors and all(isinstance(error, InfraError | SetupError | Inconclusive) for error in errors):
        return "infra"
    if report.failed:
        return "fail"
    if report.skipped:
        return "skip"
    if report.when == "call" and attempt is not None:
        judged = {row["verdict"] for row in attempt.measurements}
        if "fail" in judged:  # the test caught the error of `judge`: the figure's verdict stays
            return "fail"
        return "marginal" if "marginal" in judged else "pass"
    return "pass"


def _taken(attempt: Attempt | None) -> list[BaseException]:
    """The error for a board of this test that was taken by force: a failure after that says nothing about the test."""
    taken: list[BaseException] = []
    for standing in attempt.boards if attempt is not None else ():
        try:
            if standing.lease is not None:
                standing.lease.check_now()
        except InfraError as lost:
            taken.append(lost)
    return taken


def _cause(errors: list[BaseException]) -> Cause:
    """Of several lab faults the one that most exonerates the kernel: of the machine, from outside, of the lab."""
    found = {error.cause for error in errors if isinstance(error, InfraError)}
    found |= {Cause.MACHINE for error in errors if isinstance(error, SetupError)}
    return next((cause for cause in _EXONERATING if cause in found), Cause.LAB)


def _message(
    report: pytest.TestReport, verdict: str, errors: list[BaseException], attempt: Attempt | None
) -> str:
    if verdict in ("pass", "marginal"):
        return ""
    if report.skipped and hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    if report.passed:
        assert attempt is not None
        figures = [row for row in attempt.measurements if row["verdict"] == "fail"]
        return "; ".join(f"{row['name']} missed its budget: {row['reason']}" for row in figures)
    ours = [str(error) for error in errors if isinstance(error, AssayError | Skipped)]
    if ours:
        return "\n".join(ours)[:_MESSAGE_MAX]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longreprtext)[:_MESSAGE_MAX]


def _explain(report: pytest.TestReport, errors: list[BaseException], attempt: Attempt | None) -> None:
    report.sections += [("assay", str(error)) for error in errors if isinstance(error, AssayError)]
    if attempt is None:
        return
    attempt.failed = True
    for standing in attempt.boards:
        board = standing.board
        if board is None:
            continue
        report.sections.append((f"board {board.spec.kind}: last frames", standing.last_frames()))
        if any(isinstance(error, KernelError) for error in errors):
            report.sections.append((f"board {board.spec.kind}: crash", board.crash_record()))


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Show `infra` and `inconclusive` as categories of their own."""
    verdict = getattr(report, "assay", {}).get("verdict")
    if verdict == "infra":
        return "infra", "I", "INFRA"
    if verdict == "inconclusive":
        return "inconclusive", "N", "INCONCLUSIVE"
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show lab faults in full (pytest does so only for `failed`), inconclusive tests, and retries."""
    for report in terminalreporter.getreports("infra"):
        terminalreporter.section(f"infra: {report.nodeid}")
        terminalreporter.line(report.longreprtext)
        for title, text in report.sections:
            terminalreporter.section(title, "-")
            terminalreporter.line(text)
    _list(terminalreporter, "inconclusive", _inconclusive(terminalreporter))
    record = lab_of(config).record
    if record is None:
        return
    _list(terminalreporter, "retried on another board", record.retried)
    _list(terminalreporter, "boards that died", record.lost)
    _list(terminalreporter, "near or over a limit", record.figures)


def _inconclusive(terminalreporter: pytest.TerminalReporter) -> list[str]:
    reports: list[Any] = terminalreporter.getreports("inconclusive")
    return [f"{report.nodeid}: {report.assay['message']}" for report in reports]


def _list(terminalreporter: pytest.TerminalReporter, title: str, lines: list[str]) -> None:
    if lines:
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.line(line)
