"""The debug channel: boot to hello, round trip, upload throughput, with and without virtual time."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from contracts.board import BoardSpec
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board, open_board
from harness.boards.registry import select
from harness.config.keys import load_key
from harness.kernel.build import build_kernel

BOOTS: Final = 5
ROUND_TRIPS: Final = 400
WARM_UP: Final = 20
ECHO_BYTES: Final = 64
UPLOAD_BYTES: Final = 200_000
UPLOADS: Final = 3


@dataclass(frozen=True)
class Figure:
    """One measured figure (host wall clock) with its goal."""

    name: str
    unit: str
    value: float
    goal: float
    higher_is_better: bool = False
    spread: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        return self.value >= self.goal if self.higher_is_better else self.value <= self.goal


def timed(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def measure(spec: BoardSpec, *, icount: bool) -> list[Figure]:
    """The three figures of one board type."""
    image = build_kernel(spec.firmware, variant="release")
    boots = []
    for _ in range(BOOTS):
        began = time.monotonic()
        with open_board(spec, load_key(), image, icount=icount) as board:
            boots.append(time.monotonic() - began)
            figures = channel_figures(board) if len(boots) == BOOTS else []
    spread = f"{min(boots):.2f} to {max(boots):.2f}"
    boot = Figure("boot to hello answered", "s", statistics.median(boots), 1.0, spread=spread)
    return [boot, *figures]


def channel_figures(board: Board) -> list[Figure]:
    """Round trips and uploads on a running board."""
    payload = bytes(range(ECHO_BYTES))
    for _ in range(WARM_UP):
        board.client.echo(payload)
    trips = sorted(timed(lambda: board.client.echo(payload)) * 1e3 for _ in range(ROUND_TRIPS))
    data = bytes(range(256)) * (UPLOAD_BYTES // 256)
    rates = [
        len(data) / 1e3 / timed(lambda: board.client.upload(BlobKind.WORKLOAD, data)) for _ in range(UPLOADS)
    ]
    spread = f"{trips[0]:.2f} to {trips[-1]:.2f}, p99 {trips[int(ROUND_TRIPS * 0.99)]:.2f}"
    return [
        Figure(f"{ECHO_BYTES}-byte round trip, median", "ms", statistics.median(trips), 2.0, spread=spread),
        Figure(
            "upload",
            "KB/s",
            statistics.median(rates),
            50.0,
            higher_is_better=True,
            spread=f"{min(rates):.0f} to {max(rates):.0f}",
        ),
    ]


def main() -> int:
    """Print the table; 1 if a goal was missed with virtual time (the lab's default)."""
    table = Table(title="Debug channel (host wall clock)")
    for column in ("board", "icount", "figure", "value", "goal", "spread", ""):
        table.add_column(column, justify="right" if column in ("value", "goal") else "left")
    missed = False
    for spec in select([]):
        for icount in (True, False):
            for figure in measure(spec, icount=icount):
                missed = missed or (icount and not figure.met)
                goal = f"{'>=' if figure.higher_is_better else '<='} {figure.goal:g} {figure.unit}"
                table.add_row(
                    spec.kind,
                    "on" if icount else "off",
                    figure.name,
                    f"{figure.value:.2f} {figure.unit}",
                    goal,
                    figure.spread,
                    ("met" if figure.met else "MISSED") if icount else "reported",
                )
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
