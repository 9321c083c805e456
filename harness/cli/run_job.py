"""`assay run` around the loop: select boards, build kernels, load the model, show progress, map the verdict."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from ai.scenarios import families, situation
from contracts.board import BoardSpec
from contracts.errors import AssayError, ConfigError, InfraError, did_you_mean
from contracts.measurement import Verdict
from contracts.record import Record
from harness.boards.preflight import check, unusable
from harness.boards.rack import rack
from harness.boards.registry import select
from harness.cli.options import STANDARD_OUTPUT
from harness.config.keys import load_key
from harness.judge.budgets import DEFAULT_BUDGETS, load_budgets, worst
from harness.kernel.board_kernel import kernel_for
from harness.loop.run import Plan, interrupted_before, run
from harness.loop.writer import open_writer
from harness.machine.interrupt import INTERRUPTED, interruptible
from harness.runs.history import feed
from harness.runs.record import new_run
from harness.terminal.outcome import print_outcome, print_sentence
from harness.terminal.progress import LiveProgress
from targets.qemu import qemu_program


def _scenario_of(spec: BoardSpec, asked: str | None) -> str:
    known = families()
    chosen = asked or spec.scenario or known[0]
    if chosen not in known:
        raise ConfigError(
            f"no scenario {chosen!r}{did_you_mean(chosen, known)}",
            expected=f"one of {', '.join(known)}",
            seen=chosen,
            do="name one with --scenario, or correct the board file",
        )
    return chosen


def _macro(define: str) -> tuple[str, str]:
    """A define's name and value; `harness.kernel.build` checks the form of both."""
    name, equals, value = define.partition("=")
    if not equals or not value:
        raise ConfigError(
            f"--define {define!r} has no value",
            expected="NAME=VALUE",
            seen=define,
            do="give the macro a value, such as 1",
        )
    return name, value


def _write_report(console: Console, folder: Path) -> None:
    """Write the run's page and print its path. If that fails with an AssayError, the run's verdict does not change."""
    from harness.report import write_report

    try:
        console.print(f"report: {write_report(folder)}", soft_wrap=True, markup=False)
    except AssayError as error:
        console.print(
            f"no report was written; the verdict is unchanged: {error}", soft_wrap=True, markup=False
        )


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
    defines: Sequence[str] = (),
    lab: Sequence[Path] | None = None,
    *,
    every: bool = False,
) -> int:
    """Carry out `assay run` and return its exit code (DESIGN, verdict table). Raises AssayError before any boot.

    `defines` are C macros, NAME=VALUE, for the release kernels. `lab`: lab files; None: those of
    `ASSAY_LAB`. `every`: show all stages, not only the judged ones.
    """
    specs = select(boards, lab=lab)
    if json_file is not None and json_file != STANDARD_OUTPUT:
        _check_writable(json_file)
    budgets = load_budgets(budgets_file or DEFAULT_BUDGETS)
    scenarios = {spec.kind: _scenario_of(spec, scenario) for spec in specs}
    key = load_key(key_file)
    macros = dict(_macro(define) for define in defines)
    if any(spec.qemu is not None for spec in specs):
        qemu_program()
    writer = open_writer(model)
    with rack(specs, lab=lab, seed=seed) as found:
        _preflight(console, found.specs)
        name, folder = new_run(results)
        console.print(f"building kernels for {', '.join(spec.kind for spec in specs)}")
        try:
            kernels = tuple(
                (
                    spec,
                    kernel_for(spec, "release", key=key_file, extra_defines=macros),
                    kernel_for(spec, "testing", key=key_file),
                )
                for spec in found.specs
            )
        except KeyboardInterrupt:
            early = interrupted_before(name, scenarios, writer, command, seed=seed, situations=situations)
            folder.write_json("run.json", early)
            raise
        plan = Plan(kernels, scenarios, situation, writer, key, budgets, seed, situations)
        stop = threading.Event()
        with interruptible(stop), LiveProgress(console, [spec.kind for spec in specs]) as progress:
            document, verdict = run(plan, folder, name, progress.report, stop, command)
        if json_file is not None:
            try:
                _write_json(json_file, document)
            except OSError as error:
                verdict = worst([verdict, Verdict.INFRA])
                console.print(f"cannot write {json_file}: {error}", markup=False, soft_wrap=True)
        print_outcome(console, document, every=every)
        _remember(console, results)
        console.print(f"results: {folder.path}", soft_wrap=True)
        _write_report(console, folder.path)
        print_sentence(console, document)
        return INTERRUPTED if document["run"]["interrupted"] else verdict.exit_code


def _preflight(console: Console, specs: Sequence[BoardSpec]) -> None:
    """Report which board types cannot be used. Raises InfraError, before a folder is created, if none can."""
    lacking = unusable(check(specs))
    for kind, missing in lacking.items():
        console.print(f"{kind} cannot be used: {missing}", soft_wrap=True, markup=False)
    if len(lacking) == len(specs):
        raise InfraError(
            f"no usable board of {', '.join(spec.kind for spec in specs)}",
            expected="at least one board type that passes preflight",
            seen="see the messages above",
            do="fix the cause, or select other boards: `assay boards`",
        )


def _remember(console: Console, results: Path) -> None:
    """Add the run to the history. A failure is reported and changes no verdict, because the record is complete."""
    try:
        feed(results)
    except AssayError as error:
        console.print(f"not in the history: {error}", markup=False, soft_wrap=True)


def _write_json(json_file: Path, document: Record) -> None:
    """Write the record to a file, or to standard output. Raises OSError."""
    text = json.dumps(document, indent=2) + "\n"
    if json_file == STANDARD_OUTPUT:
        sys.stdout.write(text)
        sys.stdout.flush()
    else:
        json_file.write_text(text)


def _check_writable(json_file: Path) -> None:
    if json_file.is_dir() or not json_file.absolute().parent.is_dir():
        raise ConfigError(
            f"cannot write {json_file}",
            expected="a file in an existing folder",
            seen="a folder" if json_file.is_dir() else "no such folder",
            do="name another with --json",
        )
