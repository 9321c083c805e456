"""YAML, keys and images that are damaged or hostile: exit 4 with file and place, soon, from every command that reads one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.errors import ConfigError
from contracts.root import ROOT
from harness.boards.registry import BOARDS, load_boards, select
from harness.checks.config_files import check_file
from harness.cli import app as cli
from harness.config.keys import DEVELOPMENT_KEY
from harness.config.strict import every_error, load_yaml
from harness.judge.budgets import DEFAULT_BUDGETS, BudgetFile
from harness.kernel.golden import GOLDEN, golden_image

SECONDS: Final = 10.0
DEEP: Final = 10_000
MANY: Final = 60_000


def laughs(inner: str) -> str:
    """Twelve lists, each of ten of the one before."""
    lines = ["a0: &a0 [x]"]
    for number in range(1, 12):
        before = ",".join([f"*a{number - 1}"] * 10)
        lines.append(f"a{number}: &a{number} {inner.format(before)}")
    return "\n".join(lines)


# Text, and the place at which it must be refused ("" where the whole file is).
TEXTS: Final[dict[str, tuple[str, str]]] = {
    "lists in lists": ("[" * DEEP + "]" * DEEP, ":1:129"),
    "objects in objects": ("{a: " * DEEP, ":1:513"),
    "lists in lists on a line": ("- " * DEEP + "x", ":1:65"),
    "keys of keys": ("? " * DEEP, ":1:65"),
    "objects in objects by indentation": ("\n".join(" " * n + "a:" for n in range(400)), ":32:32"),
    "a list in itself": ("schema: &x [*x]", ":1:13"),
    "an object in itself": ("&x\nschema: 1\nbudgets: *x", ":3:10"),
    "an object merged into itself": ("a: &x\n  <<: *x", ":2:7"),
    "billion laughs": (laughs("[{}]"), ":5:"),
    "billion merged laughs": (laughs("{{<<: [{}]}}"), ":5:"),
    "a number of 20,000 digits": ("schema: " + "9" * 20_000, ":1:9"),
    "a number of 20,000 hex digits": ("schema: 0x" + "f" * 20_000, ":1:9"),
    "a number of 100 bits": ("schema: 1267650600228229401496703205376", ":1:9"),
    "a number beyond a float": ("schema: 1e999", ":1:9"),
    "infinity": ("schema: .inf", ":1:9"),
    "no number": ("schema: .NaN", ":1:9"),
    "a day that is none": ("schema: 2001-99-99", ":1:9"),
    "bytes": ("schema: !!binary xx", ":1:9"),
    "a Python object": ("schema: !!python/object/apply:os.system [ls]", ":1:9"),
    "a tag of its own": ("schema: !foo bar", ":1:9"),
    "no boolean": ("schema: !!bool nope", ":1:9"),
    "a list as an object": ("schema: !!map [a]", ":1:9"),
    "NUL": ("schema: \0", ":1:9"),
    "two documents": ("a: 1\n---\nb: 2", ":2:1"),
    "another YAML": ("%YAML 9.9\n---\na: 1", ":1:1"),
    "an alias of nothing": ("a: *nope", ":1:4"),
    "a key twice": ("schema: 1\nschema: 1", ":2:1"),
    "a list as a key": ("? [a, b]\n: 1", ":1:1"),
    "a long key": ("k" * 100_000 + ": 1", ":1:"),
    "many keys": ("\n".join(f"k{n}: 1" for n in range(4_500)), ":1:1"),
    "many mistakes": ("schema: 1\nbudgets:\n" + "  - {}\n" * 4_500, ":3:5"),
    "a text that does not end": ('a: "' + "x" * 100_000, ":1:"),
    "no character": ('schema: "\\UFFFFFFFF"', ":1:"),
    "too much": ("# comment\n" * 20_000, ""),
    "nothing": ("", ""),
    "a text": ("hello", ""),
    "brackets of both kinds": ("[{" * DEEP, ":1:129"),
    "ampersands": ("&" * 100_000, ""),
    "exclamation marks": ("!" * 100_000, ":1:"),
    "colons": (": " * MANY, ":1:"),
    "spaces": (" " * 120_000, ""),
    "aliases": ("a: &a x\nb: [" + "*a," * 30_000 + "]", ":2:"),
}


def enormous(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


FILES: Final[dict[str, Callable[[Path], Any]]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a file of a tebibyte": enormous,
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "nothing at all": Path.absolute,
}

# Beside these, `config check FILE` reads every kind; a place that takes a file is `{}`.
COMMANDS: Final = {
    "budgets.yaml": (
        ("config", "check", "{}"),
        ("run", "--board", "qemu-virt", "--budgets", "{}"),
        ("accept", "--board", "qemu-virt", "--budgets", "{}"),
    ),
    "lab.yaml": (
        ("config", "check", "{}"),
        ("boards", "--lab", "{}"),
        ("boards", "check", "--lab", "{}"),
        ("build", "--lab", "{}"),
        ("console", "qemu-virt", "--lab", "{}"),
        ("run", "--lab", "{}"),
        ("accept", "--lab", "{}"),
    ),
    "qemu-bad.yaml": (("config", "check", "{}"),),
    "golden.yaml": (("config", "check", "{}"),),
    "bad.key": (
        ("config", "check", "{}"),
        ("run", "--board", "qemu-virt", "--key", "{}"),
        ("accept", "--board", "qemu-virt", "--key", "{}"),
    ),
}
CASES: Final = [(name, command) for name, commands in COMMANDS.items() for command in commands]


@pytest.fixture
def assay(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """The command line, in this process; a traceback that a user would see fails the test."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["assay", *arguments])
        began = time.monotonic()
        code = cli.main()
        assert time.monotonic() - began < SECONDS, arguments
        said = capsys.readouterr()
        return code, (said.out + said.err).replace("\n", "")

    return call


