"""`assay baseline write RUN`: the virtual figures of a run, kept in the repository as what later runs are held to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from contracts.errors import ConfigError
from contracts.measurement import Clock, Verdict
from harness.judge.budgets import worst
from harness.runs.figures import BASELINE, Document, load, parse
from harness.runs.record import Folder, read_json

_ABOUT: Final = ("name", "started", "seed", "situations", "writer", "model_hash")
_BOARD: Final = ("kind", "build_id", "scenario")
_SITUATION: Final = ("index", "warmup", "family", "seed")
_STAGE: Final = ("name", "value", "unit", "clock", "stat", "samples", "verdict")


def baseline_of(run: dict[str, Any]) -> dict[str, Any]:
    """A run's document cut down to what its kernel and seed decide: no host figure, no source, no path."""
    boards = [_board(board) for board in run["boards"]]
    verdict = worst([Verdict(board["verdict"]) for board in boards])
    about = {**{key: run["run"][key] for key in _ABOUT}, "verdict": verdict.value}
    return {"schema": run["schema"], "run": about, "boards": boards}


def _board(board: dict[str, Any]) -> dict[str, Any]:
    """One board's part; its verdict is that of the virtual rows, which alone are kept."""
    stages = [
        {key: row[key] for key in _STAGE}
        for row in board["stages"]
        if row["clock"] == "virtual" and row["value"] is not None
    ]
    return {
        **{key: board[key] for key in _BOARD},
        "verdict": worst([Verdict(row["verdict"]) for row in stages]).value,
        "stages": stages,
        "situations": [_situation(situation) for situation in board["situations"]],
    }


def _situation(situation: dict[str, Any]) -> dict[str, Any]:
    program = situation.get("program")
    return {
        **{key: situation[key] for key in _SITUATION},
        "attempts": [{"stage": attempt["stage"]} for attempt in situation["attempts"]],
        "program": {"program_id": program["program_id"]} if program else None,
        "virtual": situation["virtual"],
    }


def write_baseline(console: Console, name: str, results: Path, baseline: Path = BASELINE) -> int:
    """Make `name` the baseline and return 0.

    Raises ConfigError for a run that is no measure: one that was interrupted, ended early on a board, missed a
    virtual budget, or lacks a kind that the baseline has.
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
                do="run those kinds too, or remove the baseline first",
            )
    content = baseline_of(read_json(run.path))
    Folder(baseline.parent).write(baseline.name, _laid_out(content))
    console.print(
        f"{baseline}: {len(run.boards)} boards, seed {run.document.run.seed}, from run {run.document.run.name}",
        soft_wrap=True,
    )
    return 0


def _check(document: Document, label: str) -> None:
    """What the host did, or how long it took, is no matter: a baseline is about the kernel's own counts."""
    wrong = "was interrupted" if document.run.interrupted else "" if document.boards else "has no board"
    wrong = "is a session of tests" if document.run.job != "run" else wrong
    for board in document.boards:
        rows = board.rows(Clock.VIRTUAL)
        missed = [name for name, row in rows.items() if row.verdict.exit_code]
        if board.error:
            wrong = wrong or f"ended early on {board.kind}"
        elif not rows:
            wrong = wrong or f"has no virtual figure of {board.kind}"
        elif missed:
            wrong = wrong or f"missed a budget on {board.kind}: {', '.join(missed)}"
    if wrong:
        raise ConfigError(
            f"run {label} {wrong}",
            expected="a whole run with every virtual budget kept",
            seen=wrong,
            do="make one with `assay run`",
        )


def _laid_out(content: dict[str, Any]) -> str:
    """JSON with one line a stage and a situation, so that a refresh reads well as a difference."""
    lines = ["{", f'"schema": {content["schema"]},', f'"run": {json.dumps(content["run"])},', '"boards": [']
    for number, board in enumerate(content["boards"], start=1):
        head = json.dumps({key: board[key] for key in (*_BOARD, "verdict")})
        lines.append(f"{head[:-1]},")
        for part, end in (("stages", "],"), ("situations", "]}")):
            lines.append(f'"{part}": [')
            lines.append(",\n".join(f"  {json.dumps(row)}" for row in board[part]))
            lines.append(end)
        if number < len(content["boards"]):
            lines[-1] += ","
    return "\n".join([*lines, "]", "}"]) + "\n"
