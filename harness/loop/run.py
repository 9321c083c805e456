"""`assay run`: the journey on every selected board in parallel, recorded, judged, with one verdict for all."""

from __future__ import annotations

import concurrent.futures
import os
import platform
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from contracts.board import BoardSpec
from contracts.diagnosis import Diagnosis
from contracts.errors import AssayError, InfraError, KernelError, SetupError
from contracts.measurement import Budget, Clock, Verdict
from contracts.progress import Progress
from contracts.record import BoardRow, DiagnosisRow, Record, SituationRow
from contracts.stages import Stage
from harness.boards.board import open_board
from harness.config.keys import LabKey
from harness.judge.budgets import Judged, judge, skipped, worst
from harness.judge.stopwatch import Stopwatch
from harness.kernel.build import KernelImage
from harness.lease import Lease, acquire
from harness.loop import pipeline
from harness.loop.artifacts import write_situation
from harness.loop.drill import drill
from harness.loop.pipeline import Adaptation, Writer
from harness.machine.quiet import Quiet
from harness.machine.turn import SLOW_TURN_TIMEOUT_S, TURN_TIMEOUT_S, TurnGivenUp, host_turn
from harness.runs.record import SCHEMA_VERSION, Folder

SITUATIONS: Final = 20
"""Default number of seeded situations per board, after one warm-up."""

# Figures that a board without a deployed program can have; if they are missing, no row is added.
_WITHOUT_A_PROGRAM: Final = (Stage.ROLLBACK, Stage.UART)


INTERRUPTED_TEXT: Final = "interrupted by the user"

_SIGNAL_S: Final = 0.2  # a child killed by the same signal may end shortly before our handler runs


class Interrupted(Exception):
    """The user ended the run; boards are released and records written."""


@dataclass(slots=True)
class BoardOutcome:
    """The result of one board: its rows, its situations' summaries, and the error that ended it early, if any."""

    kind: str
    instance: str
    build_id: str = ""
    scenario: str = ""
    source: str = ""
    stages: list[Judged] = field(default_factory=list)
    situations: list[SituationRow] = field(default_factory=list)
    verdict: Verdict = Verdict.INCONCLUSIVE
    error: str = ""
    crash: str = ""
    traceback: str = ""
    testing_build_id: str = ""
    drill: dict[str, int] = field(default_factory=dict)
    """The cost of each automatic rollback of the drill, by its cause: instructions, ns on the hardware clock."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The parameters of a run; the same plan gives the same virtual figures and sources."""

    boards: tuple[tuple[BoardSpec, KernelImage, KernelImage], ...]
    """Each board type with its release kernel and its testing kernel (for the rollback drill)."""
    scenarios: Mapping[str, str]
    situation: Callable[[str, int], Any]
    writer: Writer
    key: LabKey
    budgets: Mapping[tuple[str, Clock], Budget]
    seed: int
    situations: int = SITUATIONS
    quiet: Quiet = field(default_factory=Quiet)


def situation_seed(seed: int, index: int) -> int:
    """The seed of a run's situation number `index` (0 is the warm-up)."""
    return seed * 1_000_000 + index


def run(
    plan: Plan,
    folder: Folder,
    name: str,
    report: Callable[[Progress], None],
    stop: threading.Event,
    command: Sequence[str] = (),
) -> tuple[Record, Verdict]:
    """Execute a plan; returns the document written as `run.json` and the run's verdict.

    One thread per board, as many in parallel as there are cores. Raises InfraError if the results folder cannot be
    written. `stop` ends every board between two steps; the record is still written.
    """
    began = time.monotonic()
    started = datetime.now(UTC)
    outcomes: dict[str, BoardOutcome] = {}
    workers = max(1, min(len(plan.boards), os.cpu_count() or 1))
    with concurrent.futures.ThreadPoolExecutor(workers, thread_name_prefix="board") as pool:
        futures = {
            pool.submit(
                _run_board, plan, spec, release, testing, folder.sub(spec.kind), report, stop
            ): spec.kind
            for spec, release, testing in plan.boards
        }
        try:
            for future in concurrent.futures.as_completed(futures):
                outcomes[futures[future]] = future.result()
        except BaseException:
            stop.set()
            raise
    boards = [outcomes[spec.kind] for spec, _, _ in plan.boards]
    document = run_document(
        name,
        started,
        time.monotonic() - began,
        (plan.seed, plan.situations),
        plan.writer,
        boards,
        command,
        interrupted=stop.is_set(),
    )
    folder.write_json("run.json", document)
    return document, worst([board.verdict for board in boards])


def run_document(
    name: str,
    started: datetime,
    wall_s: float,
    seed_and_situations: tuple[int, int],
    writer: Writer,
    boards: Sequence[BoardOutcome],
    command: Sequence[str],
    *,
    interrupted: bool,
) -> Record:
    """The content of `run.json`."""
    seed, situations = seed_and_situations
    return {
        "schema": SCHEMA_VERSION,
        "run": {
            "name": name,
            "started": started.isoformat(timespec="seconds"),
            "wall_s": round(wall_s, 3),
            "seed": seed,
            "situations": situations,
            "writer": writer.name,
            "model_hash": writer.model_hash.hex(),
            "command": list(command),
            "python": platform.python_version(),
            "interrupted": interrupted,
            "verdict": worst([board.verdict for board in boards]).value,
        },
        "boards": [board_document(board) for board in boards],
    }


