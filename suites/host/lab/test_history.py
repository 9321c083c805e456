"""`assay history`: every finished run is in it once, also when its folder is gone, and damage says what to do."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import ConfigError, InfraError
from harness.history import FILE, feed, points, show_history, sparkline

ROOT = Path(__file__).resolve().parents[3]

RecordRun = Callable[..., Path]


def shown(results: Path, board: str | None = None, stage: str | None = None, last: int = 20) -> str:
    console = Console(file=io.StringIO(), width=180)
    assert show_history(console, results, board, stage, last) == 0
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_growing_figure_is_seen_as_a_trend(tmp_path: Path, record_run: RecordRun) -> None:
    for number, factor in enumerate((1.0, 1.1, 1.2), start=1):
        record_run(f"run-0{number}", factors={"verify": factor})
    text = shown(tmp_path / "results", "qemu-virt", "verify")
    assert "▁▅█" in text or "▁▄█" in text
    assert [line.split("│")[1].strip() for line in text.splitlines() if "│ run-0" in line] == [
        "run-01",
        "run-02",
        "run-03",
    ]
    assert "qemu-rpi4" not in text
    assert "0.12" in text


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
    assert "run-02/run.json cannot be read (left out)" in text.replace("\n", "")
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
    script = f"import pathlib; from harness.history import feed; feed(pathlib.Path({str(results)!r}))"
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
