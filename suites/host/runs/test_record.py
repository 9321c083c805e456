"""Records: written data survives, and a folder that cannot be written is a lab fault with a clear message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import ConfigError, InfraError
from harness.runs.record import Folder, find_run, hold_ended, new_run, read_lines


def test_lines_written_before_a_kill_are_read_back(tmp_path: Path) -> None:
    script = (
        "import os, signal, pathlib\n"
        "from harness.runs.record import Folder\n"
        f"folder = Folder(pathlib.Path({str(tmp_path)!r}))\n"
        "for i in range(3): folder.append('records.jsonl', {'i': i})\n"
        "open(folder.path / 'records.jsonl', 'ab').write(b'{\"i\": 3, \"cut')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert [line["i"] for line in read_lines(tmp_path / "records.jsonl")] == [0, 1, 2]


def test_a_full_disk_is_an_infra_error_that_says_what_to_do(tmp_path: Path) -> None:
    # The kernel's file size limit: the write fails at the same call as on a full disk.
    script = (
        "import resource, signal, pathlib\n"
        "from contracts.errors import InfraError\n"
        "from harness.runs.record import Folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        f"folder = Folder(pathlib.Path({str(tmp_path)!r}))\n"
        "try:\n"
        "    for i in range(1000): folder.append('records.jsonl', {'i': i, 'pad': 'x' * 100})\n"
        "except InfraError as error:\n"
        "    print(error.exit_code, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("75 cannot write")
    assert "free space" in done.stdout


def test_dev_full_is_reported_like_any_full_disk() -> None:
    with pytest.raises(InfraError, match="No space left"):
        Folder(Path("/dev")).append("full", {"a": 1})


def test_a_run_folder_that_cannot_be_made_is_an_infra_error(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    with pytest.raises(InfraError, match="cannot write"):
        new_run(tmp_path / "results")


def test_an_unknown_run_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    name, folder = new_run(tmp_path)
    folder.write_json("run.json", {})
    with pytest.raises(ConfigError, match=f"did you mean '{name}'"):
        find_run(name[:-1], tmp_path)
    assert find_run("last", tmp_path) == folder.path
    with pytest.raises(ConfigError, match=r"did you mean .last"):
        find_run("lsat", tmp_path)


def test_runs_sort_in_the_order_they_were_begun_also_when_the_clock_went_back(tmp_path: Path) -> None:
    begun_under_a_later_clock = tmp_path / "20991231-235959-ffff"
    begun_under_a_later_clock.mkdir()
    (tmp_path / "99999999-999999-0000").mkdir()  # not a valid time
    names = [new_run(tmp_path)[0] for _ in range(20)]
    assert names == sorted(names)
    assert names[0] > begun_under_a_later_clock.name
    (tmp_path / names[-1] / "run.json").write_text("{}")
    (begun_under_a_later_clock / "run.json").write_text("{}")
    assert find_run("last", tmp_path).name == names[-1]


def test_a_run_is_in_progress_as_long_as_its_process_lives_and_no_longer(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from harness.runs.record import new_run\n"
        f"print(new_run(pathlib.Path({str(tmp_path)!r}))[0], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = tmp_path / process.stdout.readline().strip()
        with hold_ended(folder) as ended:
            assert not ended
        process.kill()
        process.wait(timeout=30)
    with hold_ended(folder) as ended:
        assert ended
