"""The command line: invalid arguments exit with 4 and a suggestion, before anything is booted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.root import ROOT


def assay(*arguments: str, timeout_s: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "--board", "qemu-vrit"], "did you mean 'qemu-virt'"),
        (["run", "--board", "qemu-virt", "--scenario", "flod"], "did you mean 'flood'"),
        (["run", "--model", "/nowhere/model.gguf"], "/nowhere/model.gguf"),
        (["run", "--key", "/nowhere/lab.key"], "/nowhere/lab.key"),
        (["run", "--situations", "0"], "situations"),
        (["run", "--json", "/nowhere/run.json"], "/nowhere/run.json"),
        (["run", "--budgets", "/nowhere/budgets.yaml"], "/nowhere/budgets.yaml"),
        (["replay", "no-such-run"], "no run 'no-such-run'"),
        (["report", "last", "--out", "/nowhere/page.html"], "no folder /nowhere for --out"),
        (["rnu"], "rnu"),
    ],
)
def test_a_wrong_argument_ends_with_4_and_says_what_was_meant(arguments: list[str], hint: str) -> None:
    done = assay(*arguments)
    assert done.returncode == 4, done.stdout + done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_a_truncated_model_ends_with_4_and_names_the_file(tmp_path: Path) -> None:
    shipped = next((ROOT / "ai" / "models").glob("*.gguf"))
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(shipped.read_bytes()[: shipped.stat().st_size // 2])
    done = assay("run", "--model", str(cut))
    assert done.returncode == 4, done.stdout + done.stderr
    assert "cut.gguf" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_machine_without_qemu_ends_with_69_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ASSAY_QEMU", "no-such-qemu")
    done = assay("run", "--results", str(tmp_path / "results"))
    assert done.returncode == 69, done.stdout + done.stderr
    assert "no-such-qemu is not installed" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_cannot_be_made_ends_with_75_before_anything_is_built(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    done = assay("run", "--results", str(tmp_path / "results"))
    assert done.returncode == 75, done.stdout + done.stderr
    assert "cannot write" in done.stderr
    assert "building" not in done.stdout


def test_every_command_explains_itself() -> None:
    for command in (
        [],
        ["run"],
        ["replay"],
        ["report"],
        ["compare"],
        ["baseline", "write"],
        ["history"],
        ["config", "check"],
        ["config", "schema"],
        ["test"],
        ["bench"],
        ["boards"],
        ["build"],
        ["console"],
        ["doctor"],
    ):
        done = assay(*command, "--help")
        assert done.returncode == 0
        assert "Usage: assay" in done.stdout


def test_boards_lists_the_three_qemu_kinds() -> None:
    done = assay("boards")
    assert done.returncode == 0
    for kind in ("qemu-virt", "qemu-rpi3", "qemu-rpi4"):
        assert kind in done.stdout
