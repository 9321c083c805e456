"""A helper, a map kind and a hook are each a row and one file: patches that add them to a copy of the tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT

HERE = Path(__file__).parent / "additions"
PATCHES = ("helper", "map_kind", "hook")
COPIED = ("contracts", "harness", "targets", "firmware", "lab-config", "requirements-sdist.lock")
FILES_MAX = 2
MASK = (1 << 64) - 1


def git_apply(tree: Path, name: str, *options: str) -> str:
    """Applies a patch, outside any repository; what git printed."""
    done = subprocess.run(
        ["git", "apply", *options, str(HERE / f"{name}.patch")],
        cwd=tree,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(tree.parent)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, f"{name}.patch no longer applies to the tree:\n{done.stderr}"
    return done.stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The part of the tree that builds a kernel and runs a board; shares downloaded sources."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "golden")
            )
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "third_party").symlink_to(ROOT / "build" / "third_party")
    return tmp_path


def mixed(a: int, b: int) -> int:
    """What the patch's bpf_mix64 returns."""
    return (a ^ ((b << 7 | b >> 57) & MASK)) * 0x9E37_79B9_7F4A_7C15 & MASK


def used(tree: Path) -> dict[str, Any]:
    """The output of `on_board.py`, run on the copy."""
    done = subprocess.run(
        [sys.executable, str(HERE / "on_board.py")],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), "ASSAY_LEASES": str(tree / "leases")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    assert seen["root"] == str(tree), "the copy was run, not this tree"
    return seen


@pytest.mark.board_kinds("qemu-virt")
def test_each_addition_is_a_row_and_a_file_and_works_on_a_board(board_spec: BoardSpec, tree: Path) -> None:
    assert board_spec.firmware == "qemu-virt"
    for name in PATCHES:
        git_apply(tree, name, "--check")
        files = git_apply(tree, name, "--numstat").splitlines()
        assert 1 <= len(files) <= FILES_MAX, f"{name}: {files}"
    for name in PATCHES:
        git_apply(tree, name)
    seen = used(tree)

    value = mixed(11, 22)
    eexist, einval = -17 & MASK, -22 & MASK
    memory = [11, 22, 0, 0, eexist, einval, value]
    assert seen["jit"] == seen["interpret"] == seen["host"] == memory
    assert seen["kept"] == {"2": value}
    assert seen["listing"]
    assert seen["kind"]
    for refusal in (seen["refused"], seen["refused on the host"]):
        assert "bpf_mix64 is not for programs of hook net_rx" in refusal

    assert seen["hook"]
    packets, calls = seen["replay"]
    assert (packets, calls) == (7, 7)
    assert seen["ended"] == [packets, calls]
