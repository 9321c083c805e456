"""`assay accept` around the suites: select boards, build kernels, show progress, merge, record, summarise."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, get_args

from rich.console import Console
from rich.markup import escape

from ai.model import SHIPPED
from ai.model_file import probe, read_model
from contracts.errors import AssayError, InfraError
from contracts.measurement import Verdict
from contracts.progress import Progress
from contracts.record import Record
from contracts.root import ROOT
from harness.boards.preflight import check, unusable
from harness.boards.rack import rack
from harness.boards.registry import LAB_VARIABLE, lab_files, select
from harness.config.keys import load_key
from harness.judge.budgets import DEFAULT_BUDGETS, Judged, load_budgets
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import Variant
from harness.machine.interrupt import interruptible
from harness.machine.quiet_files import QuietFiles
from harness.report import write_report
from harness.robot.accept import KERNELS, Acceptance, KindOutcome, Step, accept, document
from harness.robot.html import row_text
from harness.robot.kernels import keep
from harness.robot.merge import count_tests, merge
from harness.runs.commit import commit_of
from harness.runs.history import feed
from harness.runs.record import Folder, new_run
from harness.terminal.progress import LiveProgress
from harness.terminal.sentence import BoardTold, FigureTold, counts_text, session_sentence
from harness.terminal.style import VERDICT_STYLE
from harness.terminal.table import plain_table
from targets.qemu import qemu_program

SUITES: Final = ROOT / "robot"


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of the command line."""

    boards: Sequence[str]
    suites: Sequence[Path]
    lab: Sequence[Path]
    seed: int
    include: Sequence[str]
    results: Path
    processes: int | None
    budgets: Path | None
    key: Path | None
    model: Path | None
    strict: bool


class _Display:
    """On a terminal one bar per board type; a line per test if it did not pass or the output is not a terminal."""

    def __init__(self, console: Console, kinds: Sequence[str]) -> None:
        self._console = console
        self._bars = LiveProgress(console, kinds)
        self._width = max(len(kind) for kind in kinds)

    def __enter__(self) -> Self:
        self._bars.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def report(self, step: Step) -> None:
        """Show one step."""
        row, terminal = step.row, self._console.is_terminal
        if terminal:
            self._bars.report(Progress(step.kind, step.done, step.total, step.doing))
        if row is not None and not (terminal and row["verdict"] in ("pass", "marginal")):
            name = row["id"].rpartition("::")[2].removeprefix("robot/").removesuffix(f"[{step.kind}]")
            self._console.print(
                f"{step.kind:<{self._width}}  {step.done:>2}/{step.total}  "
                f"[{VERDICT_STYLE[row['verdict']]}]{row['verdict']:<13}[/]{escape(name)} ({row['duration_s']:.1f} s)",
                soft_wrap=True,
            )
        elif not terminal and step.doing.startswith("waiting"):
            self._console.print(f"{step.kind}: {step.doing}", markup=False, soft_wrap=True)


def accept_job(console: Console, asked: Asked, command: Sequence[str]) -> int:
    """Execute `assay accept` and return its exit code (docs/verdicts.md). Raises AssayError before any boot.

    A user's model is read once, here: the process of every board type loads that copy.
    """
    with read_model(asked.model or SHIPPED) as model:
        probe(model)
        return _accept(console, replace(asked, model=model.place) if asked.model else asked, command)


def _accept(console: Console, asked: Asked, command: Sequence[str]) -> int:
    labs = lab_files(list(asked.lab) or None)
    specs = select(asked.boards, lab=labs)
    suites = tuple(path.absolute() for path in asked.suites) or (SUITES,)
    budgets = (asked.budgets or DEFAULT_BUDGETS).absolute()
    load_budgets(budgets)
    load_key(asked.key)
    tests = count_tests(suites, asked.include)
    if any(spec.qemu is not None for spec in specs):
        qemu_program()
    began_s, started = time.monotonic(), datetime.now(UTC)
    with rack(specs, lab=labs, seed=asked.seed) as found:
        lacking = unusable(check(found.specs))
        for kind, missing in lacking.items():
            console.print(f"{kind} cannot be used: {missing}", soft_wrap=True, markup=False)
        name, folder = new_run(asked.results.absolute())
        usable = [spec for spec in found.specs if spec.kind not in lacking]
        if usable:
            console.print(
                f"{tests} tests on each of {', '.join(spec.kind for spec in usable)}; kernels are built"
            )
        try:
            for spec in usable:
                images = [kernel_for(spec, variant, key=asked.key) for variant in get_args(Variant)]
                keep(folder.sub("robot").sub(spec.kind).sub(KERNELS), images)
        except KeyboardInterrupt:
            wall_s = time.monotonic() - began_s
            early = document(
                name,
                started,
                wall_s,
                [],
                seed=asked.seed,
                commit=commit_of(),
                command=command,
                interrupted=True,
            )
            folder.write_json("run.json", early)
            raise
        plan = Acceptance(
            tuple(found.specs),
            suites,
            (*_options(asked, folder, budgets), *(f"--include={tag}" for tag in asked.include)),
            asked.processes or max(1, min(len(specs), os.cpu_count() or 1)),
            {LAB_VARIABLE: os.pathsep.join(str(path.absolute()) for path in found.labs)},
            lacking,
        )
        stop = threading.Event()
        with interruptible(stop):
            with _Display(console, [spec.kind for spec in specs]) as display:
                outcomes = accept(plan, folder, display.report, stop)
            QuietFiles(folder.sub("robot").path).remove()
            commit = commit_of()
            about = {"Commit": commit or "unknown", "Seed": str(asked.seed), "Run": name}
            log = _merge(console, folder, outcomes, about)
            record = document(
                name,
                started,
                time.monotonic() - began_s,
                outcomes,
                seed=asked.seed,
                commit=commit,
                command=command,
                interrupted=stop.is_set(),
            )
            folder.write_json("run.json", record)
    _tell(console, asked.results, folder, record, outcomes, log)
    exit_code: int = record["run"]["exit"]
    return exit_code


