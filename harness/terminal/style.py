"""The format of verdicts and figures everywhere: tables, sentences, the report, Robot's log, pytest's lines.

Figures are written for readers: two significant digits, no exponent, one unit per stage whatever its budget's unit.
"""

from __future__ import annotations

import math
from typing import Final

from contracts.measurement import NS_PER_UNIT
from contracts.stages import Side, Stage

VERDICT_STYLE: Final = {
    "pass": "green",
    "marginal": "yellow",
    "fail": "bold red",
    "infra": "magenta",
    "inconclusive": "yellow",
    "skip": "dim",
}

NONE: Final = "-"
"""The text for a missing figure."""

# A call takes some hundred instructions; every other step in the kernel takes thousands.
_UNIT_OF_CALLS: Final = dict.fromkeys((Stage.EXECUTE, Stage.WASM_CALL), "ns")
_UNIT_OF_SIDE: Final = {Side.HOST: "ms", Side.BOARD: "us", Side.WHOLE: "ms"}
_DIGITS: Final = 2
_MOST_DIGITS: Final = 9


def figure_text(value: float | None, digits: int = _DIGITS) -> str:
    """A number with at least `digits` significant digits: `0.24`, `84`, `5,750`; `-` for none.

    Digits before the decimal point are never rounded away, and there is no exponent.
    """
    if value is None:
        return NONE
    if not math.isfinite(value):
        return str(value)
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = 0 if rounded == 0 else max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text


def stage_unit(stage: str, unit: str) -> str:
    """The unit in which a stage's figures are shown; its own `unit` for a stage without one, or if it is not a time."""
    if unit not in NS_PER_UNIT or stage not in tuple(Stage):
        return unit
    known = Stage(stage)
    return _UNIT_OF_CALLS.get(known) or _UNIT_OF_SIDE[known.side]


def in_stage_unit(value: float | None, unit: str, stage: str) -> float | None:
    """A figure converted from `unit` to its stage's unit."""
    shown = stage_unit(stage, unit)
    return value if value is None or shown == unit else value * NS_PER_UNIT[unit] / NS_PER_UNIT[shown]


def with_unit(text: str, unit: str) -> str:
    """A number's text and its unit: `0.24 us`, `5%`."""
    return f"{text}%" if unit == "%" else f"{text} {unit}".rstrip()


def quantity(value: float | None, unit: str, stage: str = "", digits: int = _DIGITS) -> str:
    """A figure of a stage with its unit: `0.24 us`; `-` for none."""
    if value is None:
        return NONE
    return with_unit(figure_text(in_stage_unit(value, unit, stage), digits), stage_unit(stage, unit))


def told_apart(value: float, limit: float) -> tuple[str, str]:
    """Two numbers with enough digits to show which is greater: `100.4` and `100`."""
    for digits in range(_DIGITS, _MOST_DIGITS):
        texts = figure_text(value, digits), figure_text(limit, digits)
        if texts[0] != texts[1]:
            return texts
    return figure_text(value), figure_text(limit)


def of_limit(
    value: float | None, limit: float | None, unit: str, stage: str = "", *, at_least: bool = False
) -> str:
    """A figure with its limit: `84 of 100 ms`, `84 of at least 100 mA`; without a limit only the figure."""
    figure, most = in_stage_unit(value, unit, stage), in_stage_unit(limit, unit, stage)
    if figure is None or most is None:
        return quantity(value, unit, stage)
    first, second = told_apart(figure, most)
    return f"{first} of {'at least ' if at_least else ''}{with_unit(second, stage_unit(stage, unit))}"


def duration_text(ns: float) -> str:
    """A time in the unit that suits its size: `0.24 us` is `240 ns` here."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if abs(ns) >= size:
            return f"{figure_text(ns / size)} {unit}"
    return f"{figure_text(ns)} ns"
