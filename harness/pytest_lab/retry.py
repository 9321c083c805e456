"""Retry on another board, inside the worker, for a test that hit a lab fault; the result is one report."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from contracts.errors import Cause, InfraError
from contracts.measurement import Direction
from contracts.record import CaseAttemptRow, MeasuredRow
from harness.pytest_lab.soak import plan_of, repeated
from harness.pytest_lab.state import ATTEMPT, Attempt, Lab, board_fixtures, kind_of, lab_of
from harness.runs.session_record import SEVERITY
from harness.terminal.style import quantity

if TYPE_CHECKING:
    from harness.boards.standing import StandingBoard


class Attempted(CaseAttemptRow):
    """An attempt and the cause of its lab fault (None: no fault)."""

    cause: Cause | None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a board test; after a lab fault run it again on another place; report once.

    The rest of pytest sees one test with one outcome: xdist counts it once, and no report is lost.
    """
    plan = plan_of(item.config)
    lab = lab_of(item.config)
    ours = kind_of(item) is not None or "budget" in getattr(item, "fixturenames", ())
    if not ours and plan is None and not lab.off:
        return None
    _make_room(lab, item, nextitem=False)
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    ended: BaseException | None = None
    if plan is None:
        reports = _run(lab, item, nextitem)
    else:
        reports, ended = repeated(plan, item, nextitem, lambda following: _run(lab, item, following))
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    if ended is not None:
        raise ended
    _make_room(lab, nextitem, nextitem=True)
    return True


