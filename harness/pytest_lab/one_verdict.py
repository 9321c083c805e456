"""Every collected test has exactly one verdict at the end; otherwise the session exits with 3 and names the tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

import pytest

from harness.pytest_lab.gate import INFRA_EXIT
from harness.pytest_lab.state import is_xdist_controller, lab_of
from harness.runs.plain import plain

EXIT_CODE: Final = 3
_SHOWN: Final = 20


def count_verdicts(
    collected: Sequence[str], verdicts: Mapping[str, Collection[str]]
) -> tuple[list[str], list[str]]:
    """Tests without a verdict, and those with more than one (or not collected), each with its verdicts."""
    expected = Counter(collected)
    missing = [nodeid for nodeid, count in expected.items() if len(verdicts.get(nodeid, ())) < count]
    double = [
        f"{nodeid}: {', '.join(found)}" for nodeid, found in verdicts.items() if len(found) > expected[nodeid]
    ]
    return missing, double


class OneVerdict:
    """Compares the collected tests with the record's verdicts, in the process that keeps the record."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._collected: Sequence[str] = ()
        self._stopped = ""
        self._died = 0
        self._missing: list[str] = []
        self._double: list[str] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Without workers: the tests that will run here."""
        if not is_xdist_controller(self._config):
            self._collected = [plain(item.nodeid) for item in session.items]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, ids: Sequence[str]) -> None:
        """With workers: what the first one collected; the others must have collected the same."""
        self._collected = self._collected or ids

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, error: object) -> None:
        """Count workers that died before collection."""
        self._died += error is not None

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Store why the session ended early: Ctrl-C, `pytest.exit`, and -x with workers."""
        self._stopped = str(excinfo.value) or "interrupted"

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Count the verdicts even if another hook fails."""
        try:
            return (yield)
        finally:
            self._count(session)

    def _count(self, session: pytest.Session) -> None:
        """A session that was told to stop early only reports how many tests did not run."""
        record = lab_of(self._config).record
        if record is not None:
            record.settle()
        verdicts = record.verdicts if record is not None else {}
        collected = (
            () if lab_of(self._config).usage else self._collected
        )  # a usage error: nothing was started
        self._missing, self._double = count_verdicts(collected, verdicts)
        self._stopped = self._stopped or str(session.shouldfail or session.shouldstop or "")
        asked = lab_of(self._config).exit_asked
        passes = asked is not None and asked[1] == 0  # 0 does not pass tests that did not run
        if self._double or (self._missing and (not self._stopped or passes)):
            session.exitstatus = EXIT_CODE
        elif self._nobody_came_up():
            from_outside = lab_of(self._config).ended_early >= self._died
            session.exitstatus = INFRA_EXIT if from_outside else EXIT_CODE

    def _nobody_came_up(self) -> bool:
        return self._died > 0 and not self._collected and not self._stopped

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """List wrong verdicts, or tests that did not run."""
        if self._nobody_came_up():
            why = f"{self._died} workers died before they had collected a test"
            _list(terminalreporter, "no worker started", [why], "do: run without -n to see why")
        if self._missing and self._stopped:
            title, do = f"{len(self._missing)} tests did not run: {self._stopped}", ""
        else:
            title = f"{len(self._missing)} collected tests have no verdict"
            do = "do: see above why the session ended early, then run them again"
        _list(terminalreporter, title if self._missing else "", self._missing, do)
        _list(
            terminalreporter,
            f"{len(self._double)} tests have more than one verdict" if self._double else "",
            self._double,
            "do: look for a plugin that reruns tests",
        )


def _list(terminalreporter: Any, title: str, lines: Sequence[str], do: str) -> None:
    if not title:
        return
    terminalreporter.section(title)
    for line in lines[:_SHOWN]:
        terminalreporter.line(line)
    if len(lines) > _SHOWN:
        terminalreporter.line(f"and {len(lines) - _SHOWN} more")
    if do:
        terminalreporter.line(do)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Register in the process where tests are reported."""
    if not lab_of(session.config).worker and not session.config.getoption("collectonly"):
        session.config.pluginmanager.register(OneVerdict(session.config), "assay-one-verdict")
