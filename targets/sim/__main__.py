"""`python -m targets.sim`: a rack of simulated boards, until a signal arrives or standard input ends.

Standard input: first one line of JSON,
`{"folder", "temporary", "icount", "seed", "boards": [{"kind", "instances", "qemu"}]}`; when it closes, the rack ends
and a temporary folder is removed. Prints `ready LAB_FILE` when the lab file exists.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from contracts.board import QemuSpec
from targets.sim.machine import Options, SimBoard
from targets.sim.rack import Rack


def main() -> int:
    """Serve the rack that standard input describes. Returns 0."""
    wanted = json.loads(os.fdopen(os.dup(0), "rb", buffering=0).readline())
    folder = Path(wanted["folder"])
    options = Options(icount=wanted["icount"], seed=wanted["seed"])
    boards = []
    for kind in wanted["boards"]:
        qemu = QemuSpec(**kind["qemu"] | {"extra": tuple(kind["qemu"]["extra"])})
        for number in range(kind["instances"]):
            name = f"{kind['kind']}-{number}"
            boards.append((kind["kind"], SimBoard(name, qemu, folder / name, options)))
    os.set_blocking(sys.stdin.fileno(), False)
    with Rack(folder, boards, lifeline=sys.stdin.fileno()) as rack:
        sys.stdout.write(f"ready {rack.lab_file}\n")
        sys.stdout.flush()
        rack.serve()
    if wanted["temporary"]:  # the parent process may be gone
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
