"""Shared by several commands: the consoles that they print to, and common options."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from contracts.root import ROOT

RESULTS: Final = ROOT / "results"
STANDARD_OUTPUT: Final = Path("-")
"""As an output file: standard output, which then contains nothing else."""


def console(width: int = 140) -> Console:
    """A console for tables: as wide as the terminal; in a log `COLUMNS`, otherwise `width` columns."""
    sized = (sys.stdout is not None and sys.stdout.isatty()) or os.environ.get("COLUMNS", "").isdigit()
    return Console(highlight=False, width=None if sized else width)


out: Final = console()
err: Final = Console(stderr=True, highlight=False)


def tell(text: str) -> None:
    """One line of progress."""
    err.print(text, markup=False, soft_wrap=True)


class Variant(StrEnum):
    """Kernel variants."""

    RELEASE = "release"
    TESTING = "testing"


BoardOption = Annotated[
    list[str] | None,
    typer.Option(
        "--board",
        "-b",
        metavar="KIND",
        help="Board type, glob or tag:NAME; repeatable. [default: tag:default]",
    ),
]
BoardArgument = Annotated[
    str, typer.Argument(metavar="BOARD", help="A board, or a type: its board that is up, or a free one.")
]
OneBoardOption = Annotated[
    str,
    typer.Option(
        "--board",
        "-b",
        metavar="BOARD",
        help="A board, or a type: its board that is up, or a free one.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
ResultsOption = Annotated[Path, typer.Option(help="Folder with the runs.")]
LabOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--lab", metavar="FILE", help="Lab file with the places of boards; repeatable. [default: $ASSAY_LAB]"
    ),
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Lab key file. [default: the committed development key]")
]
BudgetsOption = Annotated[Path | None, typer.Option(help="Budget file. [default: lab-config/budgets.yaml]")]
VariantOption = Annotated[
    Variant, typer.Option(help="Kernel variant; testing kernels plant faults on request.")
]
