"""`--repeat` and `--duration`: every test runs repeatedly, in one process and one row, without growth.

A test is repeated inside its worker, function fixtures and all; pytest and xdist see it once, with the worst verdict of
its runs, the first failure's report, and statistics. They are also written beside the record every few seconds, so that
Ctrl-C, or the end of a process, costs none of them.
"""

from __future__ import annotations

import argparse
import glob
import math
import os
import re
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.errors import ConfigError, InfraError
from contracts.record import FirstFailureRow, MeasuredRow, SoakRow, SpreadRow
from harness.config.json_file import read_json
from harness.pytest_lab.state import ATTEMPT, is_worker, lab_of
from harness.runs.record import Folder
from harness.runs.session_record import SEVERITY

FOLDER: Final = "soak"
"""In a run's folder: one file per test, rewritten while it is repeated."""

_WRITE_S: Final = 2.0
_KEPT: Final = re.compile(r"\.run\d+\.")  # of a failure
_FAILED: Final = SEVERITY[SEVERITY.index("inconclusive") :]
_PLAN: Final = pytest.StashKey["Plan"]()

Run = Callable[[Any], list[pytest.TestReport]]


@dataclass(slots=True)
class Spread:
    """How one figure varies: stored as a few numbers for any number of values (Welford's recurrence)."""

    count: int = 0
    least: float = math.inf
    most: float = -math.inf
    mean: float = 0.0
    first: float = 0.0
    last: float = 0.0
    _squares: float = 0.0

    def add(self, value: float) -> None:
        """Add one value."""
        self.count += 1
        self.first = value if self.count == 1 else self.first
        self.last = value
        self.least, self.most = min(self.least, value), max(self.most, value)
        delta = value - self.mean
        self.mean += delta / self.count
        self._squares += delta * (value - self.mean)

    def row(self) -> SpreadRow:
        """The values for the record."""
        stdev = math.sqrt(self._squares / self.count) if self.count else 0.0
        return {
            "count": self.count, "min": self.least, "mean": self.mean, "max": self.most, "stdev": stdev,
            "first": self.first, "last": self.last,
        }  # fmt: skip


@dataclass(slots=True)
class Statistics:
    """The statistics of one test's runs."""

    began_s: float = field(default_factory=time.monotonic)
    runs: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    run_s: Spread = field(default_factory=Spread)
    memory_kib: Spread = field(default_factory=Spread)
    descriptors: Spread = field(default_factory=Spread)
    figures: dict[tuple[str, str, str], Spread] = field(default_factory=dict)
    first_failure: FirstFailureRow | None = None

    def add(self, verdict: str, message: str, took_s: float, measurements: Sequence[MeasuredRow]) -> None:
        """Add one run."""
        self.runs += 1
        self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
        self.run_s.add(took_s)
        self.memory_kib.add(_memory_kib())
        self.descriptors.add(_descriptors())
        for row in measurements:
            if row["value"] is not None:
                key = (row["name"], row["clock"], row["unit"])
                self.figures.setdefault(key, Spread()).add(float(row["value"]))
        if verdict in _FAILED and self.first_failure is None:
            self.first_failure = {
                "run": self.runs,
                "after_s": round(time.monotonic() - self.began_s, 3),
                "verdict": verdict,
                "message": message,
            }

    def row(self) -> SoakRow:
        """The values for the record."""
        return {
            "runs": self.runs,
            "seconds": round(time.monotonic() - self.began_s, 3),
            "verdicts": self.verdicts,
            "first_failure": self.first_failure,
            "run_s": self.run_s.row(),
            "memory_kib": self.memory_kib.row(),
            "descriptors": self.descriptors.row(),
            "figures": [
                {"name": name, "clock": clock, "unit": unit, **spread.row()}
                for (name, clock, unit), spread in self.figures.items()
            ],
        }


def soak_lines(nodeid: str, told: SoakRow) -> list[str]:
    """A test's statistics as text."""
    bad = sum(count for verdict, count in told["verdicts"].items() if verdict in _FAILED)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in told["verdicts"].items())
    lines = [f"{nodeid}: {told['runs']} runs in {told['seconds']:.1f} s: {counts}"]
    first = told["first_failure"]
    if first is not None:
        why = str(first["message"]).partition("\n")[0]
        lines.append(
            f"  first {first['verdict']}: run {first['run']}, after {first['after_s']:.1f} s; "
            f"{100 * bad / told['runs']:.3g}% of the runs: {why}"
        )
    lines += [
        f"  {row['name']} ({row['clock']}): {row['min']:.6g} to {row['max']:.6g} {row['unit']}, "
        f"mean {row['mean']:.6g}, standard deviation {row['stdev']:.3g}"
        for row in told["figures"]
    ]
    return lines + [
        f"  {label}: {row['min']:.6g} to {row['max']:.6g}; first {row['first']:.6g}, last {row['last']:.6g}"
        for label, row in (
            ("seconds a run", told["run_s"]),
            ("memory, KiB", told["memory_kib"]),
            ("descriptors", told["descriptors"]),
        )
    ]


