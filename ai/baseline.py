"""The baseline for the model: rules that know every composition of the training split, and nothing else.

For a known composition the rules write the correct program with its numbers filled in. For any other they write the
nearest known one: the composition that differs in the fewest choices. (Rules that know how the parts compose are
`ai.scenarios.programs.reference`: correct by construction, so they are not a baseline.)
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from typing import Final

from ai.scenarios.parameters import (
    ACTIONS,
    FILTERS,
    KEYS,
    LIMITING,
    LIMITS,
    MEASURES,
    SCALES,
    Parameters,
    held_out,
)
from ai.scenarios.programs import reference
from contracts.diagnosis import Diagnosis

_ORDER: Final = ("filter", "action", "scale", "min_length", "window_ms", "key", "measure")
"""Choices, those that a rule may rather get wrong first."""


def write(diagnosis: Diagnosis) -> str:
    """The source that the rules write. Raises ValueError for parameters outside the closed sets."""
    return reference(nearest_known(Parameters.from_text(diagnosis.bottleneck, diagnosis.parameters)))


def nearest_known(parameters: Parameters) -> Parameters:
    """`parameters` if their composition is in the training split, else the nearest that are."""
    for changes in range(len(_ORDER) + 1):
        for names in combinations(_ORDER, changes):
            for values in product(*(_choices(parameters, name) for name in names)):
                made = _with(parameters, dict(zip(names, values, strict=True)))
                if _known(made):
                    return made
    raise ValueError(f"no composition of {parameters.family} is known")


def _choices(p: Parameters, name: str) -> tuple[str | int, ...]:
    limiting = p.family in LIMITING
    every: dict[str, tuple[str | int, ...]] = {
        "filter": FILTERS[p.family],
        "action": ACTIONS if limiting else (),
        "scale": SCALES if p.family == "latency" else (),
        "min_length": (0, 96),
        "window_ms": (0, 100) if limiting else (),
        "key": KEYS[p.family],
        "measure": MEASURES[p.family],
    }
    return tuple(value for value in every[name] if value != getattr(p, name))


def _with(p: Parameters, changes: dict[str, str | int]) -> Parameters:
    made = replace(p, **changes)  # type: ignore[arg-type]
    if made.limit and made.limit not in LIMITS[made.measure]:
        made = replace(made, limit=LIMITS[made.measure][0])
    return made


def _known(p: Parameters) -> bool:
    try:
        p.check()
    except ValueError:
        return False
    return not held_out(p)
