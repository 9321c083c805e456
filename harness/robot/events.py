"""What a Robot process tells `assay accept` while it runs: one JSON line an event, through a pipe that it inherits."""

from __future__ import annotations

import json
import os
from typing import Any, Final

VARIABLE: Final = "ASSAY_ROBOT_EVENTS"
"""The pipe's descriptor. Not set where a person started Robot: then nobody is told anything."""


def tell(**event: Any) -> None:
    """Send one event. Says nothing when nobody listens."""
    descriptor = os.environ.get(VARIABLE)
    if descriptor is None:
        return
    line = json.dumps(event).encode() + b"\n"
    while line:
        line = line[os.write(int(descriptor), line) :]
