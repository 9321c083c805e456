"""A board, a worker or a simulator that is stopped and continued: no verdict on the kernel comes of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from contracts.errors import BoardLost, Cause
from contracts.root import ROOT
from harness.boards.board import open_board
from harness.boards.rack import simulator
from harness.boards.registry import select_one
from harness.config.keys import LabKey
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.lease import quarantine

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]


@pytest.fixture
def image(board_spec: BoardSpec) -> KernelImage:
    return kernel_for(board_spec)


@contextlib.contextmanager
def stopped(pid: int, for_s: float) -> Iterator[None]:
    """A process that is stopped now and goes on by itself after `for_s`."""
    os.kill(pid, signal.SIGSTOP)
    later = threading.Timer(for_s, os.kill, (pid, signal.SIGCONT))
    later.start()
    try:
        yield
    finally:
        later.join()


def test_a_qemu_stopped_for_longer_than_a_time_out_still_answers(
    board_spec: BoardSpec,
    lab_key: LabKey,
    image: KernelImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    with open_board(replace(board_spec, request_timeout_s=1.5), lab_key, image) as board:
        began_s = time.monotonic()
        with stopped(board.pid, 2.2):
            assert board.client.echo(b"late") == b"late"
        assert 1.5 < time.monotonic() - began_s < 3.5
        lost = board.lost_since(began_s)
        assert 1.8 < lost.seconds < 2.6
        assert "was stopped" in lost.why


def test_a_qemu_that_stays_stopped_is_somebody_elses_doing(
    board_spec: BoardSpec,
    lab_key: LabKey,
    image: KernelImage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    with open_board(replace(board_spec, request_timeout_s=0.5), lab_key, image) as board:
        os.kill(board.pid, signal.SIGSTOP)
        with pytest.raises(BoardLost, match="stopped from outside") as caught:
            board.client.echo(b"never")
        assert caught.value.cause is Cause.OUTSIDE


_ASKS = """
import sys, time
from dataclasses import replace
from harness.boards.board import open_board
from harness.boards.registry import select_one
from harness.config.keys import load_key
from harness.kernel.board_kernel import kernel_for
spec = replace(select_one(sys.argv[1]), request_timeout_s=1.0)
with open_board(spec, load_key(None), kernel_for(spec)) as board:
    print("asks", flush=True)
    end_s = time.monotonic() + 4
    while time.monotonic() < end_s:
        board.client.echo(bytes(512))
print("done")
"""


def test_a_worker_that_is_stopped_for_longer_than_a_time_out_loses_no_board(
    board_spec: BoardSpec, lab: Any
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _ASKS, board_spec.kind],
        cwd=ROOT, env=lab.environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "asks\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        process.send_signal(signal.SIGCONT)
        said, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "done\n")


BUDGET = """
import os, signal, threading, time
import pytest

def measured(board, stop_s):
    samples = []
    for number in range(17):
        began = time.perf_counter_ns()
        if number == 9 and stop_s:
            os.kill(board.pid, signal.SIGSTOP)
            threading.Timer(stop_s, os.kill, (board.pid, signal.SIGCONT)).start()
        board.client.echo(b"hi")
        samples.append(time.perf_counter_ns() - began)
    return samples

def test_stopped(board, budget):
    budget("adapt").judge(measured(board, 3.0))

def test_slow_all_the_same(board, budget):
    samples = measured(board, 1.5)
    budget("adapt").judge([sample + 1.2e9 for sample in samples])
"""


def test_a_figure_in_time_that_nobody_had_is_inconclusive_and_a_slow_one_is_still_a_failure(
    board_spec: BoardSpec, lab: Any
) -> None:
    done = lab.run(BUDGET, "--board", board_spec.kind)
    rows = done.rows
    assert rows["test_stopped"]["verdict"] == "inconclusive", done.text
    assert "lost time" in rows["test_stopped"]["message"]
    assert "was stopped for" in rows["test_stopped"]["message"]
    assert rows["test_slow_all_the_same"]["verdict"] == "fail", done.text
    assert done.code == 1


def test_a_simulated_boards_machine_that_is_stopped_still_answers_and_nobody_is_blamed(
    lab_key: LabKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    with simulator([select_one("rpi4-sim", lab=[])], instances=1) as running:
        spec = replace(select_one("rpi4-sim", lab=running.lab_file), request_timeout_s=1.5)
        with open_board(spec, lab_key, kernel_for(spec)) as board:
            server, machine = board.target.processes()
            assert server == running.process.pid
            for pid in (machine, server):
                began_s = time.monotonic()
                with stopped(pid, 2.2):
                    assert board.client.echo(b"late") == b"late"
                assert board.lost_since(began_s).seconds > 1.5
            assert quarantine.of(board.lease.place) is None
