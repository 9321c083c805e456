"""Pictures of what a person sees, for docs/images: terminals of 80 columns, pages of 390 px and wider.

`.venv/bin/python -m suites.bench.pictures RUN ACCEPT` draws them of a run and of an acceptance under results/.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from contracts.root import ROOT
from harness.report import report_folder, write_report
from harness.report.screenshot import take_screenshot
from harness.runs.record import DEFAULT_RESULTS
from harness.terminal.outcome import print_outcome, print_sentence
from harness.terminal.sentence import BoardTold, FigureTold, session_sentence
from harness.terminal.style import VERDICT_STYLE

IMAGES: Final = ROOT / "docs" / "images"
PHONE: Final = 390
_TOP: Final = 1800
"""Of a page the docs show the top, in px."""
_COLUMNS: Final = 80
_TERMINAL: Final = """<!DOCTYPE html><html><body style="margin:0;background:#14171b">
<pre style="font:14px/1.4 'DejaVu Sans Mono',monospace;color:#d8dde3;margin:0;padding:14px;width:80ch">{text}</pre>
</body></html>"""


def terminal(shown: Callable[[Console], None], picture: Path) -> None:
    """What `shown` prints on a terminal of 80 columns."""
    console = Console(
        record=True,
        width=_COLUMNS,
        force_terminal=True,
        file=io.StringIO(),
        color_system="truecolor",
        highlight=False,
    )
    shown(console)
    text = console.export_html(inline_styles=True, code_format="{code}")
    with tempfile.TemporaryDirectory(prefix="assay-picture-") as place:
        page = Path(place) / "terminal.html"
        page.write_text(_TERMINAL.format(text=text), encoding="utf-8")
        take_screenshot(page, picture, 720)


def accepted(record: dict[str, Any]) -> Callable[[Console], None]:
    """The closing table and sentence of `assay accept`, of its record."""
    from harness.robot.accept import KindOutcome
    from harness.robot.accept_job import sum_up

    kinds = sorted({test["kind"] for test in record["tests"]})
    rows = {kind: [test for test in record["tests"] if test["kind"] == kind] for kind in kinds}

    def shown(console: Console) -> None:
        console.print("$ ./assay accept")
        outcomes = [
            KindOutcome(
                kind,
                Path(),
                rows[kind],
                rows[kind][0]["attempts"][0]["place"] or "",
                next((row["build_id"] for row in rows[kind] if row["build_id"]), ""),
                "",
                sum(row["duration_s"] for row in rows[kind]),
            )
            for kind in kinds
        ]
        sum_up(console, outcomes)
        told = [
            BoardTold(
                outcome.kind,
                outcome.verdict.value,
                "",
                tuple(FigureTold.of_row(figure) for row in outcome.rows for figure in row["measurements"]),
                tuple((row["id"], row["verdict"], row["message"]) for row in outcome.rows),
            )
            for outcome in outcomes
        ]
        verdict = record["run"]["verdict"]
        console.print(
            f"[{VERDICT_STYLE[verdict]}]{verdict}[/]: {escape(session_sentence(told))}", soft_wrap=False
        )

    return shown


def main(arguments: list[str]) -> int:
    """Draw every picture."""
    run, accept = (report_folder(name, DEFAULT_RESULTS) for name in arguments)
    record = json.loads((run / "run.json").read_text())

    def ran(console: Console) -> None:
        console.print("$ ./assay run")
        print_outcome(console, record)
        print_sentence(console, record)

    IMAGES.mkdir(exist_ok=True)
    terminal(ran, IMAGES / "run-80.png")
    terminal(accepted(json.loads((accept / "run.json").read_text())), IMAGES / "accept-80.png")
    for folder, name in ((run, "report"), (accept, "accept-report")):
        page = write_report(folder)
        take_screenshot(page, IMAGES / f"{name}.png", height_max=_TOP)
        take_screenshot(page, IMAGES / f"{name}-390.png", PHONE, height_max=_TOP)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
