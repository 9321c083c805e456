"""The headers of Robot's log and report: failures by name, test counts per suite, the facts about a board once."""

from __future__ import annotations

from typing import Final

from robot.api import SuiteVisitor
from robot.result import TestCase, TestSuite

from harness.robot.rows import verdict_of
from harness.terminal.sentence import count_text, counts_text, first_line

_FACTS: Final = ("Board", "Build id", "Commit", "Model", "Place", "Seed")
_NAMED: Final = 40
_BAD: Final = ("fail", "infra", "inconclusive")


class Headers(SuiteVisitor):  # type: ignore[misc]  # robot is untyped
    """Gives rebot's suites their headers. Board types are below the outermost suite, their suites below them."""

    def start_suite(self, suite: TestSuite) -> None:
        """Write the header of one suite."""
        tests = list(suite.all_tests)
        counts = counts_text([verdict_of(test).value for test in tests]) or "no tests"
        if suite.parent is None:
            about = f"{count_text(len(tests), 'test')} on {count_text(len(suite.suites), 'board')}"
            suite.doc = f"{about}: {counts}.\n\n{_bad(tests)}"
            return
        if suite.parent.parent is not None:
            for name in _FACTS:  # they are in the header of the board type above
                suite.metadata.pop(name, None)
        suite.doc = f"{suite.doc}\n\n{counts}." if suite.doc else f"{counts}."


def _bad(tests: list[TestCase]) -> str:
    """A list of the tests that did not pass, the worst verdicts first, in Robot's own markup."""
    named = [
        f"- *{verdict}* {test.full_name.partition('.')[2]}: {first_line(test.message)}"
        for verdict in _BAD
        for test in tests
        if verdict_of(test).value == verdict
    ]
    more = [f"- and {len(named) - _NAMED} more"] if len(named) > _NAMED else []
    return "\n".join([*named[:_NAMED], *more])
