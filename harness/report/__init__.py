"""`assay report RUN`: a run's folder as one self-contained HTML page for a desktop or a phone."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from contracts.errors import AssayError, ConfigError
from harness.config.json_file import read_json
from harness.runs.record import Folder, find_run

__all__ = ["NAME", "report_folder", "take_in", "write_report"]

NAME: Final = "report.html"


def report_folder(name: str, root: Path) -> Path:
    """The folder of a run or a session, finished or not, given by name, path or `last`.

    Raises ConfigError with a suggestion, or with what the folder lacks.
    """
    for path in _folders(name, root):
        if any(path.glob("*/records.jsonl")) or (path / "tests.jsonl").is_file():
            return path
        if path != root and not os.path.lexists(path / "run.json"):
            raise ConfigError(
                f"{path} contains no record",
                expected="run.json, tests.jsonl, or a board's records.jsonl",
                seen=", ".join(sorted(item.name for item in path.iterdir())[:8]) or "an empty folder",
                do="name another run: `assay results list` shows them",
            )
    if not root.is_dir():
        raise ConfigError(
            f"no results folder {root}",
            expected="a folder of runs",
            seen="none",
            do="make a run with `assay run`, or name the folder with --results",
        )
    folder = find_run(name, root)
    _check(folder / "run.json")
    return folder


def _folders(name: str, root: Path) -> list[Path]:
    """The existing folders that a name may mean."""
    with suppress(OSError):  # not a valid file name
        return [path for path in (Path(name), root / name) if path.is_dir()]
    return []


def _check(record: Path) -> None:
    """If a folder contains only a record, the record must be valid. Raises ConfigError."""
    document = read_json(record, lenient=True)
    if not isinstance(document, dict) or not isinstance(document.get("run"), dict):
        raise ConfigError(
            f"{record} is not a run's record",
            expected="a run.json that matches docs/schemas/run.schema.json",
            seen=repr(document)[:80],
            do="name another run: `assay results list` shows them",
        )


def take_in(folder: Path, root: Path) -> list[str]:
    """Update the history next to a run of `root`, so that the page can show trends.

    Returns failures as lines of text: the page is still written, without trends.
    """
    from harness.runs.history import feed

    if folder.resolve().parent != root.resolve():
        return []
    try:
        return feed(root)
    except AssayError as error:
        return [f"not in the history: {error.what}"]


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write a run's page to its folder, or to `out`; returns its path.

    Raises ReportError if the record cannot be shown and InfraError if the file cannot be written.
    """
    from harness.report.data import read_run
    from harness.report.page import render, render_session
    from harness.report.session import is_session, read_session

    out = out or folder / NAME
    base = os.path.relpath(folder.resolve(), out.resolve().parent)
    base = "" if base == "." else base
    page = (
        render_session(read_session(folder, base)) if is_session(folder) else render(read_run(folder, base))
    )
    return Folder(out.parent).write(out.name, page)
