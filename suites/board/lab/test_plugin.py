"""The pytest plugin as a user's own tests meet it: verdicts, exit codes, and boards that outlive a test's damage."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from contracts.board import BoardSpec

ROOT = Path(__file__).resolve().parents[3]
KILLED = """
import os, signal
def test_loses_its_board(board):
    os.kill(board.pid, signal.SIGKILL)
    board.client.echo(b"is anybody there")
def test_finds_another(board):
    assert board.client.echo(b"hi") == b"hi"
"""
DIES = """
import pytest
from contracts.errors import KernelFault
from harness.channel.messages import Provocation
def test_hurts_its_kernel(testing_board):
    testing_board.client.provoke(Provocation.DATA_ABORT)
def test_hurts_it_and_says_nothing(testing_board):
    with pytest.raises(KernelFault):
        testing_board.client.provoke(Provocation.DATA_ABORT)
def test_finds_another(testing_board):
    assert testing_board.client.echo(b"hi") == b"hi"
"""


def _pytest(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "test_inner.py"
    path.write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    return subprocess.run(
        [*command, *arguments, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.board_kinds("qemu-virt")
def test_a_board_lost_in_one_test_is_infra_there_and_on_again_for_the_next(
    board_spec: BoardSpec, tmp_path: Path
) -> None:
    report = tmp_path / "junit.xml"
    done = _pytest(tmp_path, KILLED, "--board", board_spec.kind, "--junitxml", str(report))
    assert done.returncode == 75, done.stdout + done.stderr
    assert "1 passed, 1 infra" in done.stdout or "1 infra, 1 passed" in done.stdout
    assert "last frames" in done.stdout
    assert "> ECHO" in done.stdout
    assert "powered on again" in done.stdout
    (suite,) = ET.parse(report).iter("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "0", "1")
    assert [error.get("type") for error in suite.iter("error")] == ["infra"]


@pytest.mark.board_kinds("qemu-virt")
def test_a_kernel_that_dies_fails_its_test_with_its_registers_even_if_the_test_does_not_mind(
    board_spec: BoardSpec, tmp_path: Path
) -> None:
    done = _pytest(tmp_path, DIES, "--board", board_spec.kind)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 2 passed, 1 error" in done.stdout
    assert "ESR_EL1" in done.stdout
    assert "board qemu-virt: crash" in done.stdout


@pytest.mark.board_kinds("qemu-virt")
@pytest.mark.parametrize(
    ("text", "arguments", "code"),
    [
        ("def test_one(board): pass", ("--board", "qemu-vrit"), 4),
        ("import pytest\n@pytest.mark.skip\ndef test_one(): pass", (), 76),
        ("import pytest\n@pytest.mark.skip\ndef test_one(): pass\ndef test_two(): pass", (), 0),
    ],
)
def test_exit_codes_are_those_of_the_table(
    tmp_path: Path, text: str, arguments: tuple[str, ...], code: int, board_spec: BoardSpec
) -> None:
    assert board_spec.kind
    done = _pytest(tmp_path, text, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
