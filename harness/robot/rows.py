"""One Robot test in a record: its verdict, and its row in `tests.jsonl` and `run.json`."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from contracts.errors import AssayError, InfraError, SetupError
from contracts.measurement import Verdict
from contracts.record import CaseRow, MeasuredRow
from contracts.root import ROOT

INTERRUPTED_TEXT: Final = "Execution terminated by signal"
"""Robot's message for the test during which a signal arrived."""

NOT_BEGUN_TAG: Final = "robot:exit"
"""Robot's own tag on the tests that it then skipped."""


INFRA_PREFIX: Final = "infra: "
"""Prefix of the message of a keyword that ended with a lab fault."""

_SETUP = re.compile(r"^(?:(?:Parent suite )?(?:setup|teardown) failed:\n)?", re.IGNORECASE)
_ALSO = re.compile(r"\n\nAlso (?:parent suite )?teardown failed:\n", re.IGNORECASE)


class RobotTest(Protocol):
    """The used part of Robot's own result of a test (`robot.result.TestCase`)."""

    name: str
    status: str
    message: str
    source: Path | None

    @property
    def tags(self) -> Collection[str]: ...
    @property
    def elapsed_time(self) -> Any: ...


def verdict_of_error(error: AssayError) -> Verdict:
    """The verdict of an error: a lab fault, or a fault of what is under test."""
    return Verdict.INFRA if isinstance(error, InfraError | SetupError) else Verdict.FAIL


def is_infra(message: str) -> bool:
    """Whether a failed test's message contains only lab faults: `fail` outranks `infra`."""
    parts = _ALSO.split(message)
    return all(_SETUP.sub("", part, count=1).startswith(INFRA_PREFIX) for part in parts)


def verdict_of(test: RobotTest) -> Verdict:
    """The verdict from Robot's status and Assay's tags (docs/verdicts.md)."""
    if test.status == "PASS":
        return Verdict.MARGINAL if Verdict.MARGINAL in test.tags else Verdict.PASS
    if test.status == "SKIP":
        return Verdict.INCONCLUSIVE if Verdict.INCONCLUSIVE in test.tags else Verdict.SKIP
    if Verdict.INFRA in test.tags or is_infra(test.message):
        return Verdict.INFRA
    left_out = NOT_BEGUN_TAG in test.tags or INTERRUPTED_TEXT in test.message
    return Verdict.INCONCLUSIVE if left_out else Verdict.FAIL


def test_id(test: RobotTest, kind: str) -> str:
    """`robot/FILE.robot::NAME[KIND]`: the board type, never the place."""
    source = Path(test.source) if test.source else Path("robot")
    shown = source.relative_to(ROOT) if source.is_relative_to(ROOT) else source
    return f"{shown.as_posix()}::{test.name}[{kind}]"


@dataclass(frozen=True, slots=True)
class Seen:
    """The part of a test's row that comes from its board's session."""

    sections: list[list[str]] = field(default_factory=list)
    measurements: list[MeasuredRow] = field(default_factory=list)
    place: str | None = None
    epoch: int | None = None
    build_id: str | None = None
    transcript: str | None = None


def row_of(test: RobotTest, kind: str, seen: Seen | None = None) -> CaseRow:
    """A test's row (docs/schemas/run.schema.json, `test`)."""
    seen = seen or Seen()
    verdict = verdict_of(test)
    passed = verdict in (Verdict.PASS, Verdict.MARGINAL)
    return {
        "id": test_id(test, kind),
        "kind": kind,
        "verdict": verdict.value,
        "duration_s": round(test.elapsed_time.total_seconds(), 3),
        "attempts": [
            {
                "verdict": verdict.value,
                "place": seen.place,
                "epoch": seen.epoch,
                "message": test.message.partition("\n")[0],
            }
        ],
        "message": test.message,
        "sections": [] if passed else seen.sections,
        "measurements": seen.measurements,
        "transcript": seen.transcript,
        "build_id": seen.build_id,
        "worker": "",
    }