def _memory_kib() -> int:
    """Resident memory of this process (proc_pid_statm(5), field 2)."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
    return 0


def _descriptors() -> int:
    with suppress(OSError):
        return len(os.listdir("/proc/self/fd")) - 1  # noqa: PTH208 - without the descriptor of the listing itself
    return 0


class Plan:
    """How often and for how long this process repeats its tests."""

    def __init__(self, repeat: int | None, duration_s: float | None, workers: int) -> None:
        self._repeat = repeat
        self._end_s = None if duration_s is None else time.monotonic() + duration_s
        self._workers = workers
        self._begun = 0

    def share(self, tests: int) -> Callable[[int], bool]:
        """For the next test of `tests`: whether to run it again after a number of runs.

        With a duration each test gets an equal part of the time that is left; a test always runs once.
        """
        left = max(1, math.ceil(tests / self._workers) - self._begun)
        self._begun += 1
        now_s = time.monotonic()
        until_s = None if self._end_s is None else now_s + max(0.0, self._end_s - now_s) / left

        def again(runs: int) -> bool:
            if self._repeat is not None and runs >= self._repeat:
                return False
            return until_s is None or time.monotonic() < until_s

        return again


def plan_of(config: pytest.Config) -> Plan | None:
    """The session's plan; None where every test runs once."""
    return config.stash.get(_PLAN, None)


def repeated(
    plan: Plan, item: pytest.Item, nextitem: pytest.Item | None, run: Run
) -> tuple[list[pytest.TestReport], BaseException | None]:
    """Run a test by the plan; returns its reports and the interruption, which the caller raises after reporting."""
    again = plan.share(len(item.session.items))
    known = Statistics()
    kept: list[pytest.TestReport] = []
    worst = -1
    file = _file(item)
    written_s = time.monotonic()
    ended: BaseException | None = None
    while not known.runs or again(known.runs):
        if known.runs:
            _forget(item)
        began_s = time.monotonic()
        _new_timer(item)
        try:
            with warnings.catch_warnings(record=bool(known.runs)):  # the reports of the first run are used
                reports = run(item.parent)  # fixtures above the test stay set up, those of the test do not
        except (KeyboardInterrupt, pytest.exit.Exception) as error:
            ended = error
            break
        verdict, message = _worst(reports)
        attempt = item.stash.get(ATTEMPT, None)
        known.add(verdict, message, time.monotonic() - began_s, attempt.measurements if attempt else [])
        if SEVERITY.index(verdict) > worst:
            worst, kept = SEVERITY.index(verdict), reports
            if verdict in _FAILED:
                _keep_transcript(item, reports, known.runs)
        if time.monotonic() - written_s >= _WRITE_S:
            written_s = time.monotonic()
            _write(file, item.nodeid, known)
        if verdict == "skip" or (verdict in _FAILED and item.session.config.getoption("maxfail")):
            break
    if kept:
        _tear_down(item, nextitem)
        told = kept[-1].__dict__.setdefault("assay", {"verdict": "pass", "message": ""})
        told["soak"] = known.row()
        told["earlier_s"] = max(0.0, told["soak"]["seconds"] - sum(report.duration for report in kept))
        kept[-1].sections.append(("assay: soak", "\n".join(soak_lines(item.nodeid, known.row()))))
        _write(file, item.nodeid, known)
    return kept, ended


def _worst(reports: list[pytest.TestReport]) -> tuple[str, str]:
    verdict, message = "pass", ""
    for report in reports:
        told = getattr(report, "assay", None)
        if told and SEVERITY.index(told["verdict"]) > SEVERITY.index(verdict):
            verdict, message = told["verdict"], told["message"]
    return verdict, message


