"""The lab's own time: a test's overhead, lease to first answer, four boards and one, a missing board."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from contracts.errors import AssayError, InfraError
from contracts.root import ROOT
from suites.bench.channel import Figure

KIND: Final = "qemu-virt"
ABSENT: Final = "rpi4"
CORES: Final = 2
WORKERS: Final = 4
NO_OPS: Final = 300
WARM_UP: Final = 20
FIRST_ANSWERS: Final = 5
PREFLIGHTS: Final = 5
ROUNDS: Final = 2
SUBSET: Final = ("suites/board/base", "suites/board/channel", "suites/board/live")
INFRA_EXIT: Final = 75
TIMEOUT_S: Final = 900.0

NO_OP_TESTS: Final = f"""
import pytest

@pytest.mark.parametrize("number", range({NO_OPS}))
def test_with_a_board(board, number):
    pass

@pytest.mark.parametrize("number", range({NO_OPS}))
def test_without(number):
    pass
"""
STOPWATCH: Final = """
import json, os, time

began = {}

def pytest_runtest_logstart(nodeid, location):
    began[nodeid] = time.monotonic()

def pytest_runtest_logfinish(nodeid, location):
    with open(os.environ["BENCH_TIMES"], "a") as file:
        file.write(json.dumps([nodeid, time.monotonic() - began[nodeid]]) + "\\n")
"""


def overhead_per_test() -> list[Figure]:
    """Wall time of a test that does nothing, from its start until its verdict is recorded, with its board held."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "test_no_op.py").write_text(NO_OP_TESTS)
        (folder / "conftest.py").write_text(STOPWATCH)
        times = folder / "times.jsonl"
        done, _ = _pytest(
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            name,
            "--board",
            KIND,
            name,
            env={"BENCH_TIMES": str(times)},
        )
        _expect(done, 0)
        rows: list[tuple[str, float]] = [tuple(json.loads(line)) for line in times.read_text().splitlines()]
    boarded = [wall_s * 1e3 for name, wall_s in rows if "with_a_board" in name][WARM_UP:]
    bare = [wall_s * 1e3 for name, wall_s in rows if "without" in name][WARM_UP:]
    percentiles = statistics.quantiles(boarded, n=100)
    spread = (
        f"{min(boarded):.2f} to {max(boarded):.2f}, p99 {percentiles[98]:.2f}; "
        f"a test without a board {statistics.median(bare):.2f}"
    )
    return [
        Figure("no-op board test, lease held, median", "ms", statistics.median(boarded), 5.0, spread=spread)
    ]


def lease_to_first_answer() -> list[Figure]:
    """Wall time from the request for a lease to the first echo, on every default board type."""
    from harness.boards.board import open_board
    from harness.boards.registry import select
    from harness.config.keys import load_key
    from harness.kernel.build import build_kernel
    from harness.lease import acquire

    figures = []
    for spec in select([]):
        image = build_kernel(spec.firmware, variant="release")
        key = load_key()
        walls = []
        for _ in range(FIRST_ANSWERS):
            began = time.monotonic()
            with acquire(spec, purpose="bench") as lease, open_board(spec, key, image, lease=lease) as board:
                board.client.echo(b"first")
                walls.append(time.monotonic() - began)
        spread = f"{min(walls):.2f} to {max(walls):.2f}"
        figures.append(
            Figure(f"lease to first answer, {spec.kind}", "s", statistics.median(walls), 1.0, spread=spread)
        )
    return figures


def four_boards_against_one() -> list[Figure]:
    """The same board suites with one worker and with four, alternating, on two cores; the best time of each."""
    walls: dict[int, list[float]] = {1: [], WORKERS: []}
    with _on_cores(CORES):
        for _ in range(ROUNDS):
            for workers, taken in walls.items():
                done, wall_s = _pytest("-q", "--board", KIND, "-n", str(workers), *SUBSET)
                _expect(done, 0)
                taken.append(wall_s)
    one, four = min(walls[1]), min(walls[WORKERS])
    spread = f"{four:.1f} s against {one:.1f} s, best of {ROUNDS}; every test passed"
    name = f"board suite, {WORKERS} {KIND} on {CORES} cores, of one worker's time"
    return [Figure(name, "", four / one, 0.6, spread=spread)]


