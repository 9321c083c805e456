"""`report`: the page of a session of 1,000 tests, from its folder to the browser."""

from __future__ import annotations

import json
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from harness.judge.budgets import Budgets
from harness.report import write_report
from harness.report.screenshot import browse
from harness.runs.history import feed

TESTS: Final = 1000
FAILED: Final = 50
EARLIER: Final = 10
ROUNDS: Final = 5
GOAL_S: Final = 2.0

KINDS: Final = ("qemu-virt", "qemu-rpi3", "qemu-rpi4")

# Opening is the time from the address to a loaded page after layout, in a running browser.
_OPEN: Final = """<!DOCTYPE html><html><body><pre id="said"></pre><script>
const frame = document.createElement("iframe"), begun = performance.now();
frame.style = "width:1280px;height:2000px";
frame.onload = () => {{ const height = frame.contentDocument.documentElement.getBoundingClientRect().height;
  document.querySelector("#said").textContent = "ms=" + (performance.now() - begun) + " height=" + height
    + " rows=" + frame.contentDocument.querySelectorAll("#tests tbody tr").length; }};
frame.src = "{page}"; document.body.append(frame);
</script></body></html>"""


def _row(number: int, budget: Budgets) -> dict[str, Any]:
    """One test; every tenth measures, and every twentieth fails with the output of a crash."""
    kind = KINDS[number % 3]
    bad = number % (TESTS // FAILED) == 7
    samples = [40_000.0 + number + 500 * n for n in range(5)]
    measured = [budget("verify", "virtual").judge(samples).to_json() | {"samples_list": samples}]
    message = "the kernel hung: no answer to ECHO within 2 s" if bad else ""
    verdict = "fail" if bad else "pass"
    return {
        "id": f"suites/board/area_{number % 12}/test_some_part.py::test_that_a_sentence_holds_{number}[{kind}]",
        "kind": kind,
        "verdict": verdict,
        "duration_s": 0.02 * (number % 53),
        "attempts": [{"verdict": verdict, "place": f"{kind}-{number % 4}", "epoch": number, "message": message}],
        "message": message,
        "sections": [["Captured log", "a line of the log, as long as they are\n" * 200],
                     [f"board {kind}: crash", "x0 0000000000000000 x1 ffff000000081234\n" * 20]] if bad else [],
        "measurements": measured if number % 10 == 0 else [],
        "transcript": None,
        "build_id": "ab" * 20,
        "worker": f"gw{number % 4}",
    }  # fmt: skip


def _session(folder: Path, number: int, rows: list[dict[str, Any]]) -> Path:
    name = f"20260101-0000{number:02d}-00{number:02d}"
    run = {"job": "tests", "name": name, "started": "2026-01-01T00:00:00+00:00", "wall_s": 60.0, "seed": 1}
    run |= {"command": ["pytest"], "python": "3.11.7", "verdict": "fail", "interrupted": False, "exit": 1}
    home = folder / name
    home.mkdir(parents=True)
    record = {"schema": 1, "run": run | {"commit": None}, "boards": [], "tests": rows}
    (home / "run.json").write_text(json.dumps(record))
    (home / "tests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return home


def main() -> int:
    """Returns 0 if the page opens within its goal. Raises SetupError without Chromium."""
    budget = Budgets.load()
    with tempfile.TemporaryDirectory(prefix="assay-bench-report-") as place:
        root = Path(place)
        rows = [_row(number, budget) for number in range(TESTS)]
        for number in range(EARLIER + 1):
            newest = _session(root / "results", number, rows)
        began = time.monotonic()
        feed(root / "results")
        fed_s = time.monotonic() - began
        began = time.monotonic()
        page = write_report(newest)
        written_s = time.monotonic() - began
        around = root / "around.html"
        around.write_text(_OPEN.format(page=page.as_uri()))
        opened, walls = [], []
        for _ in range(ROUNDS):
            began = time.monotonic()
            said = browse(root / "profile", ["--dump-dom", around.as_uri()]).stdout
            walls.append(time.monotonic() - began)
            match = re.search(r"ms=([0-9.]+) height=([0-9.]+) rows=([0-9]+)", said)
            if match is None or int(match[3]) != TESTS or float(match[2]) < 1000:
                print(f"report: the browser did not show {TESTS} tests: {match[0] if match else said[-300:]}")
                return 1
            opened.append(float(match[1]) / 1000)
    met = max(opened) < GOAL_S
    print(f"{TESTS} tests, {FAILED} of them failed, {EARLIER} sessions before it: {page.name} of the newest")
    print(f"history fed {fed_s:.2f} s, page written {written_s:.2f} s (host wall time, once)")
    print(
        f"opened in Chromium, loaded and laid out: median {statistics.median(opened):.3f} s, "
        f"max {max(opened):.3f} s of {ROUNDS} (host wall time), goal {GOAL_S:.0f} s: {'met' if met else 'MISSED'}"
    )
    print(f"with the start and end of the browser: median {statistics.median(walls):.2f} s")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
