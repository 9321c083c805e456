"""A link that is closed while its reader waits on a real pseudo-terminal, over and over: no thread ends by an error."""

from __future__ import annotations

import os
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from harness.channel.link import Link
from targets.serial import open_port  # noqa: TID251 - the port itself is under test

ROUNDS = 150


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What ended a thread of this process by an exception."""
    seen: list[str] = []
    monkeypatch.setattr(
        threading, "excepthook", lambda told: seen.append(f"{told.exc_type}: {told.exc_value}")
    )
    yield seen
    assert not seen, seen[:3]


@pytest.mark.parametrize("how", ["close", "drop", "hang up"])
def test_closing_races_with_reading_and_nobody_sees_an_error(how: str, failures: list[str]) -> None:
    lost: list[str] = []
    for number in range(ROUNDS):
        master, slave = os.openpty()
        os.set_blocking(master, False)
        tty.setraw(slave)
        before = len(lost)
        link = Link(open_port(os.ttyname(slave)), on_frame=lambda _: None, on_lost=lost.append)
        talking = threading.Event()

        def talk(master: int = master, talking: threading.Event = talking) -> None:
            while not talking.is_set():
                try:
                    os.write(master, b"x" * 64)
                except BlockingIOError:
                    time.sleep(0.0005)
                except OSError:
                    return

        talker = threading.Thread(target=talk, daemon=True)
        if number % 2:
            talker.start()
        time.sleep((number % 7) * 0.0005)
        os.close(slave)
        if how == "hang up":
            talking.set()
            if number % 2:
                talker.join(5)
            os.close(master)
        elif how == "drop":
            link.drop()
        link.close()
        talking.set()
        if number % 2:
            talker.join(5)
        if how != "hang up":
            os.close(master)
        assert not [thread for thread in threading.enumerate() if thread.name == "channel-reader"]
        if how == "close":
            assert len(lost) == before, "a closed link is not lost"
        assert len(lost) <= before + 1
    assert not failures
