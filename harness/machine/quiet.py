"""Quiet periods for measurements: the boards of a run work in parallel, except while one of them is being measured.

Cores of one machine share caches and execution units, so work for another board changes this board's CPU time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Final

from contracts.errors import InfraError
from harness.machine.turn import TurnGivenUp

_LOOK_AGAIN_S: Final = 0.1


class Quiet:
    """Many `busy` threads, or one that is `alone`; a thread waiting for `alone` has priority over `busy` ones."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._busy = 0
        self._alone = False
        self._waiting = 0

    @contextlib.contextmanager
    def busy(self, timeout_s: float, give_up: Callable[[], bool]) -> Iterator[None]:
        """Work that may disturb: waits while another thread is alone. Raises InfraError after `timeout_s`, TurnGivenUp."""
        with self._changed:
            self._wait(lambda: not self._alone and not self._waiting, timeout_s, give_up)
            self._busy += 1
        try:
            yield
        finally:
            with self._changed:
                self._busy -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def alone(self, timeout_s: float, give_up: Callable[[], bool]) -> Iterator[None]:
        """Work that is measured: waits until nobody is busy. Raises InfraError after `timeout_s`, TurnGivenUp."""
        with self._changed:
            self._waiting += 1
            try:
                self._wait(lambda: not self._alone and not self._busy, timeout_s, give_up)
                self._alone = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()

    def _wait(self, ready: Callable[[], bool], timeout_s: float, give_up: Callable[[], bool]) -> None:
        left_s = timeout_s
        while not ready():
            if give_up():
                raise TurnGivenUp
            if left_s <= 0:
                raise InfraError(
                    "the other boards of this run did not become idle",
                    expected=f"quiet within {timeout_s:.0f} s",
                    seen=f"{self._busy} busy, {'one' if self._alone else 'none'} measured",
                    do="see the other boards' transcripts for what they wait for",
                )
            self._changed.wait(_LOOK_AGAIN_S)
            left_s -= _LOOK_AGAIN_S
