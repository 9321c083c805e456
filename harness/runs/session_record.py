"""A test session's record: one row per test, appended with its verdict; `run.json` and the exit code at the end."""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict

from contracts.errors import InfraError
from contracts.measurement import Direction, Verdict
from contracts.record import CaseAttemptRow, CaseRow, MeasuredRow, Record, SoakRow
from harness.runs.plain import plain, shortened
from harness.runs.rows import RowFile
from harness.terminal.style import of_limit, quantity

if TYPE_CHECKING:
    import pytest

    from harness.runs.record import Folder

TESTS: Final = "tests.jsonl"
TRANSCRIPTS: Final = "transcripts"
_SECTION_MAX: Final = 200_000  # characters: for example a recursion's traceback, or a test's output
_OK: Final = ("pass", "marginal")
SEVERITY: Final = ("pass", "skip", "marginal", "inconclusive", "infra", "fail")
"""A test has the verdict of its worst phase; if a phase is skipped, the test is skipped."""


class Told(TypedDict):
    """A phase's report for the record; only a test's last report has the fields after `message`.

    `cause`: the cause of a lab fault (`contracts.errors.Cause`). `earlier_s`: the time of the attempts before the last
    one.
    `lost`, `unwritten`: boards found dead before the test, and parts of its record that could not be written.
    """

    verdict: str
    message: str
    cause: NotRequired[str]
    kind: NotRequired[str | None]
    attempts: NotRequired[list[CaseAttemptRow]]
    earlier_s: NotRequired[float]
    measurements: NotRequired[list[MeasuredRow]]
    transcript: NotRequired[str | None]
    build_id: NotRequired[str | None]
    lost: NotRequired[list[str]]
    unwritten: NotRequired[list[str]]
    soak: NotRequired[SoakRow]


@dataclass(slots=True)
class _Phases:
    """The result of one test so far."""

    verdict: str = "pass"
    message: str = ""
    duration_s: float = 0.0
    sections: dict[tuple[str, str], None] = field(default_factory=dict)
    about: Told = field(default_factory=lambda: Told(verdict="pass", message=""))


