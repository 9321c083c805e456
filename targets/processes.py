"""Processes of this machine that a board runs in: whether they are stopped or wait, and which ones serve a pty."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

_MASTERS = ("/dev/ptmx", "/dev/pts/ptmx")


def is_stopped(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger (proc_pid_stat(5): `T`, `t`): it neither runs nor exits."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


def run_delay_s(pids: Iterable[int]) -> float:
    """How long processes waited for a core: their longest-waiting thread (scheduler/sched-stats). 0 if unknown."""
    waited_ns = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            for thread in Path(f"/proc/{pid}/task").iterdir():
                waited_ns = max(waited_ns, int((thread / "schedstat").read_text().split()[1]))
    return waited_ns / 1e9


def descriptors(process: Path) -> dict[str, str]:
    """The open files of a process (a folder of /proc), by number. Raises OSError if it is gone or another user's."""
    folder = f"{process}/fd"  # os: a machine has tens of thousands; pathlib is five times slower
    return {number: os.readlink(f"{folder}/{number}") for number in os.listdir(folder)}  # noqa: PTH115, PTH208


def serves(process: Path, links: Mapping[str, str], device: str) -> bool:
    """Whether a process with these `descriptors` has the other end of a pty (proc_pid_fdinfo(5): `tty-index`)."""
    if not device.startswith("/dev/pts/"):
        return False
    for number in (number for number, target in links.items() if target in _MASTERS):
        with suppress(OSError):
            found = re.search(
                r"^tty-index:\s*(\d+)$", (process / "fdinfo" / number).read_text(), re.MULTILINE
            )
            if found is None or found[1] == device.rpartition("/")[2]:
                return True
    return False


def servers_of(console: Path) -> list[int]:
    """The processes that have the other end of the pty `console` and that this user can see."""
    device = os.path.realpath(console)
    found = []
    for process in Path("/proc").glob("[0-9]*") if device.startswith("/dev/pts/") else ():
        with suppress(OSError):
            if serves(process, descriptors(process), device):
                found.append(int(process.name))
    return found


def behind(servers: Iterable[int], console: Path) -> list[int]:
    """The `servers` of a console and their children that work for it: those whose command names its folder, or all."""
    out = []
    for server in servers:
        children: dict[int, bytes] = {}
        with suppress(OSError, ValueError):
            for thread in Path(f"/proc/{server}/task").iterdir():
                for pid in (thread / "children").read_text().split():
                    children[int(pid)] = Path(f"/proc/{pid}/cmdline").read_bytes()
        own = [pid for pid, command in children.items() if os.fsencode(console.parent) in command]
        out += [server, *(own or children)]
    return out