def preflight_of_an_absent_board() -> list[Figure]:
    """Wall time of the check that reports a missing board."""
    from harness.boards.preflight import check
    from harness.boards.registry import select

    specs = select([ABSENT])
    walls = []
    for _ in range(PREFLIGHTS):
        began = time.monotonic()
        findings = check(specs)
        walls.append(time.monotonic() - began)
        if any(finding.ok for finding in findings):
            raise InfraError(f"a board {ABSENT} is here", expected="none, to measure its absence", seen="one")
    spread = f"{min(walls):.3f} to {max(walls):.3f}"
    return [Figure(f"preflight of an absent {ABSENT}", "s", statistics.median(walls), 1.0, spread=spread)]


def absent_board_to_exit() -> list[Figure]:
    """Wall time of `pytest --board=rpi4` without a board, to its exit code 75."""
    walls = []
    for _ in range(3):
        done, wall_s = _pytest("-q", f"--board={ABSENT}", "suites/board")
        _expect(done, INFRA_EXIT)
        walls.append(wall_s)
    spread = f"{min(walls):.2f} to {max(walls):.2f}, exit {INFRA_EXIT} each time"
    return [Figure(f"pytest --board={ABSENT} to its end", "s", statistics.median(walls), 5.0, spread=spread)]


PARTS: Final[Sequence[Callable[[], list[Figure]]]] = (
    overhead_per_test,
    lease_to_first_answer,
    preflight_of_an_absent_board,
    absent_board_to_exit,
    four_boards_against_one,
)


def _pytest(
    *arguments: str, env: dict[str, str] | None = None
) -> tuple[subprocess.CompletedProcess[str], float]:
    """One pytest session as a process, with its records in a temporary folder; and its wall time in seconds.

    Python keeps its bytecode, as it does unless told otherwise; the first session of a bench may have to make it.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as results:
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *arguments, "--results", results],
            cwd=ROOT,
            env=environment | (env or {}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done, time.monotonic() - began


def _expect(done: subprocess.CompletedProcess[str], code: int) -> None:
    if done.returncode != code:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-30:])
        raise InfraError(
            "a session that is measured ended otherwise",
            expected=f"exit {code}",
            seen=f"exit {done.returncode}:\n{tail}",
        )


@contextlib.contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """Restrict this process and its children to the first `count` of its cores."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(sorted(allowed)[:count]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


@contextlib.contextmanager
def _leases_of_its_own() -> Iterator[None]:
    """Leases in a folder of this bench, so that it never waits for another process's boards."""
    before = os.environ.get("ASSAY_LEASES")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ASSAY_LEASES"] = folder
        try:
            yield
        finally:
            os.environ.pop("ASSAY_LEASES")
            if before is not None:
                os.environ["ASSAY_LEASES"] = before


def main() -> int:
    """Print the table; 1 if a goal was missed or a part could not be measured."""
    table = Table(title="The lab (host wall clock)")
    for column in ("figure", "value", "goal", "spread", ""):
        table.add_column(column, justify="right" if column in ("value", "goal") else "left")
    failed = []
    missed = False
    with _leases_of_its_own():
        for part in PARTS:
            try:
                figures = part()
            except AssayError as error:
                failed.append(f"{part.__name__.replace('_', ' ')}: {error}")
                continue
            for figure in figures:
                missed = missed or not figure.met
                table.add_row(
                    figure.name,
                    f"{figure.value:.3g} {figure.unit}",
                    f"<= {figure.goal:g} {figure.unit}",
                    figure.spread,
                    "met" if figure.met else "MISSED",
                )
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    console.print(table)
    for line in failed:
        console.print(f"not measured: {line}", markup=False)
    return int(missed or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