def _new_timer(item: pytest.Item) -> None:
    """pytest-timeout's limit is for one run, not for all of them."""
    if not item.config.pluginmanager.hasplugin("timeout"):
        return
    import pytest_timeout

    settings = pytest_timeout._get_item_settings(item)  # noqa: SLF001 - it has no public name
    if settings.timeout and not settings.func_only:
        item.ihook.pytest_timeout_cancel_timer(item=item)
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)


def _keep_transcript(item: pytest.Item, reports: list[pytest.TestReport], run: int) -> None:
    """Rename the transcript of a failure so that no later run overwrites it."""
    attempt = item.stash.get(ATTEMPT, None)
    path = attempt.transcript if attempt else None
    if path is None or not path.is_file():
        return
    mine = path.with_suffix(f".run{run}.jsonl")
    with suppress(OSError):
        path.replace(mine)
        reports[-1].__dict__["assay"]["transcript"] = f"{mine.parent.name}/{mine.name}"


def _forget(item: pytest.Item) -> None:
    """Remove what a run leaves for its report before the next one."""
    item.user_properties.clear()
    item._report_sections.clear()  # noqa: SLF001 - pytest has no public name for it
    attempt = item.stash.get(ATTEMPT, None)
    if attempt is None or attempt.transcript is None:
        return
    stem = attempt.transcript.name.partition(".attempt")[0].removesuffix(".jsonl")
    for path in attempt.transcript.parent.glob(f"{glob.escape(stem)}*"):
        if not _KEPT.search(path.name):
            with suppress(OSError):
                path.unlink()


def _tear_down(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Tear down fixtures of the module and above, which all runs shared, as the next test requires."""
    item.session._setupstate.teardown_exact(nextitem)  # noqa: SLF001 - pytest has no public name for it


def _file(item: pytest.Item) -> Path | None:
    """The file for the statistics while the test runs, with a unique name per test."""
    from hashlib import sha256

    transcripts = lab_of(item.config).transcripts
    if transcripts is None:
        return None
    return transcripts.parent / FOLDER / f"{sha256(item.nodeid.encode()).hexdigest()[:16]}.json"


def _write(file: Path | None, nodeid: str, known: Statistics) -> None:
    """Rewrite the statistics. If they cannot be written, only this copy is lost, not the test."""
    if file is None:
        return
    with suppress(InfraError):
        Folder(file.parent.parent).sub(file.parent.name).write_json(file.name, {"id": nodeid, **known.row()})


def _times(text: str) -> int:
    try:
        times = int(text)
    except ValueError:
        times = 0
    if not 1 <= times <= 10**9:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, seen {text!r}")
    return times


def _duration(text: str) -> float:
    from harness.lease.reservation import parse_duration

    try:
        return float(parse_duration(text))
    except ConfigError as error:
        raise argparse.ArgumentTypeError(f"expected {error.expected}, seen {text!r}") from error


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two options."""
    group = parser.getgroup("assay")
    group.addoption(
        "--repeat",
        type=_times,
        default=None,
        metavar="N",
        help="soak: run every test N times, with one verdict and one row each and the spread of every figure",
    )
    group.addoption(
        "--duration",
        type=_duration,
        default=None,
        metavar="TIME",
        help="soak: repeat the tests for this time (90s, 45m, 8h, 1h30m), each for an equal share",
    )


@pytest.hookimpl(trylast=True)  # after pytest's own plugin has created its factory of folders
def pytest_configure(config: pytest.Config) -> None:
    """Create the plan; folders of passing runs are removed when they end."""
    repeat, duration_s = config.getoption("--repeat"), config.getoption("--duration")
    if repeat is None and duration_s is None:
        return
    workers = int(config.workerinput["workercount"]) if is_worker(config) else 1  # type: ignore[attr-defined]
    config.stash[_PLAN] = Plan(repeat, duration_s, workers)
    factory = getattr(config, "_tmp_path_factory", None)
    if factory is not None:
        factory._retention_policy = "failed"  # noqa: SLF001 - otherwise a thousand runs leave a thousand folders


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The statistics of every test, including those that Ctrl-C left without a row."""
    record = lab_of(config).record
    if plan_of(config) is None or record is None:
        return
    told = {row["id"]: row["soak"] for row in record.rows if row.get("soak")}
    if record.folder is not None:
        for path in sorted((record.folder / FOLDER).glob("*.json")):
            with suppress(ConfigError, KeyError, TypeError):
                found = read_json(path)
                told.setdefault(found["id"], found)
    if told:
        terminalreporter.section("soak")
        for nodeid, one in told.items():
            for line in soak_lines(nodeid, one):
                terminalreporter.line(line)
