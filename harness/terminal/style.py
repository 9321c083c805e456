"""The style of verdicts and figures in all tables."""

from __future__ import annotations

from typing import Final

VERDICT_STYLE: Final = {
    "pass": "green",
    "marginal": "yellow",
    "fail": "bold red",
    "infra": "magenta",
    "inconclusive": "yellow",
    "skip": "dim",
}


def figure_text(value: float | None) -> str:
    """A figure as tables show it: three digits, or thousands with commas; `-` for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
