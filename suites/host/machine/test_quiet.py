"""Quiet: a measured board is alone, busy boards share, and no wait is endless."""

from __future__ import annotations

import threading
import time

import pytest

from contracts.errors import InfraError
from harness.machine.quiet import Quiet
from harness.machine.turn import TurnGivenUp


def _never() -> bool:
    return False


def test_nobody_is_busy_while_one_is_alone() -> None:
    quiet = Quiet()
    busy, seen = [0], []

    def work() -> None:
        for _ in range(50):
            with quiet.busy(10, _never):
                busy[0] += 1
                time.sleep(0.0005)
                busy[0] -= 1
            with quiet.alone(10, _never):
                seen.append(busy[0])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == [0] * 200


def test_busy_boards_do_not_exclude_each_other() -> None:
    quiet = Quiet()
    with quiet.busy(1, _never), quiet.busy(1, _never):
        pass


def test_waiting_ends_with_its_timeout_or_when_it_is_given_up() -> None:
    quiet = Quiet()
    with quiet.busy(1, _never):
        with pytest.raises(InfraError, match="did not become idle"), quiet.alone(0.2, _never):
            pass
        with pytest.raises(TurnGivenUp), quiet.alone(10, lambda: True):
            pass
    with quiet.alone(1, _never):
        pass
