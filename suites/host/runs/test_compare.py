"""`assay compare`: detects a slower kernel to the instruction, judges only equal inputs, never fails host figures."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from contracts.errors import ConfigError
from contracts.measurement import Direction
from harness.boards.registry import select
from harness.judge.change import Change, HostChange, ratio_interval
from harness.runs.baseline import write_baseline
from harness.runs.compare import compare, compare_runs
from harness.runs.figures import BASELINE, load

RecordRun = Callable[..., Path]


def compared(folder: Path, before: str, after: str, threshold: float = 2) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=160)
    code = compare_runs(console, before, after, folder / "results", threshold)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def test_an_unchanged_kernel_exits_0(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02")
    code, text = compared(tmp_path, "run-01", "last")
    assert code == 0
    assert "12 virtual figures compared, regressions above 2%: 0" in text


def test_a_verifier_slower_by_a_fifth_exits_1_and_names_stage_and_situation(
    tmp_path: Path, record_run: RecordRun
) -> None:
    record_run("run-01")
    record_run("run-02", factors={"verify": 1.2})
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 1
    assert "regressions above 2%: 3" in text
    assert re.search(r"100,000 +120,000 +\+20\.0%", text)
    assert (
        "qemu-virt verify, situation 1 (flood, seed 1000001): 43,000 -> 51,600 instructions, +20.0%" in text
    )
    assert "16 more situations regressed" in text


def test_the_threshold_lies_at_two_percent(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", factors={"verify": 1.02})
    record_run("run-03", factors={"verify": 1.021})
    assert compared(tmp_path, "run-01", "run-02")[0] == 0
    assert compared(tmp_path, "run-01", "run-03")[0] == 1


def test_the_threshold_of_a_comparison_is_what_was_asked_for(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", factors={"verify": 1.01})
    record_run("run-03", factors={"verify": 1.011})
    assert compared(tmp_path, "run-01", "run-02", 1)[0] == 0
    code, text = compared(tmp_path, "run-01", "run-03", 1)
    assert code == 1
    assert "regressions above 1%: 3" in text
    assert "qemu-virt verify, situation" in text
    code, text = compared(tmp_path, "run-01", "run-03", 2.5)
    assert code == 0
    assert "grew, within 2.5%" in text
    assert compared(tmp_path, "run-01", "run-01", 0)[0] == 0
    assert compared(tmp_path, "run-01", "run-02", 0)[0] == 1
    for nonsense in (-1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="no threshold"):
            compared(tmp_path, "run-01", "run-02", nonsense)


def test_the_threshold_holds_for_sessions_of_tests_too(tmp_path: Path, record_session: RecordRun) -> None:
    record_session("run-01")
    record_session("run-02", factors={"verify": 1.015})
    assert compared(tmp_path, "run-01", "run-02")[0] == 0
    code, text = compared(tmp_path, "run-01", "run-02", 1)
    assert code == 1
    assert "regressions above 1%: 3" in text


def test_a_smaller_count_is_an_improvement_and_exits_0(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", factors={"jit": 0.9})
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 0
    assert "-10.0%" in text
    assert text.count("improvement") == 3


def test_one_slower_program_is_found_behind_an_unchanged_maximum(
    tmp_path: Path, record_run: RecordRun
) -> None:
    record_run("run-01")
    slower = record_run("run-02", kinds=["qemu-virt"]) / "run.json"
    document = json.loads(slower.read_text())
    document["boards"][0]["situations"][3]["virtual"]["verify"] = [60_000]
    slower.write_text(json.dumps(document))
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 1
    assert "situation 3 (flood, seed 1000003): 49,000 -> 60,000" in text


def test_only_the_programs_that_both_runs_have_are_judged(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    document = record_run("run-02", other_programs=[20]) / "run.json"
    content = json.loads(document.read_text())
    for board in content["boards"]:
        board["situations"][20]["virtual"]["verify"] = [900_000]
        next(row for row in board["stages"] if row["name"] == "verify")["value"] = 0.9
    document.write_text(json.dumps(content))
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 0
    assert re.search(r"97,000 +97,000", text)
    assert "20/21" in text


def test_runs_of_other_seeds_have_nothing_to_judge_and_are_inconclusive(
    tmp_path: Path, record_run: RecordRun
) -> None:
    record_run("run-01", seed=1)
    record_run("run-02", seed=2)
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 76
    assert "`assay run --seed 1 --situations 20`" in text


def test_what_only_one_run_has_is_named(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", kinds=["qemu-virt"], without=["jit"])
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 0
    assert "board qemu-rpi4: in run-01, not in run-02" in text
    assert "qemu-virt stage jit: in run-01, not in run-02" in text


def test_a_slower_host_is_reported_and_never_fails(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", factors={"generate": 1.5})
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 0
    assert "slower" in text
    host = {(c.kind, c.figure.stage): c.reading for c in compare(
        load("run-01", tmp_path / "results"), load("run-02", tmp_path / "results")).host}  # fmt: skip
    assert host["qemu-virt", "generate"] == "slower"
    assert host["qemu-virt", "adapt"] == "no difference"


def test_the_interval_of_medians_is_not_moved_by_an_outlier_and_needs_samples() -> None:
    rng = random.Random(5)
    before = [100 + rng.random() for _ in range(20)]
    after = [100 + rng.random() for _ in range(19)] + [10_000.0]
    interval = ratio_interval(before, after)
    assert interval is not None
    assert interval[0] < 1.01
    assert interval[1] < 1.02
    assert interval == ratio_interval(before, after)
    assert ratio_interval(before[:4], after) is None


def test_a_baseline_is_the_run_it_was_made_of(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", factors={"verify": 1.2})
    path = tmp_path / "lab" / "baseline.json"
    path.parent.mkdir()
    results = tmp_path / "results"
    assert write_baseline(Console(file=io.StringIO()), "run-01", results, path) == 0
    kept = load("baseline", results, path)
    assert compare(kept, load("run-01", results)).verdict.exit_code == 0
    assert compare(kept, load("run-02", results)).verdict.exit_code == 1
    assert compare(kept, load("run-02", results)).host == ()
    assert compared(tmp_path, str(path), "run-02")[0] == 1
    text = path.read_text()
    assert "host" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("part", "says"),
    [
        ({"error": "the board is lost"}, "ended early on qemu-rpi3"),
        ({"stages": []}, "no virtual figures of qemu-rpi3"),
    ],
)
def test_a_run_that_is_no_measure_becomes_no_baseline(
    tmp_path: Path, record_run: RecordRun, part: dict[str, object], says: str
) -> None:
    record = record_run("run-01") / "run.json"
    content = json.loads(record.read_text())
    content["boards"][0] |= part
    record.write_text(json.dumps(content))
    record_run("run-02", interrupted=True)
    record_run("run-03", factors={"verify": 1000.0})
    path = tmp_path / "baseline.json"
    for run, reason in (("run-01", says), ("run-02", "interrupted"), ("run-03", "missed a budget")):
        with pytest.raises(ConfigError, match=reason):
            write_baseline(Console(file=io.StringIO()), run, tmp_path / "results", path)
    assert not path.exists()


def test_a_noisy_host_does_not_keep_a_run_from_being_the_baseline(
    tmp_path: Path, record_run: RecordRun
) -> None:
    record_run("run-01", verdict="inconclusive", factors={"adapt": 20.0})
    path = tmp_path / "baseline.json"
    assert write_baseline(Console(file=io.StringIO()), "run-01", tmp_path / "results", path) == 0
    assert json.loads(path.read_text())["run"]["verdict"] == "pass"


def test_a_baseline_loses_no_kind_silently(tmp_path: Path, record_run: RecordRun) -> None:
    record_run("run-01")
    record_run("run-02", kinds=["qemu-virt"])
    path = tmp_path / "baseline.json"
    console = Console(file=io.StringIO())
    write_baseline(console, "run-01", tmp_path / "results", path)
    with pytest.raises(ConfigError, match="would drop qemu-rpi3, qemu-rpi4"):
        write_baseline(console, "run-02", tmp_path / "results", path)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run-0", "did you mean 'run-01'"),
        ("basline", "did you mean 'baseline'"),
        ("broken.json", "cannot be read"),
        ("other.json", "not a run's record: run"),
    ],
)
def test_what_is_no_run_is_an_error_that_says_what_was_meant(
    tmp_path: Path, record_run: RecordRun, monkeypatch: pytest.MonkeyPatch, name: str, says: str
) -> None:
    record_run("run-01")
    monkeypatch.chdir(tmp_path)
    Path("broken.json").write_text("{")
    Path("other.json").write_text('{"schema": 1, "boards": []}')
    with pytest.raises(ConfigError, match=says) as caught:
        compared(tmp_path, "run-01", name)
    assert caught.value.exit_code == 4


def test_without_a_baseline_the_command_that_makes_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="assay baseline write last"):
        load("baseline", tmp_path, tmp_path / "baseline.json")


@pytest.mark.skipif(not BASELINE.exists(), reason="no baseline is committed")
def test_the_committed_baseline_has_every_default_kind_and_kept_its_budgets() -> None:
    kept = load("baseline")
    assert sorted(kept.boards) == [spec.kind for spec in select([])]
    assert {row.verdict.exit_code for board in kept.boards.values() for row in board.stages} == {0}
    assert all(len(board.situations) == kept.document.run.situations + 1 for board in kept.boards.values())
    assert compare(kept, kept).verdict.exit_code == 0


def test_a_session_of_tests_on_an_unchanged_kernel_exits_0_and_on_a_slower_one_1(
    tmp_path: Path, record_session: RecordRun
) -> None:
    record_session("run-01")
    record_session("run-02", factors={"generate": 1.5})
    record_session("run-03", factors={"verify": 1.2})
    code, text = compared(tmp_path, "run-01", "run-02")
    assert code == 0
    assert "3 virtual figures compared, regressions above 2%: 0" in text
    assert "slower" in text
    code, text = compared(tmp_path, "run-01", "last")
    assert code == 1
    assert "+20.0%" in text
    assert "test_verify[qemu-virt]" in text.replace("\n", "")


def test_one_slower_sample_is_found_behind_an_unchanged_maximum(
    tmp_path: Path, record_session: RecordRun
) -> None:
    record_session("run-01", kinds=["qemu-virt"])
    record = record_session("run-02", kinds=["qemu-virt"]) / "run.json"
    content = json.loads(record.read_text())
    content["tests"][0]["measurements"][0]["samples_list"][0] += 1000
    record.write_text(json.dumps(content))
    assert compared(tmp_path, "run-01", "run-02")[0] == 1


def test_sessions_with_nothing_alike_are_inconclusive_and_say_why(
    tmp_path: Path, record_run: RecordRun, record_session: RecordRun
) -> None:
    record_session("run-01", kinds=["qemu-virt"])
    record_session("run-02", kinds=["qemu-rpi4"])
    record_session("run-03", kinds=["qemu-virt"], seed=2)
    fewer = record_session("run-04", kinds=["qemu-virt"]) / "run.json"
    content = json.loads(fewer.read_text())
    content["tests"][0]["measurements"][0] |= {"samples": 2, "samples_list": [41_000, 52_000]}
    fewer.write_text(json.dumps(content))
    record_run("run-05")
    for other, says in (
        ("run-02", "verify (virtual): in run-01, not in run-02"),
        ("run-03", "run-01 has seed 1, run-03 2"),
        ("run-04", "not judged, max of 3 samples before, max of 2 after"),
        ("run-05", "run-01 has the job `tests`, run-05 the job `run`"),
    ):
        code, text = compared(tmp_path, "run-01", other)
        assert code == 76
        assert says in text


def test_the_last_run_is_one_of_the_job_that_is_asked_for(
    tmp_path: Path, record_run: RecordRun, record_session: RecordRun
) -> None:
    record_run("run-01")
    record_session("run-02")
    record_run("run-03", factors={"verify": 1.2})
    record_session("run-04", factors={"verify": 1.2})
    results = tmp_path / "results"
    assert load("last", results).label == "run-04"
    assert load("last", results, job="run").label == "run-03"
    assert compared(tmp_path, "run-01", "last")[0] == 1
    assert "-> run-04" in compared(tmp_path, "run-02", "last")[1]
    with pytest.raises(ConfigError, match="is a test session"):
        write_baseline(Console(file=io.StringIO()), "run-04", results, tmp_path / "baseline.json")
    with pytest.raises(ConfigError, match="none of the job `tests`"):
        for name in ("run-02", "run-04"):
            (results / name / "run.json").unlink()
        load("last", results, job="tests")


def test_what_has_to_be_large_enough_regresses_by_shrinking() -> None:
    fewer = Change("throughput", 1000, 970, Direction.AT_LEAST)
    more = Change("throughput", 1000, 1100, Direction.AT_LEAST)
    assert fewer.grew_by_more_than(2)
    assert not fewer.grew_by_more_than(3)
    assert not fewer.is_improvement
    assert more.is_improvement
    assert not more.grew_by_more_than(0)
    assert HostChange("b", fewer, (0.95, 0.99), unit="packets/s").reading == "worse"
    assert HostChange("b", more, (1.05, 1.2), unit="packets/s").reading == "better"
    assert HostChange("b", Change("adapt", 1, 2), (1.5, 2.5)).reading == "slower"
