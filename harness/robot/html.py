"""HTML for Robot's log: a table of judged figures, a program with its refusals."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from contracts.measurement import Direction
from harness.judge.budgets import Judged
from harness.loop.pipeline import Adaptation
from harness.terminal.style import figure_text

_HEAD = ("stage", "figure", "limit", "stretch", "clock", "statistic", "verdict")


def row_text(row: Judged) -> str:
    """One judged figure as a line: `verify 0.116 ms of 10 ms (virtual, max of 21)`."""
    if row.value is None:
        return f"{row.name} not measured ({row.clock})"
    of = "of" if row.direction is Direction.AT_MOST else "of at least"
    limit = f" {of} {figure_text(row.limit)} {row.unit}" if row.limit is not None else ""
    return (
        f"{row.name} {figure_text(row.value)} {row.unit}{limit} ({_clock(row)}, {row.stat} of {row.samples})"
    )


def _clock(row: Judged) -> str:
    return f"{row.clock}, {row.source}" if row.source else row.clock.value


def rows_html(rows: Sequence[Judged]) -> str:
    """A table of judged figures, one line each."""
    lines = ["<table><tr>" + "".join(f"<th>{name}</th>" for name in _HEAD) + "</tr>"]
    for row in rows:
        value = f"{figure_text(row.value)} {row.unit}" if row.value is not None else "-"
        limit = f"{figure_text(row.limit)} {row.unit}" if row.limit is not None else "-"
        stretch = f"{figure_text(row.stretch)} {row.unit}" if row.stretch is not None else "-"
        stretch += " missed" if row.missed_stretch else ""
        statistic = f"{row.stat} of {row.samples}" if row.stat else "-"
        cells = (row.name, value, limit, stretch, _clock(row), statistic, f"{row.verdict} {row.reason}")
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return "".join([*lines, "</table>"])


def program_html(adaptation: Adaptation) -> str:
    """The program that was deployed, or the last one tried, with the reason of each earlier refusal."""
    refused = [attempt.refusal for attempt in adaptation.attempts if attempt.refusal is not None]
    told = "".join(f"<p>refused by {escape(r.stage)}: {escape(r.reason)}</p>" for r in refused)
    state = "deployed" if adaptation.deployed else "not deployed"
    return f"{told}<p>{state}, attempt {len(adaptation.attempts)}:</p><pre>{escape(adaptation.source)}</pre>"
