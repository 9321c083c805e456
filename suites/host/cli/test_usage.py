"""The command line: invalid arguments exit with 4 and a suggestion, before anything is booted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from contracts.root import ROOT
from harness.cli import app as cli


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


def commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the command line that prints its own help, by its words."""
    if command.context_settings.get("help_option_names") != []:
        yield words
    for name, below in (getattr(command, "commands", None) or {}).items():
        yield from commands(below, (*words, name))


def test_every_command_explains_itself_by_either_word_without_the_types_of_python(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = list(commands(typer.main.get_command(cli.app)))
    assert len(found) > 30
    for words in found:
        said = []
        for option in ("-h", "--help"):
            monkeypatch.setattr(sys, "argv", ["assay", *words, option])
            assert cli.main() == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1]
        assert said[0].startswith(f"Usage: {' '.join(('assay', *words))}"), words
        assert not re.search(r"<\w|\b(TEXT|INTEGER|FLOAT|PATH|RANGE)\b", said[0]), said[0]


def test_the_version_is_one_line() -> None:
    done = assay("--version")
    assert done.returncode == 0
    assert re.fullmatch(r"assay \d+\.\d+\.\d+( \([0-9a-f]{12}\))?\n", done.stdout)


def test_bash_completes_commands_and_options() -> None:
    for typed, place, expected in (
        ("assay re", 1, {"replay", "report", "results"}),
        ("assay run --mo", 2, {"--model"}),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "harness.cli"],
            cwd=ROOT,
            env={
                **os.environ,
                "_ASSAY_COMPLETE": "complete_bash",
                "COMP_WORDS": typed,
                "COMP_CWORD": str(place),
            },
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert set(done.stdout.split()) == expected, done.stderr


def test_boards_lists_the_three_qemu_kinds() -> None:
    done = assay("boards")
    assert done.returncode == 0
    for kind in ("qemu-virt", "qemu-rpi3", "qemu-rpi4"):
        assert kind in done.stdout
