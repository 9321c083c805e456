"""`assay baseline write RUN`: stores the virtual figures of a run in the repository, for comparison with later runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from rich.console import Console

from contracts.errors import ConfigError
from contracts.measurement import Clock, Verdict
from harness.config.json_file import read_json
from harness.judge.budgets import worst
from harness.runs.figures import BASELINE, Board, Document, Situation, load, parse
from harness.runs.record import Folder


class _About(TypedDict):
    name: str
    started: str
    seed: int
    situations: int
    writer: str
    model_hash: str
    verdict: str


class _Stage(TypedDict):
    name: str
    value: float | None
    unit: str
    clock: str
    stat: str | None
    samples: int
    verdict: str


class _Attempt(TypedDict):
    stage: str


class _Program(TypedDict):
    program_id: str


class _Situation(TypedDict):
    index: int
    warmup: bool
    family: str
    seed: int
    attempts: list[_Attempt]
    program: _Program | None
    virtual: dict[str, list[float]]


class _Board(TypedDict):
    kind: str
    build_id: str
    scenario: str
    verdict: str
    stages: list[_Stage]
    situations: list[_Situation]


class Baseline(TypedDict):
    """A run's record reduced to what its kernel and seed determine: no host figures, sources or paths."""

    schema: int
    run: _About
    boards: list[_Board]


def baseline_of(document: Document) -> Baseline:
    """The part of a run's record for the baseline, with only its virtual rows; its verdicts are theirs."""
    boards = [_board(board) for board in document.boards]
    run = document.run
    return {
        "schema": document.version,
        "run": {
            "name": run.name,
            "started": run.started,
            "seed": run.seed,
            "situations": run.situations,
            "writer": run.writer,
            "model_hash": run.model_hash,
            "verdict": worst([Verdict(board["verdict"]) for board in boards]).value,
        },
        "boards": boards,
    }


def _board(board: Board) -> _Board:
    rows = [row for row in board.stages if row.clock is Clock.VIRTUAL and row.value is not None]
    return {
        "kind": board.kind,
        "build_id": board.build_id,
        "scenario": board.scenario,
        "verdict": worst([row.verdict for row in rows]).value,
        "stages": [
            {
                "name": row.name,
                "value": row.value,
                "unit": row.unit,
                "clock": row.clock.value,
                "stat": row.stat.value if row.stat else None,
                "samples": row.samples,
                "verdict": row.verdict.value,
            }
            for row in rows
        ],
        "situations": [_situation(situation) for situation in board.situations],
    }


def _situation(situation: Situation) -> _Situation:
    return {
        "index": situation.index,
        "warmup": situation.warmup,
        "family": situation.family,
        "seed": situation.seed,
        "attempts": [{"stage": attempt.stage} for attempt in situation.attempts],
        "program": {"program_id": situation.program.program_id} if situation.program else None,
        "virtual": dict(situation.virtual),
    }


def write_baseline(console: Console, name: str, results: Path, baseline: Path = BASELINE) -> int:
    """Make `name` the baseline and return 0.

    Raises ConfigError for a run that is not usable: one that was interrupted, ended early on a board, missed a
    virtual budget, or lacks a board type that the baseline has.
    """
    run = load(name, results, baseline, "run")
    _check(run.document, run.label)
    if baseline.is_file():
        kinds = {board.kind for board in parse(read_json(baseline), baseline).boards}
        gone = sorted(kinds - set(run.boards))
        if gone:
            raise ConfigError(
                f"run {run.label} would drop {', '.join(gone)} from the baseline",
                expected=f"a run of {', '.join(sorted(kinds))}",
                seen=", ".join(sorted(run.boards)),
                do="run those board types as well, or remove the baseline first",
            )
    content = baseline_of(run.document)
    Folder(baseline.parent).write(baseline.name, _laid_out(content))
    console.print(
        f"{baseline}: {len(run.boards)} boards, seed {run.document.run.seed}, from run {run.document.run.name}",
        soft_wrap=True,
    )
    return 0


def _check(document: Document, label: str) -> None:
    """Check that a run may become the baseline. Host results do not matter: a baseline holds the kernel's counts."""
    wrong = "was interrupted" if document.run.interrupted else "" if document.boards else "has no board"
    wrong = "is a test session" if document.run.job != "run" else wrong
    for board in document.boards:
        rows = board.rows(Clock.VIRTUAL)
        missed = [name for name, row in rows.items() if row.verdict.exit_code]
        if board.error:
            wrong = wrong or f"ended early on {board.kind}"
        elif not rows:
            wrong = wrong or f"has no virtual figures of {board.kind}"
        elif missed:
            wrong = wrong or f"missed a budget on {board.kind}: {', '.join(missed)}"
    if wrong:
        raise ConfigError(
            f"run {label} {wrong}",
            expected="a complete run within every virtual budget",
            seen=wrong,
            do="make one with `assay run`",
        )


def _laid_out(content: Baseline) -> str:
    """JSON with one line per stage and situation, so that an update gives a readable diff."""
    lines = ["{", f'"schema": {content["schema"]},', f'"run": {json.dumps(content["run"])},', '"boards": [']
    for number, board in enumerate(content["boards"], start=1):
        head = json.dumps({key: value for key, value in board.items() if not isinstance(value, list)})
        lines.append(f"{head[:-1]},")
        parts: tuple[tuple[str, Sequence[object], str], ...] = (
            ("stages", board["stages"], "],"),
            ("situations", board["situations"], "]}"),
        )
        for part, rows, end in parts:
            lines.append(f'"{part}": [')
            lines.append(",\n".join(f"  {json.dumps(row)}" for row in rows))
            lines.append(end)
        if number < len(content["boards"]):
            lines[-1] += ","
    return "\n".join([*lines, "]", "}"]) + "\n"
