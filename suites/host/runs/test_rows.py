"""Rows of a record: in the file at once, on the disk at the end, and never lost silently."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import InfraError
from harness.runs.record import read_lines
from harness.runs.rows import RowFile


def test_a_row_is_there_when_append_returns_whatever_ends_the_process(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from harness.runs.rows import RowFile\n"
        "file = RowFile(Path(sys.argv[1]))\n"
        "for number in range(100): file.append({'number': number})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    path = tmp_path / "rows.jsonl"
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [row["number"] for row in read_lines(path)] == list(range(100))


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    for number in range(2000):
        file.append({"number": number})
    file.close()
    file.close()
    # By name: other parts of a long session open and close descriptors of their own at any time.
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert not [link for link in links if _leads_to(link, file.path)]
    assert len(read_lines(file.path)) == 2000


def _leads_to(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except OSError:  # closed since
        return False


def test_a_folder_that_goes_away_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    file = RowFile(tmp_path / "run" / "rows.jsonl")
    file.append({"number": 0})
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(InfraError, match="cannot write"):
        file.append({"number": 1})
    file.close()


def test_a_full_disk_is_noticed_and_costs_only_the_rows_that_found_it_full(tmp_path: Path) -> None:
    file = RowFile(tmp_path / "rows.jsonl")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limit[1]))
    try:
        with pytest.raises(InfraError, match="cannot write"):
            file.append({"text": "x" * 100})
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        file.append({"text": "room again"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
        file.close()
    assert read_lines(file.path) == [{"text": "room again"}]