def interrupted_before(
    name: str,
    scenarios: Mapping[str, str],
    writer: Writer,
    command: Sequence[str],
    *,
    seed: int,
    situations: int,
) -> Record:
    """The record of a run that was interrupted before a board was leased, while kernels were built."""
    boards = [
        BoardOutcome(kind, "", scenario=scenario, error=INTERRUPTED_TEXT)
        for kind, scenario in scenarios.items()
    ]
    now = datetime.now(UTC)
    return run_document(name, now, 0.0, (seed, situations), writer, boards, command, interrupted=True)


def board_document(board: BoardOutcome) -> BoardRow:
    """A board's part of `run.json`."""
    return {
        "kind": board.kind,
        "instance": board.instance,
        "build_id": board.build_id,
        "scenario": board.scenario,
        "source": board.source,
        "verdict": board.verdict.value,
        "error": board.error,
        "crash": board.crash,
        "traceback": board.traceback,
        "testing_build_id": board.testing_build_id,
        "drill": board.drill,
        "stages": [row.to_json() for row in board.stages],
        "situations": board.situations,
    }


def _run_board(
    plan: Plan,
    spec: BoardSpec,
    release: KernelImage,
    testing: KernelImage,
    folder: Folder,
    report: Callable[[Progress], None],
    stop: threading.Event,
) -> BoardOutcome:
    """All of one board's work. An error ends only this board, with its verdict; no exception escapes."""
    outcome = BoardOutcome(spec.kind, "", release.build_id.hex(), plan.scenarios[spec.kind])
    watch = Stopwatch()
    verdicts: list[Verdict] = []
    try:
        total = plan.situations + 2
        with acquire(
            spec, purpose="assay run", waiting=lambda why: report(Progress(spec.kind, 0, total, why))
        ) as lease:
            outcome.instance = lease.place.name
            _journeys(plan, lease, release, testing, folder, report, stop, outcome, watch)
    except (Interrupted, TurnGivenUp):
        outcome.error = INTERRUPTED_TEXT
        verdicts.append(Verdict.INCONCLUSIVE)
    except AssayError as error:
        if stop.wait(_SIGNAL_S):  # a fault during an interruption is not a verdict
            outcome.error = f"{INTERRUPTED_TEXT}; meanwhile: {error}"
            verdicts.append(Verdict.INCONCLUSIVE)
        else:
            outcome.error = str(error)
            verdicts.append(Verdict.INFRA if isinstance(error, InfraError | SetupError) else Verdict.FAIL)
    except Exception as error:  # noqa: BLE001 - a mistake of ours is one board's failure, on record, not every board's
        outcome.error = f"a bug in Assay: {type(error).__name__}: {error}"
        outcome.traceback = traceback.format_exc()
        verdicts.append(Verdict.FAIL)
    done = [s for s in outcome.situations if s["index"] > 0]
    if done and not outcome.error:
        refused = sum(1 for s in done if not s["deployed"])
        watch.add(Stage.UNADAPTED, Clock.HOST, 100.0 * refused / len(done))
    outcome.stages = _rows(plan, watch, outcome)
    outcome.verdict = worst([*verdicts, *(row.verdict for row in outcome.stages)])
    try:
        folder.append("records.jsonl", {"board": board_document(outcome)})
    except InfraError as error:
        outcome.error = outcome.error or str(error)
        outcome.verdict = worst([outcome.verdict, Verdict.INFRA])
    what = f"ended early: {outcome.error.partition(chr(10))[0]}" if outcome.error else "done"
    report(Progress(spec.kind, plan.situations + 2, plan.situations + 2, what))
    return outcome


