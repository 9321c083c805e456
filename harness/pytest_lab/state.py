"""The lab's state in one pytest process, and the state of one attempt at one test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from contracts.board import BoardSpec
    from harness.boards.standing import StandingBoard
    from harness.runs.session_record import SessionRecord


from contracts.record import MeasuredRow


@dataclass(slots=True)
class Attempt:
    """One attempt at one test: where it ran, what it measured, which files it left."""

    number: int = 1
    transcript: Path | None = None
    boards: list[StandingBoard] = field(default_factory=list)
    measurements: list[MeasuredRow] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Boards that were found dead before this test."""
    unwritten: list[str] = field(default_factory=list)
    """Parts of this test's record that could not be written."""
    failed: bool = False


@dataclass(slots=True)
class Lab:
    """One process's part of the lab. `record` is None in a worker: only the controller keeps the record."""

    worker: bool
    specs: list[BoardSpec] | None = None
    unusable: dict[str, str] = field(default_factory=dict)
    """Board types that did not pass preflight, with what is missing."""
    files: list[Path] = field(default_factory=list)
    """Lab files: those of `--lab`, and that of a running simulator."""
    entered: bool = False
    stack: ExitStack = field(default_factory=ExitStack)
    """Contexts that last as long as the session: a simulator."""
    transcripts: Path | None = None
    standing: StandingBoard | None = None
    record: SessionRecord | None = None
    interrupted: bool = False
    exit_asked: tuple[str, int | None] | None = None
    """The reason and the exit code that a test or a hook passed to `pytest.exit`."""
    broken_collection: bool = False
    usage: str = ""
    """The mistake in the user's files or marks; the session exits with 4 before any board is leased."""
    ended_early: int = 0
    """Workers that were killed from outside before they finished collecting."""
    off: list[str] = field(default_factory=list)
    """Plugins that would rerun tests; if there are any, the lab's own protocol runs every test."""
    trouble: list[str] = field(default_factory=list)
    """Lab faults that belong to no test."""


LAB: Final = pytest.StashKey[Lab]()
ATTEMPT: Final = pytest.StashKey[Attempt]()

BOARD_FIXTURES: Final = {
    "board": "release",
    "board_pair": "release",
    "testing_board": "testing",
    "fresh_board": "testing",
    "lease": "",
    "serial": "",
}
"""The board fixtures, in the order in which tests of one board type run, with their image."""


def lab_of(config: pytest.Config) -> Lab:
    """This process's state; created in `pytest_configure`."""
    return config.stash[LAB]


def is_worker(config: pytest.Config) -> bool:
    """Whether this process is a worker of pytest-xdist."""
    return hasattr(config, "workerinput")


def is_xdist_controller(config: pytest.Config) -> bool:
    """Whether this process gives its tests to workers."""
    return not is_worker(config) and bool(getattr(config.option, "tx", None))


def kind_of(item: pytest.Item) -> str | None:
    """The board type of a test; None for a test without one."""
    spec = spec_of(item)
    return None if spec is None else spec.kind


def spec_of(item: pytest.Item) -> BoardSpec | None:
    """The board spec that a test was parametrised with."""
    callspec = getattr(item, "callspec", None)
    spec = None if callspec is None else callspec.params.get("board_spec")
    return spec if hasattr(spec, "kind") else None  # pytest's own "not set" if no board type was selected


def board_fixtures(item: pytest.Item) -> Iterator[str]:
    """The board fixtures that this test uses."""
    asked = getattr(item, "fixturenames", ())
    return (name for name in BOARD_FIXTURES if name in asked)
