"""HTML for Robot's log: a table of judged figures, a program with its refusals."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from contracts.measurement import Direction
from harness.judge.budgets import Judged
from harness.loop.pipeline import Adaptation
from harness.terminal.style import of_limit, quantity

_HEAD = ("stage", "figure", "limit", "stretch", "clock", "statistic", "verdict")


def row_text(row: Judged) -> str:
    """One judged figure as a line: `verify 116 of 10,000 us (virtual, max of 21)`."""
    if row.value is None:
        return f"{row.name} not measured ({row.clock})"
    least = row.direction is Direction.AT_LEAST
    figure = of_limit(row.value, row.limit, row.unit, row.name, at_least=least)
    return f"{row.name} {figure} ({_clock(row)}, {row.stat} of {row.samples})"


def _clock(row: Judged) -> str:
    return f"{row.clock}, {row.source}" if row.source else row.clock.value


def rows_html(rows: Sequence[Judged]) -> str:
    """A table of judged figures, one line each."""
    lines = ["<table><tr>" + "".join(f"<th>{name}</th>" for name in _HEAD) + "</tr>"]
    for row in rows:
        value, limit, stretch = (quantity(v, row.unit, row.name) for v in (row.value, row.limit, row.stretch))
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
