"""What `assay run` does around the run: choose boards, build kernels, load the model, show progress, map the verdict."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from ai.scenarios import families, situation
from contracts.board import BoardSpec
from contracts.errors import ConfigError, InfraError, did_you_mean
from harness.budgets import DEFAULT_BUDGETS, load_budgets
from harness.build import build_kernel
from harness.keys import load_key
from harness.record import new_run
from harness.registry import select
from harness.run import Plan, run
from harness.table import LiveProgress, print_outcome
from harness.writer import open_writer

INTERRUPTED: Final = 130


def _scenario_of(spec: BoardSpec, asked: str | None) -> str:
    known = families()
    chosen = asked or spec.scenario or known[0]
    if chosen not in known:
        raise ConfigError(
            f"no scenario {chosen!r}{did_you_mean(chosen, known)}",
            expected=f"one of {', '.join(known)}",
            seen=chosen,
            do="name one with --scenario, or mend the board file",
        )
    return chosen


def main_job(
    console: Console,
    boards: Sequence[str],
    scenario: str | None,
    model: Path | None,
    seed: int,
    situations: int,
    json_file: Path | None,
    results: Path,
    budgets_file: Path | None,
    key_file: Path | None,
    command: Sequence[str],
) -> int:
    """Carry out `assay run` and return its exit code (DESIGN, verdict table). Raises AssayError before any boot."""
    specs = select(boards)
    budgets = load_budgets(budgets_file or DEFAULT_BUDGETS)
    scenarios = {spec.kind: _scenario_of(spec, scenario) for spec in specs}
    key = load_key(key_file)
    writer = open_writer(model)
    name, folder = new_run(results)
    console.print(f"building kernels for {', '.join(spec.kind for spec in specs)}")
    kernels = tuple(
        (
            spec,
            build_kernel(spec.firmware, variant="release", key=key_file),
            build_kernel(spec.firmware, variant="testing", key=key_file),
        )
        for spec in specs
    )
    plan = Plan(kernels, scenarios, situation, writer, key, budgets, seed, situations)
    stop = threading.Event()
    previous = signal.getsignal(signal.SIGINT)

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(signal.SIGINT, previous)  # a second Ctrl-C ends the process at once

    signal.signal(signal.SIGINT, interrupt)
    try:
        with LiveProgress(console, [spec.kind for spec in specs]) as progress:
            document, verdict = run(plan, folder, name, progress.report, stop, command)
    finally:
        signal.signal(signal.SIGINT, previous)
    print_outcome(console, document)
    console.print(f"results: {folder.path}", soft_wrap=True)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(document, indent=2) + "\n")
        except OSError as error:
            raise InfraError(
                f"cannot write {json_file}",
                expected="a writable path",
                seen=str(error),
                do="name another with --json",
            ) from error
    return INTERRUPTED if stop.is_set() else verdict.exit_code
