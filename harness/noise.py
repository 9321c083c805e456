"""How long our threads waited for a processor: what tells a slow stage from a busy machine (proc(5), schedstat)."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def _delay_ns(schedstat: Path) -> int:
    """The second field: ns spent runnable and not running. 0 where the kernel does not keep it."""
    with suppress(OSError, ValueError, IndexError):
        return int(schedstat.read_text().split()[1])
    return 0


def waited_ns(pid: int) -> int:
    """ns that the calling thread and the slowest-served thread of process `pid` (0: none) waited, since they began."""
    own = _delay_ns(Path("/proc/thread-self/schedstat"))
    if not pid:
        return own
    return own + max((_delay_ns(path) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")), default=0)
