"""`assay accept`: the Robot suites on every selected board type in parallel, one merged log, one record, one verdict."""

from __future__ import annotations

import platform
import selectors
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from contracts.board import BoardSpec
from contracts.measurement import Verdict
from contracts.record import CaseRow, Record
from harness.judge.budgets import worst
from harness.machine.interrupt import INTERRUPTED
from harness.robot.merge import infra_row, read_rows, write_output
from harness.robot.process import OUTPUT, STOP_S, RobotProcess, verdicts
from harness.robot.rows import INTERRUPTED_TEXT
from harness.runs.record import SCHEMA_VERSION, Folder

SILENCE_S: Final = 900.0
"""A process without news for this long is killed: longer than any keyword of the suites may wait."""

STOPPED_S: Final = 10.0
"""A process stopped by a signal is given up after this many seconds: its lease's heartbeat was silent equally long."""

KERNELS: Final = "kernels"
"""The folder of a board type's kernels, below robot/<kind>/."""

_LOOK_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What to run: board types, suites, and the options of every Robot process except its board."""

    specs: tuple[BoardSpec, ...]
    suites: tuple[Path, ...]
    options: tuple[str, ...]
    processes: int
    environment: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables of the processes."""
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Why a board type cannot be tested in this lab."""


@dataclass(slots=True)
class KindOutcome:
    """The result of one board type. `error` says why its output is incomplete, empty otherwise."""

    kind: str
    output: Path
    rows: list[CaseRow]
    place: str = ""
    build_id: str = ""
    error: str = ""
    wall_s: float = 0.0

    @property
    def verdict(self) -> Verdict:
        """The worst of its tests."""
        return worst(verdicts(self.rows))


@dataclass(frozen=True, slots=True)
class Step:
    """News from a board type's process: `row` of a test that ended, else what it does now."""

    kind: str
    done: int
    total: int
    doing: str
    row: CaseRow | None = None


def accept(
    plan: Acceptance,
    folder: Folder,
    report: Callable[[Step], None],
    stop: threading.Event,
) -> list[KindOutcome]:
    """Run the suites, at most `processes` board types at a time; returns the result of each, in the plan's order.

    Verdicts are appended to tests.jsonl as they arrive. `stop` asks every process to stop; their results are kept.
    Raises InfraError if the results folder cannot be written.
    """
    outcomes: dict[str, KindOutcome] = {}
    waiting = list(plan.specs)
    running: dict[str, tuple[RobotProcess, float]] = {}
    robot = folder.sub("robot")
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or running:
                while waiting and len(running) < plan.processes:
                    spec = waiting.pop(0)
                    place = robot.sub(spec.kind).path
                    if spec.kind in plan.unusable or stop.is_set():
                        outcomes[spec.kind] = _untested(plan, spec, place, folder, report)
                        continue
                    process = RobotProcess.start(
                        spec.kind,
                        place,
                        _own_options(plan, spec, place),
                        plan.suites,
                        plan.environment,
                    )
                    selector.register(process, selectors.EVENT_READ, process)
                    running[spec.kind] = (process, time.monotonic())
                _listen(selector, running, folder, report)
                for kind, (process, began_s) in list(running.items()):
                    if stop.is_set():
                        process.stop()
                    seen = _overdue(process)
                    if process.process.poll() is None and not seen:
                        continue
                    selector.unregister(process)
                    del running[kind]
                    outcome = _ended(process, seen, folder, report)
                    outcome.wall_s = time.monotonic() - began_s
                    outcomes[kind] = outcome
        finally:
            for process, _ in running.values():
                process.kill()
                process.process.wait()
    return [outcomes[spec.kind] for spec in plan.specs]


def _own_options(plan: Acceptance, spec: BoardSpec, place: Path) -> list[str]:
    """The options of one board type's process: its board, and its stored kernels."""
    return [*plan.options, "--variable", f"BOARD:{spec.kind}", "--variable", f"KERNELS:{place / KERNELS}"]


def _listen(
    selector: selectors.BaseSelector,
    running: Mapping[str, tuple[RobotProcess, float]],
    folder: Folder,
    report: Callable[[Step], None],
) -> None:
    """Wait a moment for news, and pass it on."""
    if running:
        for key, _ in selector.select(_LOOK_S):
            _hear(key.data, folder, report)


def _hear(process: RobotProcess, folder: Folder, report: Callable[[Step], None]) -> None:
    events = process.events()
    if events is None:
        time.sleep(_LOOK_S / 10)  # its pipe is closed: it is about to exit
    for event in events or ():
        row = event["row"] if event["event"] == "test" else None
        if row is not None:
            if row["transcript"] is not None:
                row["transcript"] = f"robot/{process.kind}/{row['transcript']}"
            folder.append("tests.jsonl", row)
        report(Step(process.kind, len(process.rows), process.total, process.doing, row))


