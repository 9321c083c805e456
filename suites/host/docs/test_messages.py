"""docs/troubleshooting.md: the sources can print each message on the page."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.root import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = ("contracts", "harness", "targets", "ai")
LEAST_LETTERS = 10
FILLED = "\0"  # placeholder for a value at run time
_LABEL = re.compile(r"^(?:assay: |bench \w+: |ERROR: |E  +\S+: )?\s*(?:expected: |seen: |do: )?")


def shown() -> list[str]:
    """The lines of the page's fenced blocks, which contain only messages."""
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@functools.cache
def templates() -> tuple[re.Pattern[str], ...]:
    """Every line of every text of the sources; placeholders match anything."""
    files = [file for top in SOURCES for file in (ROOT / top).rglob("*.py")]
    lines = [line for file in files for text in texts(file) for line in text.splitlines()]
    return tuple(
        re.compile(re.escape(line).replace(re.escape(FILLED), ".*"))
        for line in lines
        if sum(map(str.isalpha, line)) >= LEAST_LETTERS
    )


def texts(file: Path) -> Iterator[str]:
    """A file's strings, with FILLED for the placeholders of f-strings."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else FILLED for part in node.values
            )


def is_printed(line: str) -> bool:
    message = line[_LABEL.match(line).end() :]  # type: ignore[union-attr]
    return any(template.fullmatch(message) for template in templates())


def test_the_page_has_messages() -> None:
    assert len(shown()) > 20


@pytest.mark.parametrize("line", shown() if PAGE.exists() else [], ids=lambda line: line.strip()[:60])
def test_every_line_of_a_message_is_one_that_the_sources_print(line: str) -> None:
    # The text after `seen:` comes from an operating system or a board.
    assert line.lstrip().startswith("seen: ") or is_printed(line)


def test_a_message_that_nobody_prints_is_caught() -> None:
    assert is_printed("assay: no run 'x' in results") or is_printed("assay: no board matches 'qemu-vrit'")
    assert not is_printed("assay: the board is on fire")