class SessionRecord:
    """Rows by test as reports arrive; exists only in the controller (or the only process).

    Nothing is written before `open` or before the first board test: rows are queued until then. If the folder cannot
    be written, rows are lost and listed in `unwritten`, but never a verdict.
    """

    def __init__(self, root: Path, *, seed: int, command: Sequence[str]) -> None:
        self.rows: list[CaseRow] = []
        self.verdicts: dict[str, list[str]] = {}
        """All verdicts of each test; more than one is an error."""
        self.unwritten: list[str] = []
        self.retried: list[str] = []
        self.lost: list[str] = []
        self.figures: list[str] = []
        self._root = root
        self._seed = seed
        self._command = list(command)
        self._began = time.monotonic()
        self._started = datetime.now(UTC)
        self._folder: Folder | None = None
        self._file: RowFile | None = None
        self._name = ""
        self._wanted = False
        self._written = 0
        self._phases: dict[tuple[str, str], _Phases] = {}

    @property
    def folder(self) -> Path | None:
        """The run's folder, if created."""
        return self._folder.path if self._folder else None

    def open(self, *, wanted: bool) -> Path:
        """Create the run's folder. Unless `wanted`, it is removed if there is no board test. Raises InfraError."""
        from harness.runs.record import new_run

        if self._folder is None:
            self._name, self._folder = new_run(self._root)
            self._file = RowFile(self._folder.path / TESTS)
        self._wanted = self._wanted or wanted
        return self._folder.path

    def add(self, report: pytest.TestReport) -> CaseRow | None:
        """Add one phase's report; returns the test's row after its last phase."""
        worker = _worker(report)
        key = (report.nodeid, worker)
        phases = self._phases.setdefault(key, _Phases())
        told: Told = getattr(report, "assay", None) or _told(report)
        verdict = told["verdict"]
        if SEVERITY.index(verdict) > SEVERITY.index(phases.verdict):
            phases.verdict, phases.message = verdict, told["message"]
        phases.duration_s += report.duration + told.get("earlier_s", 0.0)
        phases.about.update(told)
        texts = [] if report.passed else [(str(report.when), report.longreprtext)]
        texts += [(str(title), str(text)) for title, text in report.sections]
        phases.sections |= dict.fromkeys(
            (title, shortened(plain(text), _SECTION_MAX)) for title, text in texts
        )
        if report.when in ("setup", "call"):
            return None
        del self._phases[key]
        row = _row(plain(report.nodeid), worker, phases)
        self._take(row, phases.about)
        return row

    def settle(self) -> None:
        """Give tests that were started, failed, and will not end the verdict that they have so far."""
        for (nodeid, worker), phases in list(self._phases.items()):
            if phases.verdict not in _OK and phases.verdict != "skip":
                del self._phases[nodeid, worker]
                self._take(_row(plain(nodeid), worker, phases), phases.about)

    def _take(self, row: CaseRow, about: Told) -> None:
        self.rows.append(row)
        self.verdicts.setdefault(row["id"], []).append(row["verdict"])
        self.lost += about.get("lost", ())
        self.unwritten += about.get("unwritten", ())
        if len(row["attempts"]) > 1:
            tries = ", then ".join(f"{told['verdict']} on {told['place']}" for told in row["attempts"])
            why = row["attempts"][0]["message"].partition("\n")[0]
            self.retried.append(f"{row['id']}: {tries} ({why})")
        for figure in row["measurements"]:
            if figure["verdict"] in ("marginal", "fail") or figure["missed_stretch"]:
                self.figures.append(
                    f"{row['id']}: {figure['name']} ({figure['clock']} clock) {_figure(figure)}"
                )
        if row["kind"] is not None:
            self._wanted = True
        if self._file is not None and self._wanted:
            self._write()

    def _write(self) -> None:
        """Append the queued rows. Write failures are reported and not retried."""
        assert self._file is not None
        waiting, self._written = self.rows[self._written :], len(self.rows)
        for row in waiting:
            try:
                self._file.append(row)
            except InfraError as error:
                self.unwritten.append(f"the row of {row['id']}: {error.what} ({error.seen})")

    def verdict(self) -> Verdict:
        """The session's verdict so far; `skip` if there are no tests."""
        if not self.rows:
            return Verdict.SKIP
        from harness.judge.budgets import worst

        return worst([Verdict(row["verdict"]) for row in self.rows])

    def finish(self, *, exit_code: int, interrupted: bool) -> None:
        """Write `run.json`, or remove the folder if it is not needed."""
        if self._folder is None or self._file is None:
            return
        if not self._wanted:
            shutil.rmtree(self._folder.path, ignore_errors=True)
            self._folder = None
            return
        from harness.runs.commit import commit_of

        self._write()
        try:
            self._file.close()
        except InfraError as error:
            self.unwritten.append(f"rows of {TESTS}: {error.what} ({error.seen})")
        verdict = Verdict.INCONCLUSIVE if not self.rows else self.verdict()
        document: Record = {
            "schema": 1,
            "run": {
                "name": self._name,
                "job": "tests",
                "started": self._started.isoformat(timespec="seconds"),
                "wall_s": round(time.monotonic() - self._began, 3),
                "seed": self._seed,
                "command": self._command,
                "python": platform.python_version(),
                "verdict": verdict.value,
                "interrupted": interrupted,
                "exit": exit_code,
                "commit": commit_of(),
            },
            "boards": [],
            "tests": self.rows,
        }
        try:
            self._folder.write_json("run.json", document)
        except InfraError as error:
            self.unwritten.append(f"run.json: {error.what} ({error.seen})")

    def last_words(self) -> list[str]:
        """The lost parts of the record as text; empty if it is complete."""
        if not self.unwritten:
            return []
        where = self.folder or self._root
        return [
            f"the record in {where} is incomplete: {len(self.unwritten)} parts could not be written",
            *(f"  {line}" for line in self.unwritten[:10]),
            *([f"  and {len(self.unwritten) - 10} more"] if len(self.unwritten) > 10 else []),
            "  do: free space, correct the folder's permissions, or name another one with --results; then run again",
        ]


def _worker(report: pytest.TestReport) -> str:
    name = getattr(report, "worker_id", None)
    if name is None:
        with contextlib.suppress(AttributeError):
            name = report.node.gateway.id
    return str(name or "")


def _told(report: pytest.TestReport) -> Told:
    """A report that did not come from an Assay worker, such as xdist's report of a worker that died."""
    verdict = "fail" if report.failed else "skip" if report.skipped else "pass"
    return {"verdict": verdict, "message": "" if report.passed else plain(report.longreprtext[:4000])}


def _row(nodeid: str, worker: str, phases: _Phases) -> CaseRow:
    about = phases.about
    fine = phases.verdict in _OK
    row: CaseRow = {
        "id": nodeid,
        "kind": about.get("kind"),
        "verdict": phases.verdict,
        "duration_s": round(phases.duration_s, 6),
        "attempts": about.get("attempts", []),
        "message": "" if fine else phases.message,
        "sections": [] if fine else [list(section) for section in phases.sections],
        "measurements": about.get("measurements", []),
        "transcript": about.get("transcript"),
        "build_id": about.get("build_id"),
        "worker": worker,
    }
    if "soak" in about:
        row["soak"] = about["soak"]
    return row


def _figure(figure: MeasuredRow) -> str:
    unit, stage = figure["unit"], figure["name"]
    stretch = f", stretch {quantity(figure['stretch'], unit, stage)}" if figure["stretch"] is not None else ""
    least = figure.get("direction") == Direction.AT_LEAST
    missed = " missed" if figure["missed_stretch"] else ""
    beside = of_limit(figure["value"], figure["limit"], unit, stage, at_least=least)
    return f"{beside}, {figure['stat']} of {figure['samples']}: {figure['verdict']}{stretch}{missed}"
