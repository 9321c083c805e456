"""`assay run` as a user runs it: exit codes, the record, and faults that end a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.board import BoardSpec
from contracts.errors import AssayError
from contracts.root import ROOT
from harness.kernel.build import build_kernel
from harness.runs.history import points

_LIMITED = """
import resource, runpy, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.argv = sys.argv[1:]
runpy.run_module("harness.cli", run_name="__main__", alter_sys=True)
"""
SCHEMA = ROOT / "docs" / "schemas" / "run.schema.json"


def _command(board: BoardSpec, results: Path, *arguments: str) -> list[str]:
    return [
        sys.executable, "-m", "harness.cli", "run", "--board", board.kind, "--results", str(results),
        "--situations", "3", "--budgets", str(_short_budgets(results)), *arguments,
    ]  # fmt: skip


def _short_budgets(folder: Path) -> Path:
    """The shipped budgets with fewer required host samples, for these short runs."""
    text = (
        (ROOT / "lab-config" / "budgets.yaml")
        .read_text()
        .replace("min_samples: 20", "min_samples: 3")
        .replace("min_samples: 16", "min_samples: 3")
    )
    path = folder.parent / "short-budgets.yaml"
    path.write_text(text)
    return path


def _run(
    board: BoardSpec, results: Path, *arguments: str, timeout_s: float = 110
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _command(board, results, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def _document(results: Path) -> dict[str, Any]:
    (path,) = results.glob("*/run.json")
    document: dict[str, Any] = json.loads(path.read_text())
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    return document


def test_a_run_is_recorded_and_its_replay_gives_the_same_virtual_figures(
    board_spec: BoardSpec, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    done = _run(board_spec, results, "--seed", "7", "--json", str(tmp_path / "run.json"))
    assert done.returncode in (0, 1, 76), done.stdout + done.stderr  # host budgets on a busy machine
    document = _document(results)
    assert json.loads((tmp_path / "run.json").read_text()) == document
    (run,) = (path for path in results.iterdir() if path.is_dir())
    for name in ("kernel.elf", "transcript.jsonl", "01/attempt1.c", "01/workload.trace"):
        assert (run / board_spec.kind / name).stat().st_size > 0
    (board,) = document["boards"]
    assert board["error"] == ""
    exact = [row for row in board["stages"] if row["clock"] == "virtual"]
    assert {row["verdict"] for row in exact} <= {"pass", "marginal", "skip"}, "no busy machine moves these"
    if not any(s["deployed"] for s in board["situations"]):
        pytest.fail("no situation was adapted, so nothing can be replayed")
    replayed = subprocess.run(
        [sys.executable, "-m", "harness.cli", "replay", "last", "--results", str(results)],
        cwd=ROOT, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert ", 0 differ" in replayed.stdout
    assert {(point.run, point.stage) for point in points(results)} >= {
        (run.name, "verify"),
        (run.name, "adapt"),
    }


@pytest.mark.board_kinds("qemu-virt")
def test_random_weights_end_with_1_and_nothing_deployed(board_spec: BoardSpec, tmp_path: Path) -> None:
    from ai.train.random_weights import write_random_gguf

    model = tmp_path / "random.gguf"
    write_random_gguf(model, seed=3)
    done = _run(board_spec, tmp_path / "results", "--model", str(model))
    assert done.returncode == 1, done.stdout + done.stderr
    (board,) = _document(tmp_path / "results")["boards"]
    assert not any(situation["deployed"] for situation in board["situations"])


@pytest.mark.board_kinds("qemu-virt")
def test_a_qemu_killed_in_mid_run_ends_the_run_with_75_and_a_record(
    board_spec: BoardSpec, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    process = subprocess.Popen(
        _command(board_spec, results), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        _kill_qemu_of(process.pid, results)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, out + err
    (board,) = _document(results)["boards"]
    assert board["verdict"] == "infra"
    assert "SIGKILL" in board["error"]


def _kill_qemu_of(pid: int, results: Path, timeout_s: float = 60) -> None:
    """Kill the QEMU that is a descendant of `pid` once the first situation is on record."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if list(results.glob("*/*/records.jsonl")):
            for child in _descendants(pid):
                if "qemu-system" in Path(f"/proc/{child}/cmdline").read_text():
                    os.kill(child, signal.SIGKILL)
                    return
        time.sleep(0.02)
    raise AssayError("no QEMU to kill", expected="a QEMU below the run within 60 s", seen="none")


def _descendants(pid: int) -> list[int]:
    out: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            out += [int(child), *_descendants(int(child))]
    return out


@pytest.mark.board_kinds("qemu-virt")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_frees_the_board_and_keeps_the_record(
    board_spec: BoardSpec, tmp_path: Path, number: signal.Signals
) -> None:
    results = tmp_path / "results"
    process = subprocess.Popen(
        _command(board_spec, results), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60
        while not list(results.glob("*/*/records.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.02)
        children = _descendants(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, out + err
    assert _document(results)["run"]["interrupted"] is True
    assert children
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.board_kinds("qemu-virt")
def test_a_results_folder_that_fills_up_ends_the_run_with_75(board_spec: BoardSpec, tmp_path: Path) -> None:
    for variant in ("release", "testing"):  # built before the limit, which a linker would exceed
        build_kernel(board_spec.firmware, variant=variant)
    results = tmp_path / "results"
    command = _command(board_spec, results)
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, *command[2:]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 75, done.stdout + done.stderr
    assert "cannot write" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_json_on_standard_output_is_the_record_alone(board_spec: BoardSpec, tmp_path: Path) -> None:
    results = tmp_path / "results"
    done = _run(board_spec, results, "--json", "-")
    (path,) = results.glob("*/run.json")
    assert json.loads(done.stdout) == json.loads(path.read_text())
    assert f"report: {path.parent}" in done.stderr
