"""`--repeat` and `--duration`: one verdict and one row per test, statistics of all its runs, and no growth."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from suites.board.user_session import Lab

RUNS = 150

INNER = """\
import os
import pathlib

runs = 0

def test_on_a_board(board, budget, tmp_path):
    (tmp_path / "made").write_text("x" * 10000)
    board.client.echo(b"x" * 100)
    budget("verify", "virtual").judge([1000.0 + runs % 5])

def test_fails_now_and_then(tmp_path):
    global runs
    runs += 1
    assert runs not in (17, 40), f"run {runs}"
"""


def folders(lab: Lab) -> list[Path]:
    return [path for path in (lab.folder / "tmp").rglob("made") if path.is_file()]


def test_a_thousand_runs_are_one_row_with_the_first_failure_and_every_spread(lab: Lab) -> None:
    session = lab.run(INNER, "--board=qemu-virt", f"--repeat={RUNS}", f"--basetemp={lab.folder / 'tmp'}")
    assert session.code == 1, session.text
    rows = session.rows
    assert len(session.document["tests"]) == len(rows) == 2

    failing = rows["test_fails_now_and_then"]
    soak = failing["soak"]
    assert failing["verdict"] == "fail"
    assert "run 17" in failing["message"]
    assert soak["verdicts"] == {"pass": RUNS - 2, "fail": 2}
    assert (soak["first_failure"]["run"], soak["first_failure"]["verdict"]) == (17, "fail")
    assert f"first fail: run 17, after {soak['first_failure']['after_s']:.1f} s" in session.text

    passing = rows["test_on_a_board"]
    soak = passing["soak"]
    assert passing["verdict"] == "pass"
    assert soak["runs"] == RUNS == soak["run_s"]["count"]
    (figure,) = soak["figures"]
    assert (figure["name"], figure["clock"], figure["count"]) == ("verify", "virtual", RUNS)
    assert 0.001 <= figure["min"] <= figure["mean"] <= figure["max"] <= 0.001004

    # Nothing grows: neither the process, nor what it leaves on the disk.
    assert soak["descriptors"]["last"] <= soak["descriptors"]["first"]
    assert soak["memory_kib"]["last"] - soak["memory_kib"]["first"] < 4096
    assert folders(lab) == []
    files = [path for path in session.folder.rglob("*") if path.is_file()]
    assert len(files) <= 7, files
    assert sum(path.stat().st_size for path in files) < 64 << 10


def test_a_duration_is_shared_among_the_tests_also_with_workers(lab: Lab) -> None:
    text = "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_it(n): ...\n"
    began_s = time.monotonic()
    session = lab.run(text, "--duration=4s", "-n", "2")
    took_s = time.monotonic() - began_s
    assert session.code == 0, session.text
    soaks = [row["soak"] for row in session.document["tests"]]
    assert len(soaks) == 4
    assert all(soak["runs"] > 10 for soak in soaks)
    assert 2.0 < max(sum(s["seconds"] for s in soaks[:2]), sum(s["seconds"] for s in soaks) / 2) < 6.0
    assert took_s > 3.5


def test_ctrl_c_ends_it_with_the_statistics_so_far(lab: Lab) -> None:
    process = lab.start("import time\ndef test_it(): time.sleep(0.01)\n", "--duration=1h")
    deadline_s = time.monotonic() + 60
    while not list(lab.results.glob("*/soak/*.json")):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    session = lab.finish(process)
    assert session.code == 130, session.text
    assert session.document["run"]["interrupted"]
    (row,) = session.document["tests"]
    assert row["soak"]["runs"] > 10
    assert f"{row['soak']['runs']} runs in" in session.text


def test_each_run_has_the_time_limit_for_itself(lab: Lab) -> None:
    session = lab.run("import time\ndef test_it(): time.sleep(0.1)\n", "--repeat=15", "--timeout=1")
    assert session.code == 0, session.text
    session = lab.run(
        "import time\ndef test_it(): time.sleep(9)\n", "--repeat=3", "--timeout=1", results=False
    )
    assert session.code == 1, session.text


def test_a_number_or_a_time_that_cannot_be_is_a_usage_error(lab: Lab) -> None:
    assert lab.run("", "--repeat=0").code == 4
    assert lab.run("", "--duration=eight").code == 4
