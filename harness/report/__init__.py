"""`assay report RUN`: a run's folder as one self-contained HTML page that a person can read on a desk or a phone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from harness.record import Folder, find_run

__all__ = ["NAME", "report_folder", "write_report"]

NAME: Final = "report.html"


def report_folder(name: str, root: Path) -> Path:
    """The folder of a run, finished or not, given by name, path or `last`. Raises ConfigError with a suggestion."""
    for path in (Path(name), root / name):
        if any(path.glob("*/records.jsonl")):
            return path
    return find_run(name, root)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write a run's page, into its folder unless `out` names a file; returns where it lies.

    Raises ReportError when the record cannot be shown and InfraError when the file cannot be written.
    """
    from harness.report.data import read_run
    from harness.report.page import render

    out = out or folder / NAME
    base = os.path.relpath(folder.resolve(), out.resolve().parent)
    return Folder(out.parent).write(out.name, render(read_run(folder, "" if base == "." else base)))
