"""`assay history`: contains every finished run once, also without its folder; a damaged file gives instructions."""

from __future__ import annotations

import io
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import ConfigError, InfraError
from contracts.root import ROOT
from harness.runs.history import FILE, feed, points, show_history, sparkline

RecordRun = Callable[..., Path]


def shown(
    results: Path, board: str | None = None, stage: str | None = None, last: int = 20, test: str | None = None
) -> str:
    console = Console(file=io.StringIO(), width=180)
    assert show_history(console, results, board, stage, last, test) == 0
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_growing_figure_is_seen_as_a_trend(tmp_path: Path, record_run: RecordRun) -> None:
    for number, factor in enumerate((1.0, 1.1, 1.2), start=1):
        record_run(f"run-0{number}", factors={"verify": factor})
    text = shown(tmp_path / "results", "qemu-virt", "verify")
    assert "▁▅█" in text or "▁▄█" in text
    assert [line.split()[0] for line in text.splitlines() if line.startswith("run-0")] == [
        "run-01",
        "run-02",
        "run-03",
    ]
    assert "qemu-rpi4" not in text
    assert "120 us" in text


def test_the_last_runs_alone_are_shown(tmp_path: Path, record_run: RecordRun) -> None:
    for number in range(1, 5):
        record_run(f"run-0{number}")
    text = shown(tmp_path / "results", stage="jit", last=2)
    assert "run-04" in text
    assert "run-03" in text
    assert "run-02" not in text


def test_runs_are_taken_in_once_and_outlive_their_folders(tmp_path: Path, record_run: RecordRun) -> None:
    folder = record_run("run-01")
    results = tmp_path / "results"
    assert feed(results) == []
    once = points(results)
    assert feed(results) == []
    assert points(results) == once
    shutil.rmtree(folder)
    record_run("run-02")
    feed(results)
    assert {point.run for point in points(results)} == {"run-01", "run-02"}


