"""`assay compare` of real runs: detects a verifier that is a fifth slower, and accepts an unchanged kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT

# Idle instructions for each one that the verifier walks (firmware/bpf/plant.h).
A_FIFTH = {"ASSAY_PLANT_SLOW_VERIFIER": "290"}


def assay(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.board_kinds("qemu-virt")
def test_a_verifier_slower_by_a_fifth_is_a_regression_and_the_unchanged_kernel_is_none(
    board_spec: BoardSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(tmp_path / "leases"))
    results = ["--results", str(tmp_path / "results")]
    plant = [f"--define={name}={value}" for name, value in A_FIFTH.items()]
    names = []
    for defines in ([], [], plant):
        done = assay("run", "--board", board_spec.kind, "--situations", "2", *results, *defines)
        assert done.returncode in (0, 76), done.stdout + done.stderr  # 76: too few host samples
        names.append(max(path.name for path in (tmp_path / "results").iterdir() if path.is_dir()))
    unchanged = assay("compare", names[0], names[1], *results)
    assert unchanged.returncode == 0, unchanged.stdout + unchanged.stderr
    assert "regressions above 2%: 0" in unchanged.stdout
    slower = assay("compare", names[0], names[2], *results)
    assert slower.returncode == 1, slower.stdout + slower.stderr
    assert "regressions above 2%: 1" in slower.stdout
    (verify,) = [line for line in slower.stdout.splitlines() if "regression" in line and " verify " in line]
    grown = float(verify.split()[5].strip("+%"))  # board, stage, stat, before, after, change
    assert 15 < grown < 25, slower.stdout
