"""Progress of a run: on a terminal one live line per board, in a log one printed line per step."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from contracts.progress import Progress


class LiveProgress:
    """One bar per board on a terminal; one line per step elsewhere (CI logs)."""

    def __init__(self, console: Console, kinds: Sequence[str]) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.fields[kind]:<12}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {
            kind: self._bars.add_task("waiting", kind=kind, total=1) for kind in kinds
        }

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._bars.stop()

    @staticmethod
    def _is_due(progress: Progress) -> bool:
        return progress.done % 5 == 0 or progress.done == progress.total

    def report(self, progress: Progress) -> None:
        """Show a step. Called from the boards' threads."""
        if self._console.is_terminal:
            task = self._tasks[progress.kind]
            self._bars.update(task, completed=progress.done, total=progress.total, description=progress.doing)
        elif progress.attempt > 1 or (not progress.attempt and self._is_due(progress)):
            self._console.print(
                f"{progress.kind}: {progress.done}/{progress.total} {progress.doing}",
                highlight=False,
                markup=False,
            )
