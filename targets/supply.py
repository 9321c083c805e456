"""Switching a supply off, and verifying it by reading the switch again."""

from __future__ import annotations

import time

from contracts.errors import InfraError
from targets.protocols import Power


class SwitchDisobeys(InfraError):
    """A supply that stays on, or switches on by itself, after it was switched off: the board is not judged."""


def switch_off(power: Power) -> None:
    """Switch off, wait as the driver does, then read the switch. Raises SwitchDisobeys if there is still power."""
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
        expected="a supply that switches off and stays off until it is switched on",
        seen="the switch reports on",
        do="look for a faulty switch, or for another program that switches it on again; the board itself was not judged",
    )
