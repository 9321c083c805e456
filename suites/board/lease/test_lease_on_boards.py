"""Leases with real boards: killed holders, boards taken by force, holders that have not noticed."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from contracts.errors import RequestRefused
from contracts.root import ROOT
from contracts.wire.frames import Empty
from contracts.wire.live import PRISTINE
from harness.boards.board import Board, open_board
from harness.channel.client import ChannelClient, closing
from harness.config.keys import LabKey
from harness.kernel.build import build_kernel
from harness.lease import LeaseLost, acquire
from harness.lease.force import seize

HOLDER = Path(__file__).with_name("board_holder.py")

pytestmark = pytest.mark.needs("process")


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test's own lease folder, because it takes boards by force."""
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))


class Holder:
    """A process with a running board."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def ask(self, text: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        return self.said()


@contextmanager
def board_holder(spec: BoardSpec) -> Iterator[Holder]:
    build_kernel(spec.firmware, variant="release")  # so that the process does not have to build it
    with subprocess.Popen(
        [sys.executable, str(HOLDER), spec.kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as process:
        watch = threading.Timer(100, process.kill)
        watch.start()
        try:
            yield Holder(process)
        finally:
            watch.cancel()
            process.kill()


def gone(pid: int, timeout_s: float = 10.0) -> bool:
    """Whether a process ends in time."""
    end_s = time.monotonic() + timeout_s
    while time.monotonic() < end_s:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


@pytest.mark.board_kinds("qemu-virt")
def test_a_holder_killed_with_kill_9_gives_its_board_back_at_once_and_its_qemu_ends(
    board_spec: BoardSpec,
) -> None:
    with board_holder(board_spec) as holder:
        about = holder.said()
        assert holder.ask("hello") == {"echo": "hello"}
        holder.process.kill()
        holder.process.wait(30)
        (place,) = [place for place in board_spec.places if place.name == about["place"]]
        with acquire(board_spec, timeout_s=0, places=[place]) as lease:
            assert lease.epoch > about["epoch"]
        assert gone(about["qemu"])


@pytest.mark.board_kinds("qemu-virt")
def test_a_holder_whose_board_is_taken_by_force_says_so_and_its_qemu_ends(board_spec: BoardSpec) -> None:
    with board_holder(board_spec) as holder:
        about = holder.said()
        (place,) = [place for place in board_spec.places if place.name == about["place"]]
        with seize(board_spec, place, "test") as taken:
            assert taken.let_go()
            answer = holder.ask("still mine?")
        assert answer["error"] == "LeaseLost"
        assert "was taken by force" in answer["text"]
        assert holder.process.wait(30) == 0
        assert gone(about["qemu"])


@pytest.mark.board_kinds("qemu-virt")
def test_a_request_under_way_ends_when_the_board_is_taken(board_spec: BoardSpec, lab_key: LabKey) -> None:
    image = build_kernel(board_spec.firmware, variant="testing")
    with acquire(board_spec) as lease, open_board(board_spec, lab_key, image, lease=lease) as board:
        board.target.hold()  # type: ignore[attr-defined]  # a QEMU: its cores stand still, so nothing is answered
        seized = threading.Event()

        def take() -> None:
            with seize(board_spec, lease.place, "test") as taken:
                assert taken.let_go()
                seized.set()

        thread = threading.Thread(target=take)
        thread.start()
        began = time.monotonic()
        with pytest.raises(LeaseLost):
            board.client.echo(b"nobody answers")
        assert time.monotonic() - began < board_spec.request_timeout_s
        thread.join(30)
        assert seized.is_set()
        with pytest.raises(LeaseLost):
            board.power_cycle()


def open_client(board: Board) -> ChannelClient:
    port = board.target.open_console()
    return ChannelClient(port, name=board.spec.kind, timeout_s=board.spec.request_timeout_s)


def test_a_holder_that_has_not_noticed_is_refused_by_the_board_itself(
    board_spec: BoardSpec, lab_key: LabKey
) -> None:
    spec = dataclasses.replace(board_spec, console="pty")
    image = build_kernel(spec.firmware, variant="release")
    with acquire(spec) as old, open_board(spec, lab_key, image, lease=old) as board:
        assert board.target.console_url.startswith("/dev/pts/")
        stale = board.client._session, board.client._session_key
        with seize(spec, old.place, "test") as taken:
            assert taken.let_go(), "the first holder has hung up the line"
            with closing(open_client(board)) as client:
                client.open_session(lab_key.channel, taken.lease.epoch)
                client.pristine()
                client._session, client._session_key = stale
                with pytest.raises(RequestRefused) as caught:
                    client.request(PRISTINE, Empty())
                assert caught.value.status == "NO_SESSION"
            with closing(open_client(board)) as client:
                with pytest.raises(RequestRefused) as caught:
                    client.open_session(lab_key.channel, old.epoch)
                assert caught.value.status == "STALE_EPOCH"
                assert f"epoch {taken.lease.epoch} or above" in caught.value.detail
                assert client.open_session(lab_key.channel, taken.lease.epoch).epoch == taken.lease.epoch