def _journeys(
    plan: Plan,
    lease: Lease,
    release: KernelImage,
    testing: KernelImage,
    folder: Folder,
    report: Callable[[Progress], None],
    stop: threading.Event,
    outcome: BoardOutcome,
    watch: Stopwatch,
) -> None:
    """Every situation on the release kernel, then the drill on the testing kernel; fills `outcome` step by step."""
    spec, total = lease.spec, plan.situations + 2
    folder.write("kernel.elf", release.elf.read_bytes())
    folder.write("kernel.img", release.img.read_bytes())
    report(Progress(spec.kind, 0, total, "boots"))
    transcript = folder.path / "transcript.jsonl"
    with open_board(
        spec,
        plan.key,
        release,
        lease=lease,
        transcript=transcript,
        seed=plan.seed,
    ) as board:
        try:
            for index in range(plan.situations + 1):
                if stop.is_set():
                    raise Interrupted
                doing = "warm-up" if index == 0 else f"situation {index}"
                report(Progress(spec.kind, index, total, doing))
                turn_s = TURN_TIMEOUT_S if plan.writer.promises_latency else SLOW_TURN_TIMEOUT_S
                with plan.quiet.busy(turn_s, stop.is_set):
                    situation = plan.situation(outcome.scenario, situation_seed(plan.seed, index))
                    mark = {key: len(values) for key, values in watch.samples.items()}
                    pipeline.prepare(board, situation)
                adaptation = Adaptation()
                try:
                    with (
                        plan.quiet.alone(turn_s, stop.is_set),
                        host_turn(
                            turn_s, stop.is_set, partial(_report_wait, report, spec.kind, index, total)
                        ),
                    ):
                        pipeline.adapt(
                            board,
                            situation,
                            plan.writer,
                            plan.key,
                            watch,
                            partial(_report_attempt, report, spec.kind, index, total, doing),
                            adaptation,
                        )
                    if adaptation.deployed:
                        with plan.quiet.busy(turn_s, stop.is_set):
                            pipeline.execute_and_watch(board, adaptation, watch)
                        outcome.source = adaptation.source
                finally:
                    write_situation(folder.sub(f"{index:02d}"), situation, adaptation)
                summary = _summary(index, situation, adaptation, watch, mark)
                outcome.situations.append(summary)
                folder.append("records.jsonl", summary)
        except KernelError:
            outcome.crash = board.crash_record()
            raise
    report(Progress(spec.kind, plan.situations + 1, total, "rollback drill"))
    if stop.is_set():
        raise Interrupted
    folder.write("testing.elf", testing.elf.read_bytes())
    folder.write("testing.img", testing.img.read_bytes())
    outcome.testing_build_id = testing.build_id.hex()
    with plan.quiet.busy(SLOW_TURN_TIMEOUT_S, stop.is_set):
        outcome.drill = drill(spec, plan.key, testing, watch, folder.path / "drill.jsonl", lease)


def _report_wait(report: Callable[[Progress], None], kind: str, index: int, total: int, why: str) -> None:
    report(Progress(kind, index, total, f"waiting {why}"))


def _report_attempt(
    report: Callable[[Progress], None], kind: str, done: int, total: int, doing: str, attempt: int
) -> None:
    report(Progress(kind, done, total, f"{doing}, attempt {attempt}", attempt))


def _rows(plan: Plan, watch: Stopwatch, outcome: BoardOutcome) -> list[Judged]:
    """One judged row per stage and clock, in the order of the journey."""
    rows: dict[str, list[Judged]] = {stage: [] for stage in Stage}
    for measurement in watch.measurements():
        stage, budgets = Stage(measurement.stage), plan.budgets
        if measurement.unit != stage.unit:
            measurement = replace(measurement, unit=stage.unit)
        if stage.paced_by_model and not plan.writer.promises_latency:
            budgets = {}
        rows[stage].append(judge(measurement, budgets))
    nothing_deployed = bool(outcome.situations) and not any(s["deployed"] for s in outcome.situations)
    for stage in Stage:
        if rows[stage] or stage in _WITHOUT_A_PROGRAM:
            continue
        if stage.not_built:
            rows[stage].append(skipped(stage, stage.not_built))
        elif nothing_deployed:
            rows[stage].append(skipped(stage, "no program was deployed"))
    return [row for stage in Stage for row in rows[stage]]


def _summary(
    index: int,
    situation: Any,
    adaptation: Adaptation,
    watch: Stopwatch,
    mark: Mapping[tuple[str, Clock], int],
) -> SituationRow:
    """One situation's line in the record; `virtual` holds the figures that a replay must reproduce."""
    taken = {key: values[mark.get(key, 0) :] for key, values in watch.samples.items()}
    return {
        "index": index,
        "warmup": index == 0,
        "family": situation.family,
        "seed": situation.seed,
        "deployed": adaptation.deployed,
        "attempts": [
            {"stage": a.refusal.stage, "reason": a.refusal.reason}
            if a.refusal
            else {"stage": Stage.DEPLOY.value, "reason": ""}
            for a in adaptation.attempts
        ],
        "diagnosis": _diagnosis(adaptation.diagnosis) if adaptation.diagnosis else None,
        "source": adaptation.source,
        "program": pipeline.describe(adaptation.loaded.program) if adaptation.loaded else None,
        "virtual": {stage: values for (stage, clock), values in taken.items() if clock is Clock.VIRTUAL},
        "hardware": {stage: values for (stage, clock), values in taken.items() if clock is Clock.HARDWARE},
        "host": {stage: values for (stage, clock), values in taken.items() if clock is Clock.HOST},
        "paced": {
            stage: [paced.to_json() for paced in found[mark.get((stage, Clock.HOST), 0) :]]
            for stage, found in watch.paced.items()
        },
    }


def _diagnosis(found: Diagnosis) -> DiagnosisRow:
    return {
        "bottleneck": found.bottleneck,
        "hook": found.hook,
        "evidence": found.evidence,
        "parameters": dict(found.parameters),
    }
