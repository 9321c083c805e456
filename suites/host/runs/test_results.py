"""`assay results`: lists the runs on disk; pruning removes only old runs, and nothing from the history."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import ConfigError, InfraError
from contracts.root import ROOT
from harness.cli import results as commands
from harness.cli.results import seconds
from harness.runs.history import points
from harness.runs.record import new_run
from harness.runs.results import REMOVING, prune_runs, runs_in

RecordRun = Callable[..., Path]
DAY_S = 86400.0


def name_of(number: int) -> str:
    return f"20260101-0000{number:02d}-00{number:02d}"


@pytest.fixture
def results(tmp_path: Path, record_run: RecordRun, record_session: RecordRun) -> Path:
    """Four runs and a session, each a day older than the next."""
    for number in range(1, 6):
        (record_session if number == 3 else record_run)(name_of(number), kinds=["qemu-virt"])
        past = time.time() - (6 - number) * DAY_S
        for path in (
            tmp_path / "results" / name_of(number),
            tmp_path / "results" / name_of(number) / "run.json",
        ):
            os.utime(path, (past, past))
    return tmp_path / "results"


def pruned(
    results: Path, keep: int | None, age_s: float | None = None, **more: object
) -> tuple[list[int], str]:
    """The remaining runs, and the output."""
    console = Console(file=io.StringIO(), width=160)
    baseline = more.pop("baseline", results / "no baseline.json")
    assert isinstance(baseline, Path)
    assert prune_runs(console, results, keep, age_s, baseline=baseline, **more) == 0  # type: ignore[arg-type]
    assert isinstance(console.file, io.StringIO)
    return [number for number in range(1, 6) if (results / name_of(number)).exists()], console.file.getvalue()


def test_the_newest_are_kept_and_what_was_freed_is_said(results: Path) -> None:
    (results / "notes.txt").write_text("mine")
    (results / "a folder of mine").mkdir()
    left, text = pruned(results, 2)
    assert left == [4, 5]
    assert f"removed {name_of(3)}" in text
    assert "KiB freed, 2 of 5 runs remain" in text
    assert (results / "notes.txt").exists()
    assert (results / "a folder of mine").exists()


def test_age_alone_and_age_with_a_number_to_keep(results: Path) -> None:
    assert pruned(results, 4, 2.5 * DAY_S)[0] == [2, 3, 4, 5]
    assert pruned(results, None, 2.5 * DAY_S)[0] == [4, 5]
    assert pruned(results, None, 30 * DAY_S)[0] == [4, 5]


def test_a_dry_run_says_what_would_go_and_removes_nothing(results: Path) -> None:
    left, text = pruned(results, 1, dry_run=True)
    assert left == [1, 2, 3, 4, 5]
    assert text.count("would remove") == 4
    assert "would be freed, 1 of 5" in text


def test_figures_outlive_their_runs(results: Path) -> None:
    pruned(results, 1)
    assert {point.run for point in points(results)} == {name_of(number) for number in range(1, 6)}
    assert any(point.test for point in points(results))


def test_a_run_in_progress_and_the_baselines_run_are_kept(results: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    baseline.write_text(json.dumps({"run": {"name": name_of(1)}}))
    name, _ = new_run(results)
    new_run(results)  # this process lives, so both are in progress
    left, text = pruned(results, 1, baseline=baseline)
    assert left == [1]
    assert (results / name).is_dir()
    assert f"kept {name_of(1)}: the baseline's run" in text
    assert f"kept {name}: in progress" in text


def test_a_run_whose_process_was_killed_may_go(results: Path) -> None:
    script = (
        "import os, pathlib, signal\n"
        "from harness.runs.record import new_run\n"
        f"folder = new_run(pathlib.Path({str(results)!r}))[1]\n"
        "folder.append('tests.jsonl', {'id': 'x'})\n"
        "print(folder.path.name, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=60, cwd=ROOT, check=False
    )
    (killed,) = [run for run in runs_in(results) if run.name == died.stdout.strip()]
    assert (killed.job, killed.verdict, killed.kept) == ("tests", "no end", "")
    new_run(results)
    pruned(results, 1)
    assert not killed.path.exists()


def test_a_removal_that_was_cut_short_is_finished_by_the_next(results: Path) -> None:
    half = results / (REMOVING + name_of(1))
    (results / name_of(1)).rename(half)
    assert [run.name for run in runs_in(results)] == [name_of(number) for number in range(2, 6)]
    pruned(results, 4)
    assert not half.exists()


def test_a_linked_run_is_never_followed(results: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (results / name_of(1)).rename(elsewhere)
    (results / name_of(1)).symlink_to(elsewhere)
    left, text = pruned(results, 1)
    assert left == [1, 5]
    assert "a link" in text
    assert (elsewhere / "run.json").exists()


def test_what_cannot_be_removed_is_the_labs_fault_and_named(results: Path) -> None:
    (results / (REMOVING + name_of(1))).write_text("a file where a folder should be")
    with pytest.raises(InfraError, match="cannot remove"):
        pruned(results, 1)


@pytest.mark.parametrize(
    ("age", "taken_s"), [("30d", 30 * DAY_S), ("12h", 43200), ("1w", 7 * DAY_S), ("90m", 5400)]
)
def test_an_age_is_a_number_and_a_unit(age: str, taken_s: float) -> None:
    assert seconds(age) == taken_s


@pytest.mark.parametrize("age", ["", "30", "d", "-1d", "1.5d", "30 d", "1y"])
def test_what_is_no_age_is_a_usage_error(age: str) -> None:
    with pytest.raises(ConfigError, match="is not an age"):
        seconds(age)


def test_a_fresh_checkout_has_nothing_to_remove_and_a_mistyped_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "results"
    monkeypatch.setattr(commands, "RESULTS", own)
    commands.prune(older_than="0s", results=own)
    assert not own.exists()
    with pytest.raises(ConfigError, match="no results folder"):
        commands.prune(older_than="0s", results=tmp_path / "reslts")


def test_the_commands_list_and_prune(results: Path) -> None:
    def assay(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.cli", "results", *arguments, "--results", str(results)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    listed = assay("list")
    assert listed.returncode == 0, listed.stderr
    assert name_of(3) in listed.stdout
    assert "1 test " in listed.stdout
    assert assay("prune", "--keep", "3").returncode == 0
    assert len(runs_in(results)) == 3
    assert assay("prune", "--keep", "0").returncode == 4
    gone = assay("prune", "--older-than", "1s")
    assert gone.returncode == 0
    assert "0 of 3 runs remain" in gone.stdout
    assert "no run in" in assay("list").stdout.replace("\n", " ")
