"""`assay config`: every mistake of every file with its location; schemas that match the loader; complete docs."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import jsonschema
import pytest
from pydantic import BaseModel
from rich.console import Console
from ruamel.yaml import YAML

from contracts.errors import ConfigError
from contracts.root import ROOT
from harness.boards.files import LabFile
from harness.boards.registry import BOARDS, LABS, load_board
from harness.checks.config_files import check, check_file, lab_files, schema
from harness.judge.budgets import DEFAULT_BUDGETS, BudgetEntry, BudgetFile, load_budgets

VIRT = BOARDS / "qemu-virt.yaml"


def checked(*files: Path) -> tuple[int, str]:
    console = Console(file=io.StringIO(), width=200)
    code = check(console, files)
    assert isinstance(console.file, io.StringIO)
    return code, console.file.getvalue()


def board_with(folder: Path, old: str, new: str) -> Path:
    text = VIRT.read_text()
    assert old in text
    path = folder / VIRT.name
    path.write_text(text.replace(old, new))
    return path


def test_the_committed_files_are_all_in_order() -> None:
    code, text = checked()
    assert code == 0, text
    assert text.count("ok ") == len(lab_files())
    assert {path.name for path in lab_files()} >= {
        "qemu-virt.yaml",
        "budgets.yaml",
        "golden.yaml",
        "development.key",
    }


def test_every_mistake_of_a_file_is_told_with_its_place(tmp_path: Path) -> None:
    path = board_with(tmp_path, "instances: 4", "instnces: 4")
    path.write_text(path.read_text().replace("boot: elf", "boot: elff").replace("cores: 1", "cores: 99"))
    lines = path.read_text().splitlines()
    code, text = checked(path)
    assert code == 4
    for key, column, says in (
        ("instnces", 1, "did you mean 'instances'"),
        ("  cores", 10, "less than or equal to 8"),
        ("  boot", 9, "did you mean 'elf'"),
    ):
        line = next(number for number, line in enumerate(lines, start=1) if line.startswith(key + ":"))
        found = next(told for told in text.splitlines() if f"{path.name}:{line}:{column}:" in told)
        assert says in found
    assert text.count("wrong ") == 3


def test_a_scenario_that_does_not_exist_is_a_mistake_of_the_board_file(tmp_path: Path) -> None:
    path = board_with(tmp_path, "scenario: flood", "scenario: flod")
    line = path.read_text().splitlines().index("scenario: flod") + 1
    (error,) = check_file(path)
    assert f"{path.name}:{line}:11" in str(error)
    assert "did you mean 'flood'" in str(error)


def test_one_bad_file_does_not_hide_another(tmp_path: Path) -> None:
    bad = board_with(tmp_path, "schema: 1", "schema: 2")
    budgets = tmp_path / "budgets-bench.yaml"
    budgets.write_text(DEFAULT_BUDGETS.read_text().replace("stage: verify", "stage: verfiy"))
    key = tmp_path / "lab.key"
    key.write_text("abcd\n")
    code, text = checked(bad, VIRT, budgets, key, tmp_path / "nowhere.yaml")
    assert code == 4
    assert f"ok    {VIRT}" in text
    assert "did you mean 'verify'" in text
    assert "128 hex digits" in text
    assert "nowhere.yaml cannot be read" in text


def test_what_a_file_holds_says_what_kind_it_is_whatever_its_name(tmp_path: Path) -> None:
    bench = tmp_path / "bench-limits.yaml"
    bench.write_text(
        "schema: 1\nbudgets:\n  - {name: current_ma, stat: max, unit: mA, clock: host, min_samples: 1, warmup: 0}\n"
    )
    (error,) = check_file(bench)
    assert "bench-limits.yaml:3" in error.what
    assert "`at_most` or `at_least`" in str(error)
    bench.write_text(bench.read_text().replace("warmup: 0}", "warmup: 0, at_most: 800}"))
    assert check_file(bench) == []
    board = tmp_path / "budgets-of-a-board.yaml"
    board.write_text(
        VIRT.read_text().replace("kind: qemu-virt", "kind: budgets-board").replace("cores", "corse")
    )
    assert any("'cores'" in str(error) for error in check_file(board)), "a board, for it has a kind"


def test_what_the_loader_takes_the_check_takes(tmp_path: Path) -> None:
    twice = tmp_path / "budgets.yaml"
    row = "  - {stage: jit, stat: max, unit: ms, clock: virtual, min_samples: 1, warmup: 0, limit: 5}\n"
    twice.write_text("schema: 1\nbudgets:\n" + row + row)
    with pytest.raises(ConfigError, match="two budgets"):
        load_budgets(twice)
    assert "two budgets" in str(check_file(twice)[0])
    renamed = tmp_path / "other.yaml"
    renamed.write_text(VIRT.read_text())
    with pytest.raises(ConfigError):
        load_board(renamed)
    assert check_file(renamed)


@pytest.mark.parametrize(
    ("name", "good", "key"),
    [
        ("board", VIRT, "instances"),
        ("board", BOARDS / "rpi4.yaml", "clocks"),
        ("board", BOARDS / "rpi4-sim.yaml", "like"),
        ("budgets", DEFAULT_BUDGETS, "budgets"),
        ("lab", LABS / "example.yaml", "places"),
    ],
)
def test_an_editor_with_the_schema_judges_as_the_loader_does(name: str, good: Path, key: str) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(schema(name)))
    validator.check_schema(validator.schema)
    document = YAML(typ="safe").load(good.read_text())
    assert list(validator.iter_errors(document)) == []
    document["x" + key] = document.pop(key)
    assert any("x" + key in message for message in _messages(validator.iter_errors(document)))


def _messages(errors: Iterable[jsonschema.ValidationError]) -> Iterator[str]:
    """All mistakes, also within the alternative forms of a file."""
    for error in errors:
        yield error.message
        yield from _messages(error.context or [])


def _keys(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def test_the_guides_tell_of_every_key() -> None:
    boards = (ROOT / "docs" / "boards.md").read_text()
    parts = [part for name in ("board", "lab") for part in json.loads(schema(name))["$defs"].values()]
    keys = {key for part in parts for key in part.get("properties", {})} | _keys(LabFile)
    assert len(keys) > 25
    assert [key for key in sorted(keys) if f"`{key}`" not in boards] == []
    budgets = (ROOT / "docs" / "budgets.md").read_text()
    assert [key for key in _keys(BudgetFile) | _keys(BudgetEntry) if f"`{key}`" not in budgets] == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["config", "check"], 0, "ok "),
        (["config", "check", "nowhere.yaml"], 4, "nowhere.yaml cannot be read"),
        (["config", "schema", "board"], 0, '"firmware"'),
        (["config", "schema", "lab"], 0, '"places"'),
        (["config", "schema", "bord"], 4, "did you mean 'board'"),
        (["compare", "no-such-run", "last"], 4, "no run 'no-such-run'"),
        (["compare", "--help"], 0, "--threshold PERCENT"),
        (["baseline", "write", "--help"], 0, "lab-config/baseline.json"),
        (["history", "--help"], 0, "--stage"),
        (["config", "--help"], 0, "check"),
    ],
)
def test_the_command_line_has_it(arguments: list[str], code: int, says: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout + done.stderr
