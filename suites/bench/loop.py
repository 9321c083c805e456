"""The main job as a user starts it: wall time of `assay run`, and every stage of every board with its budget."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from rich.console import Console

from contracts.root import ROOT
from harness.terminal.outcome import whole_table

WALL_GOAL_S: Final = 60.0
TIMEOUT_S: Final = 900.0


def main() -> int:
    """Run the default main job once. Returns 0 if it exited with 0 within its goal."""
    console = Console(highlight=False, width=140)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.json"
        began = time.monotonic()
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "harness.cli",
                "run",
                "--json",
                str(path),
                "--results",
                str(Path(folder) / "results"),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        wall_s = time.monotonic() - began
        if not path.is_file():
            console.print(done.stdout + done.stderr, markup=False)
            return done.returncode or 1
        console.print(whole_table(json.loads(path.read_text())))
    met = wall_s < WALL_GOAL_S
    console.print(
        f"assay run: exit {done.returncode}, {wall_s:.1f} s wall (host), goal {WALL_GOAL_S:.0f} s: "
        f"{'met' if met else 'MISSED'}"
    )
    return 0 if met and done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
