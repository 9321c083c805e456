"""Two sessions with four workers have the same virtual figures, also if a board is killed during one of them."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT
from suites.board.user_session import Lab, Session

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process", "exact")]

FIGURES = """
import os, pathlib, signal
import pytest
from contracts.program import Hook, Program
from harness.loop import pipeline
from harness.bpf.asm import R0, assemble, exit_, mov64
from harness.bpf.seal import seal

HERE = pathlib.Path(__file__).parent

@pytest.mark.parametrize("length", [4, 40, 400])
def test_figures(board, lab_key, budget, length):
    victim = HERE / "victim"
    if length == 40 and victim.is_file() and board.spec.kind == victim.read_text():
        victim.unlink()
        os.kill(board.pid, signal.SIGKILL)
    program = Program(f"moves{length}", Hook.NET_RX, assemble([mov64(R0, 1)] * length + [mov64(R0, 2), exit_()]))
    response = pipeline.load(board, program, seal(program, lab_key)).response
    budget("verify").judge(board.samples("verify", response))
    budget("jit").judge(board.samples("jit", response))
"""
OWN = {"duration_s", "worker", "attempts", "transcript", "sections"}
"""Keys that differ between sessions: host times, worker, place."""


def compared(done: Session) -> dict[str, dict[str, Any]]:
    assert done.code == 0, done.text
    rows = done.document["tests"]
    by_id = {row["id"]: {key: value for key, value in row.items() if key not in OWN} for row in rows}
    assert len(by_id) == len(rows)
    return by_id


def test_a_board_killed_in_mid_session_is_one_test_tried_again_and_nothing_else_differs(
    board_spec: BoardSpec, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> None:
    harmed = type(lab)(tmp_path_factory.mktemp("harmed"))
    (harmed.folder / "victim").write_text(board_spec.kind)
    whole, hit = (place.run(FIGURES, "--board", "qemu-*", "-n", "4") for place in (lab, harmed))
    rows = compared(whole)
    assert rows == compared(hit)
    figures = [row["measurements"] for row in rows.values()]
    assert len(figures) == 9
    assert all(len(measured) == 2 for measured in figures)

    tries = {row["id"]: row["attempts"] for row in hit.document["tests"]}
    again = {nodeid: told for nodeid, told in tries.items() if len(told) > 1}
    (victim,) = again
    assert board_spec.kind in victim
    first, second = again[victim]
    assert (first["verdict"], second["verdict"]) == ("infra", "pass")
    assert first["place"] != second["place"]
    assert "retried on another board" in hit.text
    assert all(len(row["attempts"]) == 1 for row in whole.document["tests"])

    command = [sys.executable, "-m", "harness.cli", "compare", str(whole.folder), str(hit.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