def _run(lab: Lab, item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test once, and a second time after a lab fault; returns the reports that count."""
    reports, told = _attempt(lab, item, nextitem, 1)
    attempts = [told]
    earlier_s = 0.0
    if told["verdict"] == "infra" and told["place"] is not None and told["cause"] is not Cause.MACHINE:
        earlier_s = sum(report.duration for report in reports)
        _clear(lab, item, attempts)
        reports, told = _attempt(lab, item, nextitem, 2)
        attempts.append(told)
        _blame(reports, attempts)
    if lab.standing is not None:
        lab.standing.avoid = frozenset()
    _sum_up(item, reports, attempts, earlier_s)
    return reports


def _make_room(lab: Lab, item: pytest.Item | None, *, nextitem: bool) -> None:
    """Release the board before a test of another board type or without a board; the session's end releases it anyway."""
    standing = lab.standing
    if standing is None or not standing.kind or (nextitem and item is None):
        return
    if item is None or kind_of(item) != standing.kind or not any(board_fixtures(item)):
        try:
            standing.drop()
        except InfraError as error:
            lab.trouble.append(str(error))


def _attempt(
    lab: Lab, item: pytest.Item, nextitem: pytest.Item | None, number: int
) -> tuple[list[pytest.TestReport], Attempted]:
    """One attempt, unreported: its reports, and its summary."""
    attempt = Attempt(number, transcript=_transcript(lab, item, number))
    item.stash[ATTEMPT] = attempt
    reports: list[pytest.TestReport] = runtestprotocol(item, log=False, nextitem=nextitem)
    known: tuple[str, str, Cause | None] = ("pass", "", None)
    for report in reports:
        known = worse(known, report)
    verdict, message, cause = known
    lease = attempt.boards[0].lease if attempt.boards else None
    return reports, {
        "verdict": verdict,
        "place": lease.place.name if lease else None,
        "epoch": lease.epoch if lease else None,
        "message": message,
        "cause": cause,
    }


def worse(known: tuple[str, str, Cause | None], report: pytest.TestReport) -> tuple[str, str, Cause | None]:
    """The worse of the known result (verdict, message, cause of a lab fault) and a phase's report."""
    told = getattr(report, "assay", None)
    if told is None or SEVERITY.index(told["verdict"]) <= SEVERITY.index(known[0]):
        return known
    return told["verdict"], told["message"], Cause(told["cause"]) if "cause" in told else None


def _transcript(lab: Lab, item: pytest.Item, number: int) -> Path | None:
    """The path of an attempt's transcript: a readable name that is unique per test."""
    if lab.transcripts is None or not any(board_fixtures(item)):
        return None
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", item.nodeid.rpartition("/")[2])[:80].strip("-.")
    again = "" if number == 1 else f".attempt{number}"
    return lab.transcripts / f"{readable}-{sha256(item.nodeid.encode()).hexdigest()[:8]}{again}.jsonl"


def _clear(lab: Lab, item: pytest.Item, attempts: list[Attempted]) -> None:
    """Tear down every fixture, release the failed place, and clear what the first attempt left on the item."""
    told = attempts[-1]
    torn = pytest.CallInfo.from_call(
        lambda: item.session._setupstate.teardown_exact(None),  # noqa: SLF001 - pytest has no public name for it
        when="teardown",
    )
    if torn.excinfo is not None:
        told["message"] += f"\ntear-down before the second attempt: {torn.excinfo.value}"
    if lab.standing is not None:
        lab.standing.avoid = frozenset({told["place"] or ""})
        try:
            lab.standing.drop()
        except InfraError as error:
            told["message"] += f"\n{error}"
    item.user_properties.clear()
    item._report_sections.clear()  # noqa: SLF001


def _blame(reports: list[pytest.TestReport], attempts: list[Attempted]) -> None:
    """A board that died by itself on two places that passed preflight counts against the test: it fails.

    Outside interference with a board says nothing about the test, however often it happens.
    """
    places = {attempt["place"] or "" for attempt in attempts}
    if attempts[-1]["verdict"] != "infra" or "" in places or len(places) < 2:
        return
    if any(attempt["cause"] is not Cause.ITSELF for attempt in attempts):
        return
    why = (
        f"two boards that passed preflight died by themselves ({' and '.join(sorted(places))}): "
        "counted as a fault of the kernel or the test"
    )
    for report in reports:
        told = getattr(report, "assay", {})
        if told.get("verdict") == "infra":
            told["verdict"] = "fail"
            told["message"] = f"{why}\n{told['message']}"
            report.sections.append(("assay: verdict", why))
    attempts[-1] |= {"verdict": "fail", "message": f"{why}\n{attempts[-1]['message']}"}


def _sum_up(
    item: pytest.Item, reports: list[pytest.TestReport], attempts: list[Attempted], earlier_s: float
) -> None:
    """Add the test's result to its last report for the record, and to each report as properties for JUnit."""
    attempt = item.stash[ATTEMPT]
    rows: list[CaseAttemptRow] = [
        {"verdict": one["verdict"], "place": one["place"], "epoch": one["epoch"], "message": one["message"]}
        for one in attempts
    ]
    boards = attempt.boards
    about: dict[str, object] = {
        "kind": kind_of(item),
        "attempts": rows,
        "earlier_s": earlier_s,
        "measurements": attempt.measurements,
        "transcript": _relative(attempt.transcript) if boards else None,
        "build_id": _build_id(boards[0]) if boards else None,
        "lost": attempt.lost,
        "unwritten": attempt.unwritten,
    }
    reports[-1].__dict__.setdefault("assay", {"verdict": "pass", "message": ""}).update(about)
    properties: list[tuple[str, object]] = [("verdict", attempts[-1]["verdict"])]
    properties += [(name, str(about[name])) for name in ("kind", "build_id") if about[name]]
    if attempts[-1]["place"]:
        properties.append(("place", attempts[-1]["place"]))
    if len(attempts) > 1:
        properties.append(
            ("attempts", "; ".join(_told(number, told) for number, told in enumerate(attempts, 1)))
        )
        text = "\n\n".join(
            f"{_told(number, told)}\n{told['message']}" for number, told in enumerate(attempts, 1)
        )
        for report in reports:
            report.sections.append(("assay: attempts", text.strip()))
    properties += [
        (f"measurement.{row['name']}.{row['clock']}", _figure(row)) for row in attempt.measurements
    ]
    for report in reports:
        report.user_properties[:] = [
            pair for pair in report.user_properties if pair[0] != "verdict"
        ] + properties


def _told(number: int, told: CaseAttemptRow) -> str:
    where = f" on {told['place']} (epoch {told['epoch']})" if told["place"] else ""
    return f"attempt {number}: {told['verdict']}{where}"


def _bound(row: MeasuredRow) -> str:
    return "at least" if row.get("direction") == Direction.AT_LEAST else "limit"


def _figure(row: MeasuredRow) -> str:
    if row["value"] is None:
        return f"{row['verdict']}: {row['reason']}"
    value, limit = (quantity(row[key], row["unit"], row["name"], digits=6) for key in ("value", "limit"))
    limit = "" if row["limit"] is None else f", {_bound(row)} {limit}"
    stretch = ", misses its stretch" if row["missed_stretch"] else ""
    return f"{value} ({row['stat']} of {row['samples']}{limit}{stretch}): {row['verdict']}"


def _relative(transcript: Path | None) -> str | None:
    if transcript is None or not transcript.is_file():
        return None
    return f"{transcript.parent.name}/{transcript.name}"


def _build_id(standing: StandingBoard) -> str | None:
    return standing.board.image.build_id.hex() if standing.board else None