@pytest.mark.parametrize("kind", TEXTS)
def test_a_hostile_text_is_refused_with_its_place_soon(tmp_path: Path, kind: str) -> None:
    text, place = TEXTS[kind]
    path = tmp_path / "hostile.yaml"
    path.write_text(text)
    began = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        load_yaml(path, BudgetFile)
    errors = every_error(path, BudgetFile)
    assert time.monotonic() - began < SECONDS
    assert caught.value.what.startswith(f"{path}{place}")
    assert errors
    assert all(len(str(error)) < 2_000 for error in (caught.value, *errors))


@pytest.mark.parametrize(("name", "command"), CASES, ids=[f"{name}-{command[0]}" for name, command in CASES])
def test_every_command_that_reads_a_file_refuses_a_hostile_one(
    tmp_path: Path, assay: Callable[..., tuple[int, str]], name: str, command: tuple[str, ...]
) -> None:
    kinds: list[str | Callable[[Path], Any]] = [
        *FILES.values(),
        "billion laughs",
        "lists in lists",
        "a list in itself",
    ]
    for number, kind in enumerate([*kinds, "a number of 20,000 digits", "too much", "nothing", "a text"]):
        path = tmp_path / str(number) / name
        path.parent.mkdir()
        if isinstance(kind, str):
            path.write_text(TEXTS[kind][0])
        else:
            kind(path)
        code, text = assay(*(part.format(path) for part in command))
        assert code == 4, (kind, text)
        assert str(path) in text or str(path.resolve()) in text


@pytest.mark.parametrize("kind", [*FILES, "billion laughs", "lists in lists", "a number of 20,000 digits"])
def test_a_bad_board_file_beside_good_ones_is_named(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "boards"
    shutil.copytree(BOARDS, folder)
    assert select(["qemu-virt"], folder, lab=[])
    bad = folder / "qemu-bad.yaml"
    if kind in TEXTS:
        bad.write_text(TEXTS[kind][0])
    else:
        FILES[kind](bad)
    if not os.path.lexists(bad):
        return
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"qemu-bad\.yaml"):
        load_boards(folder, lab=[])
    assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize("kind", FILES)
def test_a_golden_image_that_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    (spec,) = select(["qemu-virt"], lab=[])
    folder = tmp_path / "golden"
    shutil.copytree(GOLDEN, folder)
    (elf,) = folder.glob(f"{spec.firmware}*.elf")
    assert golden_image(spec, folder).size > 0
    elf.unlink()
    FILES[kind](elf)
    with pytest.raises(ConfigError, match=re.escape(elf.name)):
        golden_image(spec, folder)


@pytest.mark.parametrize("option", ["--lab", "--budgets"])
@pytest.mark.parametrize("kind", ["a pipe", "a device", "billion laughs"])
def test_pytest_refuses_a_hostile_file_before_it_collects(tmp_path: Path, option: str, kind: str) -> None:
    path = tmp_path / "hostile.yaml"
    if kind in TEXTS:
        path.write_text(TEXTS[kind][0])
    else:
        FILES[kind](path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_inner.py").write_text("raise SystemExit(77)  # never collected\n")
    command = [sys.executable, "-m", "pytest", "-q"]
    done = subprocess.run(
        [*command, "--board", "qemu-virt", option, str(path), str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stdout + done.stderr
    assert str(path) in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_anchors_and_merge_keys_of_a_moderate_file_are_taken(tmp_path: Path) -> None:
    path = tmp_path / "budgets.yaml"
    path.write_text(
        "schema: 1\nbudgets:\n"
        "  - &row {stage: verify, stat: max, unit: ms, clock: virtual, min_samples: 1, warmup: 0, limit: 10}\n"
        "  - {<<: *row, stage: jit}\n"
    )
    assert [row.stage for row in load_yaml(path, BudgetFile).budgets] == ["verify", "jit"]


@settings(max_examples=200)
@given(st.data())
def test_no_change_of_a_budget_file_or_a_key_is_worth_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    source, read = data.draw(st.sampled_from([(DEFAULT_BUDGETS, every_error), (DEVELOPMENT_KEY, None)]))
    content = bytearray(source.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        piece = data.draw(
            st.sampled_from(
                [b"", b"[", b"{", b"&a ", b"*a", b"\xff", b"\0", b"- ", b": ", b"!!", b"\t", b"%"]
            )
        )
        content[at : at + data.draw(st.integers(0, 20))] = piece
    path = tmp_path_factory.getbasetemp() / "budgets-changed.yaml"
    path.write_bytes(content)
    if read is not None:
        assert all(str(path) in error.what for error in read(path, BudgetFile))
        return
    errors = check_file(path.rename(path.with_suffix(".key")))
    assert all("budgets-changed.key" in error.what for error in errors)
