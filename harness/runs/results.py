"""The results folder: its runs, their sizes, and which may be removed."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.errors import AssayError, ConfigError, InfraError
from harness.config.json_file import read_json
from harness.runs.figures import BASELINE
from harness.runs.history import feed
from harness.runs.record import RUN_NAME, hold_ended
from harness.terminal.style import VERDICT_STYLE
from harness.terminal.table import plain_table

_FIELD_SHOWN: Final = 40
_KINDS_SHOWN: Final = 12

REMOVING: Final = ".removing-"
"""Prefix for a folder that is being removed, so that a partly removed folder does not look like a run."""


@dataclass(frozen=True, slots=True)
class RunOnDisk:
    """One run's folder. `size` is in bytes on disk, `changed` the newest change in it (seconds since the epoch).

    `kept` says why it must not be removed, `unread` why its record cannot be read; both are "" otherwise.
    """

    path: Path
    job: str
    verdict: str
    started: str
    holds: str
    size: int
    changed: float
    kept: str
    unread: str

    @property
    def name(self) -> str:
        """The run's name."""
        return self.path.name


def runs_in(results: Path, baseline: Path = BASELINE) -> list[RunOnDisk]:
    """Every run of a results folder, oldest first. Raises ConfigError if the folder does not exist."""
    if not results.is_dir():
        raise ConfigError(
            f"no results folder {results}",
            expected="a folder of runs",
            seen="none",
            do="make a run with `assay run`, or name the folder with --results",
        )
    source = _source_of(baseline)
    paths = (path for path in results.iterdir() if RUN_NAME.fullmatch(path.name) and path.is_dir())
    return [_run(path, source) for path in sorted(paths)]


def _source_of(baseline: Path) -> str:
    """The name of the run that the baseline was made from; empty without a baseline."""
    with contextlib.suppress(ConfigError, KeyError, TypeError):
        return str(read_json(baseline)["run"]["name"])
    return ""


def _run(path: Path, source: str) -> RunOnDisk:
    size, changed = _extent(path)
    with hold_ended(path) as ended:
        in_progress = not ended
    kept = ""
    if path.is_symlink():
        kept = "a link"
    elif in_progress:
        kept = "in progress"
    elif path.name == source:
        kept = "the baseline's run"
    document, unread = _document(path)
    about = document.get("run") if isinstance(document.get("run"), dict) else {}
    assert isinstance(about, dict)
    job = _short(about.get("job", "tests" if (path / "tests.jsonl").exists() else "run"))
    verdict = _short(about.get("verdict", "")) or ("" if in_progress else "no end")
    boards, tests = document.get("boards"), document.get("tests")
    if job != "run":
        holds = f"{len(tests)} test{'' if len(tests) == 1 else 's'}" if isinstance(tests, list) else ""
    else:
        entries = boards if isinstance(boards, list) else []
        kinds = [_short(board.get("kind")) for board in entries if isinstance(board, dict)]
        more = f" and {len(kinds) - _KINDS_SHOWN} more" if len(kinds) > _KINDS_SHOWN else ""
        holds = ", ".join(kinds[:_KINDS_SHOWN]) + more
    return RunOnDisk(path, job, verdict, _short(about.get("started", "")), holds, size, changed, kept, unread)


def _short(value: object) -> str:
    """A field of a table, from any value in a record."""
    return str(value)[:_FIELD_SHOWN] if isinstance(value, str | int | float) else ""


def _document(path: Path) -> tuple[Mapping[str, object], str]:
    """A run's record, and why it cannot be read; neither for an unfinished run."""
    file = path / "run.json"
    if not os.path.lexists(file):
        return {}, ""
    try:
        document = read_json(file, lenient=True)
    except ConfigError as error:
        return {}, error.seen
    if not isinstance(document, dict) or not isinstance(document.get("run"), dict):
        return {}, "not a run's record"
    return document, ""


def _extent(path: Path) -> tuple[int, float]:
    """Bytes on disk, and the time of the newest change."""
    size, changed = 0, 0.0
    for folder, _, files in os.walk(path):
        for entry in (folder, *(os.path.join(folder, name) for name in files)):  # noqa: PTH118 - a hot loop
            with contextlib.suppress(OSError):
                status = os.lstat(entry)
                size += status.st_blocks * 512
                changed = max(changed, status.st_mtime)
    return size, changed


def unread_lines(runs: Sequence[RunOnDisk]) -> list[str]:
    """A line for each unreadable record."""
    return [f"{run.path / 'run.json'} cannot be read: {run.unread}" for run in runs if run.unread]


def size_text(size: float) -> str:
    """A size as readable text."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


def runs_table(runs: Sequence[RunOnDisk]) -> Table:
    """One line per run, oldest first."""
    table = plain_table("name", "job", "verdict", "~holds", ">size", "~kept because")
    table.title = "runs, oldest first"
    for run in runs:
        style = VERDICT_STYLE.get(run.verdict, "dim")
        cells = (run.holds, size_text(run.size), run.kept)
        table.add_row(run.name, escape(run.job), f"[{style}]{escape(run.verdict)}[/]", *map(escape, cells))
    return table


def removable(
    runs: Sequence[RunOnDisk], keep: int | None, age_s: float | None, now: float
) -> list[RunOnDisk]:
    """The runs to remove: not among the newest `keep`, older than `age_s`, and without a reason to keep them."""
    old = list(runs) if keep is None else list(runs)[:-keep]
    return [run for run in old if not run.kept and (age_s is None or now - run.changed > age_s)]


def prune_runs(
    console: Console,
    results: Path,
    keep: int | None,
    age_s: float | None,
    *,
    dry_run: bool = False,
    baseline: Path = BASELINE,
) -> int:
    """Remove old runs after their figures are in the history, and print what was freed. Returns 0.

    Raises InfraError if a folder cannot be removed; those before it are already removed and printed.
    """
    runs = runs_in(results, baseline)
    going = removable(runs, keep, age_s, time.time())
    for line in unread_lines(runs):
        console.print(line, soft_wrap=True, markup=False)
    for run in runs:
        if run.kept:
            console.print(f"kept {run.name}: {run.kept}", soft_wrap=True, markup=False)
    if going and not dry_run:
        for line in feed(results):
            console.print(line, soft_wrap=True, markup=False)
    freed = 0
    try:
        if not dry_run:
            _finish_earlier(results)
        for run in going:
            gone = dry_run or _remove(run)
            word = "would remove" if dry_run else "removed" if gone else "kept, just started:"
            console.print(f"{word} {run.name}, {size_text(run.size)}", soft_wrap=True, markup=False)
            freed += run.size if gone else 0
    finally:
        what = "would be freed" if dry_run else "freed"
        console.print(f"{size_text(freed)} {what}, {len(runs) - len(going)} of {len(runs)} runs remain")
    return 0


def _remove(run: RunOnDisk) -> bool:
    """Remove a run's folder; False if a process started to use it in the meantime."""
    with hold_ended(run.path) as ended:
        if not ended:
            return False
        gone = run.path.with_name(REMOVING + run.name)
        try:
            run.path.rename(gone)
            shutil.rmtree(gone)
        except OSError as error:
            raise _stuck(run.path, error) from error
    return True


def _finish_earlier(results: Path) -> None:
    """Remove what an earlier, killed call left."""
    for path in results.glob(f"{REMOVING}*"):
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise _stuck(path, error) from error


def _stuck(path: Path, error: OSError) -> AssayError:
    return InfraError(
        f"cannot remove {path}",
        expected="a writable folder",
        seen=str(error),
        do="correct its permissions, then prune again",
    )
