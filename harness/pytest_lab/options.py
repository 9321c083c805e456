"""Options and markers, with the messages for invalid values."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import pytest

SEED_MAX: Final = 2**32 - 1
LEASE_TIMEOUT_S: Final = 60.0

_MARKERS: Final = (
    "board_kinds(*globs): run a board test only on these board types",
    "needs(*capabilities): run a board test only on board types with these (process, registers, exact)",
)


def _seed(text: str) -> int:
    try:
        seed = int(text, 0)
    except ValueError:
        seed = -1
    if not 0 <= seed <= SEED_MAX:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to {SEED_MAX}, seen {text!r}")
    return seed


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:  # also false for nan
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to 86400, seen {text!r}")
    return seconds


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"expected a file, seen {text!r}, which is not a file")
    return str(Path(text).absolute())


def _folder(text: str) -> str:
    path = Path(text).absolute()
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, seen {text!r}, which is a file")
    return str(path)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Assay's options, in their own group in `pytest --help`."""
    group = parser.getgroup(
        "assay",
        "Assay: tests on boards (with -n, each worker stays with one board type; any --dist except `load` is xdist's own)",
    )
    group.addoption(
        "--board",
        action="append",
        default=[],
        metavar="BOARD",
        help="a board, a type, a glob or tag:NAME; repeatable (default: every board type tagged `default`)",
    )
    group.addoption(
        "--keep",
        action="store_true",
        help="use the board that `assay up` keeps and leave it up; if none is up, boards are leased as usual",
    )
    group.addoption(
        "--lab",
        action="append",
        type=_file,
        default=[],
        metavar="FILE",
        help="lab file with the places of boards; repeatable, a later file overrides (default: $ASSAY_LAB)",
    )
    group.addoption(
        "--seed",
        type=_seed,
        default=1,
        metavar="N",
        help=f"seed of boards and situations, 0 to {SEED_MAX} (default: 1)",
    )
    group.addoption(
        "--budgets",
        type=_file,
        default=None,
        metavar="FILE",
        help="budget file for the `budget` fixture (default: lab-config/budgets.yaml)",
    )
    group.addoption(
        "--strict-budgets",
        action="store_true",
        help="fail a test with a figure within 10%% of its limit (`marginal`); a missed stretch never fails",
    )
    group.addoption(
        "--results",
        type=_folder,
        default=None,
        metavar="DIR",
        help="folder for session records, one folder per session (default: results/ of the project; "
        "without board tests no record is written)",
    )
    group.addoption(
        "--lease-timeout",
        type=_seconds,
        default=LEASE_TIMEOUT_S,
        metavar="S",
        help=f"seconds to wait for a board that another process holds (default: {LEASE_TIMEOUT_S:g})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
