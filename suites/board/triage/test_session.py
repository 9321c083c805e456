"""A kernel that hangs in a user's test session: a failure with a crash record, not retried."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT
from suites.board.triage.small_lab import SmallLab

PLANTED = """
import harness.kernel.build, harness.kernel.board_kernel, harness.boards.standing

def planted(board, build=harness.kernel.build.build_kernel, **options):
    options["extra_defines"] = {**(options.get("extra_defines") or {}), "ASSAY_PLANT_HANG": "1"}
    return build(board, **options)

for module in (harness.kernel.build, harness.kernel.board_kernel, harness.boards.standing):
    if hasattr(module, "build_kernel"):
        module.build_kernel = planted
"""
TESTS = """
def test_hangs(board):
    board.client.echo(b"is anybody there")

def test_another_finds_the_board_on_again(board):
    assert board.client.status().online_cores
"""


@pytest.mark.board_kinds("qemu-virt")
def test_a_kernel_with_a_planted_hang_is_a_failure_with_a_crash_record(
    board_spec: BoardSpec, small_lab: SmallLab, tmp_path: Path
) -> None:
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "conftest.py").write_text(PLANTED)
    (folder / "test_inner.py").write_text(TESTS)
    results = tmp_path / "results"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    command += ["--results", str(results), "--board", board_spec.kind, str(folder)]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=kept | small_lab.environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 1 passed" in done.stdout
    assert f"board {board_spec.kind}: crash" in done.stdout
    assert small_lab.starts == 3, "the board, its golden image, the board again"

    (folder,) = results.iterdir()
    rows = json.loads((folder / "run.json").read_text())["tests"]
    hung, other = sorted(rows, key=lambda row: "test_hangs" not in row["id"])
    assert (hung["verdict"], other["verdict"]) == ("fail", "pass")
    assert len(hung["attempts"]) == 1, "no fault of the lab, so no second try"
    assert "the kernel hangs" in hung["message"]
    (record,) = [text for title, text in hung["sections"] if title.endswith(": crash")]
    assert "golden image" in record
    assert "last request: ECHO" in record
    assert "handle_ECHO" in record, "registers, with names"
