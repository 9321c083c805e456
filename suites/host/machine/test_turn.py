"""The machine's turn: one holder at a time; a waiter can give up."""

from __future__ import annotations

import threading
import time

import pytest

from contracts.errors import InfraError
from harness.machine.turn import TurnGivenUp, host_turn


def test_one_waiting_for_the_turn_can_be_told_to_give_up() -> None:
    stop = threading.Event()
    with host_turn():
        timer = threading.Timer(0.1, stop.set)
        timer.start()
        began = time.monotonic()
        with pytest.raises(TurnGivenUp), host_turn(60, stop.is_set):
            pass
        assert time.monotonic() - began < 10
        timer.join()


def test_the_turn_is_free_again_after_an_error() -> None:
    with pytest.raises(RuntimeError), host_turn():
        raise RuntimeError
    with host_turn(60):
        pass


def test_who_waits_for_the_turn_says_so_and_who_has_it_at_once_says_nothing() -> None:
    said: list[str] = []
    with host_turn(60, waiting=said.append):
        already = list(said)  # another run on this machine may have had it
        with pytest.raises(InfraError, match="timed out waiting"), host_turn(0.05, waiting=said.append):
            pass
    assert said[len(already) :] == ["for the machine's turn: another run generates or measures on this host"]
