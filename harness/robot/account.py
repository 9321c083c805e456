"""Results of a Robot process's tests: maps errors and judged figures to Robot's verdicts, tags, and record rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from robot.api import Failure, SkipExecution, logger
from robot.api.deco import keyword as robot_keyword

from contracts.errors import AssayError, BudgetExceeded, KernelError
from contracts.measurement import Verdict
from contracts.record import MeasuredRow
from harness.judge.budgets import Judged, worst
from harness.robot.events import tell
from harness.robot.html import row_text, rows_html
from harness.robot.rows import INFRA_PREFIX, Seen, is_infra, row_of, verdict_of_error
from harness.robot.session import Session

A = TypeVar("A", bound="RobotAccount")
P = ParamSpec("P")
T = TypeVar("T")


def keyword(method: Callable[Concatenate[A, P], T]) -> Callable[Concatenate[A, P], T]:
    """Make a method a keyword: an AssayError becomes a Robot exception that says who is at fault."""

    @robot_keyword
    @wraps(method)
    def call(self: A, /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except AssayError as error:
            raise self.failure(error) from error

    wrapped: Callable[Concatenate[A, P], T] = call
    return wrapped


class RobotAccount:
    """What a library needs to record its tests; Robot calls `_start_test` and `_end_test` as its listener."""

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.session: Session | None = None
        self._tag: Verdict | None = None
        self._sections: list[list[str]] = []
        self._measured: list[MeasuredRow] = []

    def judge(self, rows: Sequence[Judged], samples: Sequence[list[float]]) -> None:
        """Log the rows, store them for the record, and end the keyword according to the worst of them."""
        logger.info(rows_html(rows), html=True)
        self._measured += [row.with_samples(taken) for row, taken in zip(rows, samples, strict=True)]
        if all(row.verdict is Verdict.SKIP for row in rows):
            raise SkipExecution("\n".join(f"{row.name}: {row.reason}" for row in rows))
        verdict = worst([row.verdict for row in rows])
        reasons = [f"{row_text(row)}: {row.reason}" for row in rows if row.verdict is verdict]
        if verdict is Verdict.FAIL:
            raise BudgetExceeded("\n".join(reasons))
        if verdict is Verdict.INCONCLUSIVE:
            self._tag = verdict
            raise SkipExecution("\n".join(reasons))
        if verdict is Verdict.MARGINAL:
            self._tag = verdict

    def failure(self, error: AssayError) -> Exception:
        """Robot's exception for an AssayError. Stores a dead kernel's crash record; marks a lab fault as such."""
        session = self.session
        if verdict_of_error(error) is Verdict.INFRA:
            if session is not None:
                session.suspect()
            return Failure(f"{INFRA_PREFIX}{error}")
        if isinstance(error, KernelError) and session is not None and session.running is not None:
            with suppress(AssayError):
                crash = session.running.crash_record()
                logger.info(crash)
                self._sections.append(["crash record", crash])
        return Failure(str(error))

    def _start_test(self, data: Any, result: Any) -> None:
        self._tag, self._sections, self._measured = None, [], []
        tell({"event": "doing", "doing": result.name, "total": _whole(data).test_count})

    def _end_test(self, _data: Any, result: Any) -> None:
        if is_infra(result.message):
            result.tags.add(Verdict.INFRA.value)
        elif self._tag is not None and not result.failed:
            result.tags.add(self._tag.value)
        session = self.session
        seen = Seen(self._sections, self._measured)
        if session is not None and session.holds is not None:
            seen = replace(
                seen,
                place=session.holds.place.name,
                epoch=session.holds.epoch,
                build_id=(session.running.image if session.running else session.release).build_id.hex(),
                transcript=f"{session.choices.folder.name}/{session.transcript.name}",
            )
        row = row_of(result, session.spec.kind if session else self.kind, seen)
        tell({"event": "test", "row": row})


def _whole(suite_part: Any) -> Any:
    """The outermost suite that Robot runs."""
    while suite_part.parent is not None:
        suite_part = suite_part.parent
    return suite_part