def test_a_removed_history_is_made_again_from_the_folders(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    results = tmp_path / "results"
    feed(results)
    before = points(results)
    (results / FILE).unlink()
    feed(results)
    assert points(results) == before


def test_a_damaged_record_is_named_and_the_others_are_shown(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    (record_run("run-02") / "run.json").write_text("{")
    text = shown(tmp_path / "results")
    assert "run-02/run.json cannot be read (skipped): " in text.replace("\n", "")
    assert "qemu-virt" in text


def test_a_damaged_history_says_what_to_do(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    (tmp_path / "results" / FILE).write_bytes(b"not a database at all, but long enough" * 100)
    with pytest.raises(ConfigError, match="remove it"):
        feed(tmp_path / "results")


def test_a_history_that_cannot_be_written_is_the_labs_fault(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    (tmp_path / "results" / FILE).mkdir()
    with pytest.raises(InfraError, match="cannot use"):
        feed(tmp_path / "results")


def test_processes_that_end_at_the_same_time_all_get_in(tmp_path: Path, record_run: RecordRun) -> None:
    for number in range(1, 4):
        record_run(f"run-0{number}")
    results = tmp_path / "results"
    script = f"import pathlib; from harness.runs.history import feed; feed(pathlib.Path({str(results)!r}))"
    several = [subprocess.Popen([sys.executable, "-c", script], cwd=ROOT) for _ in range(4)]
    assert [process.wait(timeout=60) for process in several] == [0, 0, 0, 0]
    assert len({point.run for point in points(results)}) == 3
    assert len(points(results)) == len({(p.run, p.board, p.stage, p.clock) for p in points(results)})


@pytest.mark.parametrize(
    ("board", "stage", "says"),
    [("qemu-vrit", None, "did you mean 'qemu-virt'"), (None, "verfiy", "did you mean 'verify'")],
)
def test_an_unknown_board_or_stage_says_what_was_meant(
    tmp_path: Path, record_run: RecordRun, board: str | None, stage: str | None, says: str
) -> None:
    record_run("run-01")
    with pytest.raises(ConfigError, match=says):
        shown(tmp_path / "results", board, stage)


def test_an_empty_folder_says_how_to_fill_it(tmp_path: Path) -> None:
    assert "assay run" in shown(tmp_path)
    with pytest.raises(ConfigError, match="no results folder"):
        shown(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("values", "line"),
    [([], ""), ([3.0], "▄"), ([1.0, 1.0], "▄▄"), ([0.0, 7.0, None, 3.0], "▁█ ▄"), ([None], " ")],
)
def test_a_sparkline_has_a_character_a_value(values: list[float | None], line: str) -> None:
    assert sparkline(values) == line


def test_what_tests_measured_has_a_trend_of_its_own(
    tmp_path: Path, record_run: RecordRun, record_session: RecordRun
) -> None:
    record_run("run-01")
    for number, factor in enumerate((1.0, 1.1, 1.2), start=2):
        record_session(f"run-0{number}", factors={"verify": factor}, kinds=["qemu-virt", None])
    text = shown(tmp_path / "results", test="*test_verify[[]qemu-virt]")
    assert "the last 20 sessions" in text
    assert "test_verify[qemu-virt]" in text
    assert "▁▅█" in text or "▁▄█" in text
    assert "the last 20 runs" not in text
    everything = shown(tmp_path / "results")
    assert "the last 20 runs" in everything
    assert "test_verify[None]" in everything
    assert {point.board for point in points(tmp_path / "results")} > {"host"}
    with pytest.raises(ConfigError, match="did you mean"):
        shown(tmp_path / "results", test="suites/board/test_budgets.py::test_verfy[qemu-virt]")


def test_a_clock_that_goes_back_turns_no_trend_round(tmp_path: Path, record_run: RecordRun) -> None:
    results = tmp_path / "results"
    started = ("2026-03-01T10:00:00+00:00", "2026-02-01T10:00:00+00:00", "2025-01-01T10:00:00+00:00")
    for number, when in enumerate(started, start=1):
        record_run(f"run-0{number}", factors={"verify": 1 + 0.1 * number}, started=when)
        feed(results)
    found = [point for point in points(results) if point.series == ("", "qemu-virt", "verify", "virtual", 0)]
    assert [point.started for point in found] == list(started)
    values = [point.value for point in found]
    assert values == sorted(values, key=lambda value: value or 0)
    (results / FILE).unlink()
    feed(results)  # rebuilt from the folders, whose names are in order
    again = [point for point in points(results) if point.series == ("", "qemu-virt", "verify", "virtual", 0)]
    assert again == found


def test_a_history_of_the_first_version_is_carried_over(tmp_path: Path, record_run: RecordRun) -> None:
    results = tmp_path / "results"
    results.mkdir()
    old = sqlite3.connect(results / FILE)
    old.executescript(
        """
        CREATE TABLE run (name TEXT PRIMARY KEY, started TEXT NOT NULL, seed INTEGER NOT NULL,
            situations INTEGER NOT NULL);
        CREATE TABLE figure (run TEXT NOT NULL REFERENCES run(name), board TEXT NOT NULL, build_id TEXT NOT NULL,
            stage TEXT NOT NULL, clock TEXT NOT NULL, value REAL, unit TEXT NOT NULL, stat TEXT,
            verdict TEXT NOT NULL, PRIMARY KEY (run, board, stage, clock));
        INSERT INTO run VALUES ('gone-02', '2026-01-02', 1, 20), ('gone-01', '2026-01-01', 1, 20);
        INSERT INTO figure VALUES ('gone-02', 'qemu-virt', 'ab', 'verify', 'virtual', 0.2, 'ms', 'max', 'pass'),
            ('gone-01', 'qemu-virt', 'ab', 'verify', 'virtual', 0.1, 'ms', 'max', 'pass');
        PRAGMA user_version = 1;
        """
    )
    old.close()
    record_run("run-03", kinds=["qemu-virt"])
    assert feed(results) == []
    assert [(point.run, point.value) for point in points(results) if point.stage == "verify"] == [
        ("gone-01", 0.1),
        ("gone-02", 0.2),
        ("run-03", pytest.approx(0.1)),
    ]


def test_a_history_of_a_later_version_is_left_alone(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    database = sqlite3.connect(tmp_path / "results" / FILE)
    database.execute("PRAGMA user_version = 7")
    database.close()
    before = (tmp_path / "results" / FILE).read_bytes()
    with pytest.raises(ConfigError, match="another version"):
        feed(tmp_path / "results")
    assert (tmp_path / "results" / FILE).read_bytes() == before