def _tell(
    console: Console,
    results: Path,
    folder: Folder,
    record: Record,
    outcomes: Sequence[KindOutcome],
    log: Path | None,
) -> None:
    """Print the table, update the history, print the paths."""
    sum_up(console, outcomes)
    try:
        feed(results)
    except AssayError as error:
        console.print(f"not in the history: {error}", markup=False, soft_wrap=True)
    try:
        console.print(f"report: {write_report(folder.path)}", soft_wrap=True, markup=False)
    except AssayError as error:
        console.print(
            f"no report was written; the verdict is unchanged: {error}", soft_wrap=True, markup=False
        )
    console.print(f"results: {folder.path}", soft_wrap=True, markup=False)
    if log is not None:
        console.print(f"log: {log}", soft_wrap=True, markup=False)
    verdict = record["run"]["verdict"]
    sentence = session_sentence(
        [_told(outcome) for outcome in outcomes], interrupted=bool(record["run"].get("interrupted"))
    )
    console.print(f"[{VERDICT_STYLE[verdict]}]{verdict}[/]: {escape(sentence)}", soft_wrap=True)


def _told(outcome: KindOutcome) -> BoardTold:
    figures = [FigureTold.of_row(figure) for row in outcome.rows for figure in row["measurements"]]
    tests = tuple((row["id"], row["verdict"], row["message"]) for row in outcome.rows)
    return BoardTold(outcome.kind, outcome.verdict.value, outcome.error, tuple(figures), tests)


def _options(asked: Asked, folder: Folder, budgets: Path) -> list[str]:
    """The variables of robot/lab.resource for every process, except its board."""
    values = {
        "SEED": str(asked.seed),
        "BUDGETS": str(budgets),
        "KEY": str(asked.key.absolute()) if asked.key else "",
        "MODEL": str(asked.model.absolute()) if asked.model else "",
        "STRICT": str(asked.strict),
        "QUIET": str(folder.sub("robot").path),
    }
    given = [part for name, value in values.items() for part in ("--variable", f"{name}:{value}")]
    return ["--pythonpath", str(SUITES), *given]


def _merge(
    console: Console, folder: Folder, outcomes: Sequence[KindOutcome], about: dict[str, str]
) -> Path | None:
    """The merged log. If that fails with an AssayError, verdict and record do not change."""
    try:
        return merge(folder.sub("robot").path, [outcome.output for outcome in outcomes], about)
    except InfraError as error:
        console.print(
            f"no merged log was written; the verdict is unchanged: {error}", markup=False, soft_wrap=True
        )
        return None


def sum_up(console: Console, outcomes: Sequence[KindOutcome]) -> None:
    """One line per board type, then every test that failed or was marginal, with the reason."""
    table = plain_table("~board", "~place", "kernel", "tests", ">time", "verdict")
    for outcome in outcomes:
        table.add_row(
            escape(outcome.kind),
            escape(outcome.place),
            outcome.build_id[:8],
            counts_text([row["verdict"] for row in outcome.rows]),
            f"{outcome.wall_s:.0f} s",
            f"[{VERDICT_STYLE[outcome.verdict]}]{outcome.verdict}[/]",
        )
    console.print(table)
    for outcome in outcomes:
        for row in outcome.rows:
            if row["verdict"] not in ("pass", "marginal"):
                console.print(f"{row['id']}: {row['verdict']}", markup=False, soft_wrap=True)
                console.print(f"  {row['message']}", markup=False, soft_wrap=True)
            elif row["verdict"] == "marginal":
                console.print(f"{row['id']}: marginal", markup=False, soft_wrap=True)
                for figure in map(Judged.from_json, row["measurements"]):
                    if figure.verdict is Verdict.MARGINAL:
                        console.print(f"  {row_text(figure)}: {figure.reason}", markup=False, soft_wrap=True)
