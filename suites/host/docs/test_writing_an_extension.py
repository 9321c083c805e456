"""docs/writing-an-extension.md, typed from top to bottom: each file compiles, each command prints what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.root import ROOT

PAGE = ROOT / "docs" / "writing-an-extension.md"
_FILE = re.compile(r"^`([\w.]+)`:\n\n((?:    .*\n|\n)+)", re.MULTILINE)
_COMMANDS = re.compile(r"^((?:    \./assay [^\n]*\n)+)(?:\n```text\n(.*?)```)?", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    """The page's files by name. A block ends before the commands that follow it."""
    found = {}
    for name, block in _FILE.findall(PAGE.read_text()):
        lines = [line[4:] for line in block.splitlines()]
        ends = [at for at, line in enumerate(lines) if line.startswith("./assay ")]
        found[name] = "\n".join(lines[: ends[0] if ends else None]).rstrip() + "\n"
    return found


def commands() -> Iterator[tuple[list[str], str]]:
    """Each command of the page, as words, with the output that the page shows of it (empty: none shown)."""
    for block, shown in _COMMANDS.findall(PAGE.read_text()):
        *first, last = [line.split()[1:] for line in block.splitlines()]
        yield from ((words, "") for words in first)
        yield last, shown


SHOWN = {
    "disasm count.c --a64": "ldr ",
    "run count.c": "XDP_PASS (r0 = 2)",
    "up qemu-virt": "is up",
    "load count.c": "committed",
    "maps per_source": "{.packets = ",
    "list": "count",
    "load libbpf.c": "deployed as generation",
    "trace": "type 800",
    "rollback": "rolled back in",
    "down": "is down",
}
"""What commands have to print of which the page shows no output, by words of them."""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """That of a new terminal, with leases of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ASSAY_"))}
    return kept | {"ASSAY_LEASES": str(tmp_path / "leases"), "COLUMNS": "160", "PYTHONPATH": str(ROOT)}


@pytest.mark.timeout(300)  # twenty commands of a second each, on a machine that does other things as well
def test_the_page_is_typed_from_top_to_bottom(tmp_path: Path, environment: dict[str, str]) -> None:
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    typed, due = list(commands()), dict(SHOWN)
    try:
        for words, shown in typed:
            code, printed = _type(words, tmp_path, environment)
            assert code == (1 if "null.c" in words else 0), printed
            assert printed
            if shown:
                assert printed == shown, f"the page shows other output of {' '.join(words)}:\n{printed}"
            for key in [key for key in due if key in " ".join(words)]:
                assert due.pop(key) in printed, f"{' '.join(words)}\n{printed}"
    finally:
        _type(["down", "qemu-virt"], tmp_path, environment)
    assert not due, f"the page types none of {', '.join(due)}"
    assert {word for words, _ in typed for word in words if word.endswith(".c")} == {
        name for name in files() if name.endswith(".c")
    }, "every program of the page is verified"


def _type(words: list[str], folder: Path, environment: dict[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness.cli", *words],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_the_usual_reasons_are_those_that_the_verifier_gives() -> None:
    """Each reason's words, without its numbers and what stands in parentheses, come out of the verifier's sources."""
    table = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(table) >= 10
    sources = " ".join(path.read_text() for path in sorted((ROOT / "firmware" / "bpf").glob("*.c")))
    sources = re.sub(r'"\s*"', "", sources)
    for reason in table:
        words = re.split(
            r"r10-7|r0 is the context pointer|\b200000\b|\b14\b|bytes 0 to 255 of 16|on the stack", reason
        )
        for part in words:
            assert part.strip() in sources, f"{part!r} of {reason!r} is not the verifier's"
