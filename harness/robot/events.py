"""Events from a Robot process to `assay accept`: one JSON line per event, through an inherited pipe."""

from __future__ import annotations

import json
import os
from typing import Final, Literal, NotRequired, TypedDict

from contracts.record import CaseRow

VARIABLE: Final = "ASSAY_ROBOT_EVENTS"
"""Environment variable with the pipe's descriptor. Not set if Robot was started by hand: then no event is sent."""


class Doing(TypedDict):
    """Its current activity; `total` is the number of its tests, sent with each of them."""

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
    """Send one event. Does nothing without a listener."""
    descriptor = os.environ.get(VARIABLE)
    if descriptor is None:
        return
    line = json.dumps(event).encode() + b"\n"
    while line:
        line = line[os.write(int(descriptor), line) :]
