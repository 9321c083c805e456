"""How long our threads waited for a processor, to tell a slow stage from a busy machine (proc(5), schedstat)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def _delay_ns(schedstat: Path) -> int:
    """The second field: ns spent runnable but not running. 0 if the kernel does not record it."""
    with suppress(OSError, ValueError, IndexError):
        return int(schedstat.read_text().split()[1])
    return 0


class Waiting:
    """Counts from now on how long the calling thread, and the processes that it waits for, had to wait."""

    def __init__(self, processes: Iterable[int] = ()) -> None:
        self._tasks = [Path(f"/proc/{pid}/task") for pid in processes if pid]
        self._own_before = self._own()
        self._before = self._others()

    @staticmethod
    def _own() -> int:
        return _delay_ns(Path("/proc/thread-self/schedstat"))

    def _others(self) -> dict[str, int]:
        return {
            path.parent.name: _delay_ns(path) for task in self._tasks for path in task.glob("*/schedstat")
        }

    def so_far_ns(self) -> int:
        """ns since the start: of this thread plus of the others' thread that waited longest.

        The two are added, because one works while the other waits for it; the others' threads may wait in parallel.
        """
        others = (delay - self._before.get(thread, 0) for thread, delay in self._others().items())
        return self._own() - self._own_before + max(others, default=0)
