"""Progress of long operations: what the loop reports and a terminal shows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a board's work, for a live display: `done` of `total` situations, and the current activity.

    `attempt` is the number of the program being written, 0 between programs.
    """

    kind: str
    done: int
    total: int
    doing: str
    attempt: int = 0
