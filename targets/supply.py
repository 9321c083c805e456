"""Switching a supply off and believing it only once the switch has been asked again."""

from __future__ import annotations

import time

from contracts.errors import InfraError
from targets.protocols import Power


class SwitchDisobeys(InfraError):
    """A supply that stays on, or comes back by itself, after it was switched off: nothing is known of the board."""


def switch_off(power: Power) -> None:
    """Switch off, wait as the driver does, then ask. Raises SwitchDisobeys for power that is there all the same."""
    began_s = time.monotonic()
    power.off()
    if power.state():
        raise still_on(power, time.monotonic() - began_s)


def still_on(power: Power, after_s: float) -> SwitchDisobeys:
    """The error for a supply that has power `after_s` seconds after it was told to go off."""
    what = getattr(power, "label", "") or "the supply"
    advice = getattr(power, "advice", "") or "check the switch of this place and its `off_s`"
    return SwitchDisobeys(
        f"{what} has power again {after_s:.1f} s after off: {advice}",
        expected="a supply that goes off and stays off until it is switched on",
        seen="the switch says on",
        do="look for a switch that does not obey, or another program that switches it on again; the board itself was "
        "not judged",
    )
