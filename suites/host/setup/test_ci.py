""".ci/run: set-up, then the tests; their summary, their exit code, and no process left running."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from contracts.root import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / ".ci").mkdir()
    shutil.copy2(ROOT / ".ci" / "run", tmp_path / ".ci" / "run")
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "setup.log").write_text("why set-up failed\n")
    return tmp_path


def ci(checkout: Path, launcher: str) -> subprocess.CompletedProcess[str]:
    """Run CI's script like CI, with a launcher given as shell text."""
    (checkout / "assay").write_text(f"#!/bin/sh\n{launcher}\n")
    (checkout / "assay").chmod(0o755)
    return subprocess.run(
        ["bash", ".ci/run"],
        cwd=checkout,
        env={**os.environ, "CI": "true", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_tests_closing_line_is_the_last_and_success_is_0(checkout: Path) -> None:
    done = ci(checkout, "[ $1 = setup ] || echo '===== 3 passed in 0.01s ====='")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "===== 3 passed in 0.01s ====="


def test_failing_tests_fail_ci_with_their_exit_code(checkout: Path) -> None:
    assert ci(checkout, "[ $1 = setup ] || exit 75").returncode == 75


def test_a_set_up_that_fails_ends_with_69_and_shows_its_log(checkout: Path) -> None:
    done = ci(checkout, '[ "$1" = setup ] && exit 69; echo tests ran')
    assert done.returncode == 69
    assert "why set-up failed" in done.stdout
    assert "tests ran" not in done.stdout


def test_a_process_that_the_tests_leave_behind_is_ended(checkout: Path) -> None:
    done = ci(checkout, "[ $1 = setup ] || { sleep 300 >/dev/null 2>&1 & echo $! >left; }")
    assert done.returncode == 0, done.stderr
    stat = Path(f"/proc/{(checkout / 'left').read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the process is still running"
        time.sleep(0.05)


def test_python_keeps_its_bytecode_whatever_the_machine_says(checkout: Path) -> None:
    assert ci(checkout, '[ -z "${PYTHONDONTWRITEBYTECODE+set}" ] || exit 9').returncode == 0
