"""Fields of a record that may be damaged: each reader returns a valid value or an empty one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from harness.config.json_file import parse_json
from harness.report.view import UNKNOWN

_TEXT_SHOWN: Final = 20_000
VERDICTS: Final = ("pass", "marginal", "fail", "infra", "inconclusive", "skip")


def text_of(value: object) -> str:
    """A text, or a number as text; anything else is empty. Truncated if too long for a page."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, int | float) else ""
    return (
        text if len(text) <= _TEXT_SHOWN else text[:_TEXT_SHOWN] + f" … ({len(text):,} characters in total)"
    )


def number_of(value: object) -> float | None:
    """A finite number, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def map_of(value: object) -> Mapping[str, object]:
    """An object, or an empty one."""
    return value if isinstance(value, dict) else {}


def maps_of(value: object) -> list[Mapping[str, object]]:
    """The objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def numbers_of(value: object) -> list[float]:
    """The finite numbers of a list."""
    items = value if isinstance(value, list) else []
    return [number for item in items if (number := number_of(item)) is not None]


def verdict_of(value: object) -> str:
    """A verdict, or `unknown`."""
    return value if isinstance(value, str) and value in VERDICTS else UNKNOWN


def json_lines(data: bytes) -> tuple[list[Mapping[str, object]], int]:
    """The objects of a JSON-lines text, and the number of invalid lines."""
    rows: list[Mapping[str, object]] = []
    damaged = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            row = parse_json(line, lenient=True)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        else:
            damaged += 1
    return rows, damaged


def lines_damaged(name: str, count: int) -> str:
    """The message about damaged lines."""
    return f"{name}: {count} damaged line{'s' if count > 1 else ''} skipped"
