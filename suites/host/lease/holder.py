"""A process that leases: parameters on its command line, commands on standard input, its state on standard output.

Lines it takes: `check`, `since` (seconds by the lease's age), `wall` (the wall clock), `fork` (a child that does
nothing, and what it may do with the lease), `start` (a program that does nothing), `release`. Each is answered by one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

from contracts.board import BoardSpec, Place
from contracts.errors import AssayError
from harness.lease import Lease, acquire, states


def say(what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def spec_of(kind: str, places: list[list[str]]) -> BoardSpec:
    return BoardSpec(
        kind, kind, (), tuple(Place(name, console) for name, console in places), "unix", 115200, 10.0, 5.0
    )


def lost(lease: Lease) -> str:
    try:
        lease.check()
    except AssayError as error:
        return str(error)
    return ""


def forked(lease: Lease) -> int:
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, lost(lease).encode() or b"may use it")
        os.close(write)
        time.sleep(60)
        os._exit(0)
    os.close(write)
    say({"pid": pid, "check": os.read(read, 10_000).decode()})
    return pid


def main() -> None:
    job = json.loads(sys.argv[1])
    if "lab" in job:
        from pathlib import Path

        from harness.boards.registry import select_one

        spec = select_one(job["kind"], lab=[Path(job["lab"])])
    else:
        spec = spec_of(job["kind"], job["places"])
    try:
        lease = acquire(
            spec,
            timeout_s=job.get("timeout_s", 60.0),
            purpose=job.get("purpose", ""),
            waiting=lambda why: say({"waiting": why}),
        )
    except AssayError as error:
        say({"error": str(error), "kind": type(error).__name__})
        return
    say({"place": lease.place.name, "epoch": lease.epoch, "pid": os.getpid()})
    children: list[subprocess.Popen[bytes]] = []
    for line in sys.stdin:
        word = line.strip()
        if word == "check":
            say({"lost": lost(lease)})
        elif word == "since":
            (state,) = [s for s in states(spec) if s.place == lease.place]
            say({"age_s": state.age_s, "silent_s": state.silent_s})
        elif word == "wall":
            say({"wall_s": time.time()})
        elif word == "fork":
            forked(lease)
        elif word == "start":
            children.append(subprocess.Popen(["sleep", "60"]))
            say({"pid": children[-1].pid})
        elif word == "release":
            lease.release()
            say({"released": lease.epoch})


if __name__ == "__main__":
    main()