def _overdue(process: RobotProcess) -> str:
    """Kill a process that does not stop when asked or sends nothing for too long; returns what was seen, or nothing."""
    now_s = time.monotonic()
    seen = ""
    if process.stopped_s is not None and now_s - process.stopped_s > STOP_S:
        seen = f"Robot did not stop within {STOP_S:.0f} s of the request, in '{process.doing}'"
    elif process.stands_still_s(now_s) > STOPPED_S:
        seen = f"Robot was stopped from outside (SIGSTOP) for {STOPPED_S:.0f} s, in '{process.doing}'"
    elif now_s - process.heard_s > SILENCE_S:
        seen = f"Robot reported nothing for {SILENCE_S:.0f} s, in '{process.doing}'"
    if seen and process.process.poll() is None:
        process.kill()
        process.process.wait()
    return seen


def _ended(process: RobotProcess, seen: str, folder: Folder, report: Callable[[Step], None]) -> KindOutcome:
    """Read a process's output. If it is incomplete: the tests that it reported, and an `infra` with what was seen."""
    process.process.wait()
    _hear(process, folder, report)
    process.close()
    output = process.folder / OUTPUT
    error = seen or process.exit_error
    rows = None if error else read_rows(output, process.kind, process.rows)
    if rows is None:
        error = error or f"Robot left no complete {output.name}"
        row = infra_row(process.kind, "Robot ends normally", error, process.place)
        if process.stopped_s is not None:  # it was told to stop: no verdict on unfinished work
            row = _as_interrupted(row, f"{INTERRUPTED_TEXT}; {error}")
        folder.append("tests.jsonl", row)
        rows = [*process.rows, row]
        metadata = {"Board": process.kind, "Place": process.place, "Build id": process.build_id}
        write_output(output, process.kind, rows, metadata)
        report(Step(process.kind, len(process.rows), process.total, "ended early", row))
    else:
        told = {row["id"] for row in process.rows}
        for row in rows:  # tests of suites without the library, and tests that a stop skipped
            if row["id"] not in told:
                folder.append("tests.jsonl", row)
        report(Step(process.kind, process.total, process.total, "done"))
    return KindOutcome(process.kind, output, rows, process.place, process.build_id, error)


def _as_interrupted(row: CaseRow, message: str) -> CaseRow:
    """The row of something that an interruption left unfinished: `inconclusive`, whatever it had shown."""
    verdict = Verdict.INCONCLUSIVE.value
    for attempt in row["attempts"]:
        attempt["verdict"] = verdict
    row["verdict"], row["message"] = verdict, message
    return row


def _untested(
    plan: Acceptance, spec: BoardSpec, path: Path, folder: Folder, report: Callable[[Step], None]
) -> KindOutcome:
    """The result of a board type without a process: no usable place, or the run was interrupted before its turn."""
    why = plan.unusable.get(spec.kind, "")
    if why:
        row = infra_row(spec.kind, f"A board of type {spec.kind} is usable", why)
    else:
        row = _as_interrupted(infra_row(spec.kind, "Not started", INTERRUPTED_TEXT), INTERRUPTED_TEXT)
    folder.append("tests.jsonl", row)
    output = path / OUTPUT
    write_output(output, spec.kind, [row], {"Board": spec.kind})
    report(Step(spec.kind, 0, 1, "not tested", row))
    return KindOutcome(spec.kind, output, [row], error=why)


def document(
    name: str,
    started: datetime,
    wall_s: float,
    outcomes: Sequence[KindOutcome],
    *,
    seed: int,
    commit: str | None,
    command: Sequence[str],
    interrupted: bool,
) -> Record:
    """The contents of `run.json`, with the layout of a test session (docs/schemas/run.schema.json)."""
    rows = [row for outcome in outcomes for row in outcome.rows]
    verdict = worst(verdicts(rows))
    return {
        "schema": SCHEMA_VERSION,
        "run": {
            "job": "accept",
            "name": name,
            "started": started.isoformat(timespec="seconds"),
            "wall_s": round(wall_s, 3),
            "seed": seed,
            "command": list(command),
            "python": platform.python_version(),
            "verdict": verdict.value,
            "interrupted": interrupted,
            "exit": INTERRUPTED if interrupted else verdict.exit_code,
            "commit": commit,
        },
        "boards": [],
        "tests": rows,
    }
