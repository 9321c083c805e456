"""What a Robot process tells `assay accept` while it runs: one JSON line an event, through a pipe that it inherits."""

from __future__ import annotations

import json
import os
from typing import Final, Literal, NotRequired, TypedDict

from contracts.record import CaseRow

VARIABLE: Final = "ASSAY_ROBOT_EVENTS"
"""The pipe's descriptor. Not set where a person started Robot: then nobody is told anything."""


class Doing(TypedDict):
    """What it does now; `total` is the number of its tests, told with each of them."""

    event: Literal["doing"]
    doing: str
    total: NotRequired[int]


class Placed(TypedDict):
    """It holds a board."""

    event: Literal["place"]
    place: str
    build_id: str


class Tested(TypedDict):
    """A test has ended."""

    event: Literal["test"]
    row: CaseRow


Told = Doing | Placed | Tested


def tell(event: Told) -> None:
    """Send one event. Says nothing when nobody listens."""
    descriptor = os.environ.get(VARIABLE)
    if descriptor is None:
        return
    line = json.dumps(event).encode() + b"\n"
    while line:
        line = line[os.write(int(descriptor), line) :]
