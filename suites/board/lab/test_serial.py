"""`serial` and `open_serial`: raw consoles, and what a failing `expect` tells."""

from __future__ import annotations

import os
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from contracts.board import BoardSpec
from contracts.errors import BoardLost
from harness.boards.serial_line import NotReceived, SerialLine, open_line
from suites.board.user_session import Lab

INNER = """\
def test_it_says_that_it_boots(serial):
    match = serial.expect("(read)(y)", 20)
    assert match[1] == b"read"

def test_it_never_says_login(serial):
    serial.expect("ready", 20)
    serial.expect("login:", 0.3)
"""


@pytest.fixture
def line() -> Iterator[SerialLine]:
    """A device that answers what it is sent in capitals, after a greeting."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def device() -> None:
        os.write(master, b"boot 1.2\r\n\x1b[0mlogin: ")
        try:
            while data := os.read(master, 100):
                time.sleep(0.05)
                os.write(master, data.upper() + b"\r\n# ")
        except OSError:
            pass

    thread = threading.Thread(target=device, daemon=True)
    with open_line(os.ttyname(slave)) as opened:
        thread.start()
        yield opened
    os.close(slave)
    os.close(master)


def test_a_dialogue_is_typed_and_each_answer_is_matched_in_order(line: SerialLine) -> None:
    assert line.expect(r"boot (\d+)\.(\d+)").groups() == (b"1", b"2")
    line.expect(rb"login: $")
    line.send_line("root")
    line.expect("ROOT")
    line.expect("# ")
    line.write(b"uname")
    assert line.read(0.5) == b"UNAME\r\n# "


def test_a_failing_expect_says_what_was_received_and_leaves_it_there(line: SerialLine) -> None:
    began_s = time.monotonic()
    with pytest.raises(NotReceived) as caught:
        line.expect("password:", 0.5)
    assert 0.4 < time.monotonic() - began_s < 5
    text = str(caught.value)
    assert "expected: b'password:' within 0.5 s" in text
    assert "boot 1.2\n\\x1b[0mlogin: " in text
    line.expect("login")


def test_a_line_that_is_gone_or_taken_is_the_labs_fault() -> None:
    master, slave = os.openpty()
    name = os.ttyname(slave)
    with open_line(name) as first:
        with pytest.raises(BoardLost, match="cannot be opened"), open_line(name):
            pytest.fail("two holders of one line")
        os.close(slave)
        os.close(master)
        with pytest.raises(BoardLost, match="is lost"):
            first.expect("anything", 5)


def test_a_board_of_the_lab_is_switched_on_and_read_raw(lab: Lab, board_spec: BoardSpec) -> None:
    if board_spec.qemu is None:
        pytest.skip(
            "what a board of hardware boots by itself is the lab's own: see `board/sim/test_serial.py`"
        )
    session = lab.run(INNER, f"--board={board_spec.kind}")
    assert session.code == 1, session.text
    rows = session.rows
    assert rows["test_it_says_that_it_boots"]["verdict"] == "pass"
    assert rows["test_it_never_says_login"]["verdict"] == "fail"
    assert "did not send the expected text" in rows["test_it_never_says_login"]["message"]
    assert "all of it is in" in session.text
    logs = list(session.folder.glob("transcripts/*.console"))
    assert all(b"ready" in log.read_bytes() for log in logs)
    assert len(logs) == 2
