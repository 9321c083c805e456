"""Options and markers, with the messages for values that cannot be."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

import pytest

SEED_MAX: Final = 2**32 - 1
LEASE_TIMEOUT_S: Final = 60.0

_MARKERS: Final = (
    "board_kinds(*globs): run a board test on these kinds only",
    "needs(*capabilities): run a board test only on kinds that can do this (process, registers, exact)",
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
    if not 0 <= seconds <= 86400:  # false for nan, too
        raise argparse.ArgumentTypeError(f"expected seconds from 0 to 86400, seen {text!r}")
    return seconds


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"expected a file, seen {text!r}, which is none")
    return str(Path(text).absolute())


def _folder(text: str) -> str:
    path = Path(text).absolute()
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected a folder, seen {text!r}, which is a file")
    return str(path)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options, in a group of their own in `pytest --help`."""
    group = parser.getgroup(
        "assay",
        "Assay: tests on boards (with -n, each worker stays with one board kind; any --dist but `load` is xdist's own)",
    )
    group.addoption(
        "--board",
        action="append",
        default=[],
        metavar="BOARD",
        help="a board, a kind, a glob or tag:NAME; repeatable (default: every kind tagged `default`)",
    )
    group.addoption(
        "--keep",
        action="store_true",
        help="use the board that `assay up` keeps, and leave it up; where none is up, boards are taken as usual",
    )
    group.addoption(
        "--lab",
        action="append",
        type=_file,
        default=[],
        metavar="FILE",
        help="lab file: where this lab's boards are; repeatable, a later one goes before (default: $ASSAY_LAB)",
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
        help="budget file that the `budget` fixture judges by (default: lab-config/budgets.yaml)",
    )
    group.addoption(
        "--strict-budgets",
        action="store_true",
        help="a figure within 10%% of its limit (`marginal`) fails its test; a missed stretch never does",
    )
    group.addoption(
        "--results",
        type=_folder,
        default=None,
        metavar="DIR",
        help="where the session's record goes, a folder a session (default: results/ of the project, and "
        "nothing when no test uses a board)",
    )
    group.addoption(
        "--lease-timeout",
        type=_seconds,
        default=LEASE_TIMEOUT_S,
        metavar="S",
        help=f"seconds to wait for a board that somebody else holds (default: {LEASE_TIMEOUT_S:g})",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers."""
    for line in _MARKERS:
        config.addinivalue_line("markers", line)
