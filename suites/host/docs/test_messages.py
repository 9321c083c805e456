"""docs/troubleshooting.md shows messages: each line is one that the sources can really print."""

from __future__ import annotations

import ast
import functools
import re

import pytest
from pages import ROOT

PAGE = ROOT / "docs" / "troubleshooting.md"
SOURCES = ("contracts", "harness", "targets", "ai")
LEAST_LETTERS = 10
_LABEL = re.compile(r"^(?:assay: |bench \w+: |ERROR: |E  +\S+: )?\s*(?:expected: |seen: |do: )?")


def shown() -> list[str]:
    """The lines of the page's fenced blocks, which hold messages alone."""
    blocks = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@functools.cache
def templates() -> tuple[re.Pattern[str], ...]:
    """Every text of the sources that could be a message; what is filled in at run time matches anything."""
    found = []
    for top in SOURCES:
        for file in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                parts = [node] if isinstance(node, ast.Constant) else getattr(node, "values", [])
                if not isinstance(node, ast.Constant | ast.JoinedStr):
                    continue
                texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
                if not all(isinstance(text, str | None) for text in texts):
                    continue
                letters = sum(map(str.isalpha, "".join(text or "" for text in texts)))
                if letters >= LEAST_LETTERS:
                    found.append(re.compile("".join(".*" if t is None else re.escape(t) for t in texts)))
    return tuple(found)


def is_printed(line: str) -> bool:
    message = line[_LABEL.match(line).end() :]  # type: ignore[union-attr]
    return any(template.fullmatch(message) for template in templates())


def test_the_page_has_messages() -> None:
    assert len(shown()) > 20


@pytest.mark.parametrize("line", shown() if PAGE.exists() else [], ids=lambda line: line.strip()[:60])
def test_every_line_of_a_message_is_one_that_the_sources_print(line: str) -> None:
    # `seen:` is what an operating system or a board said.
    assert line.lstrip().startswith("seen: ") or is_printed(line)


def test_a_message_that_nobody_prints_is_caught() -> None:
    assert is_printed("assay: no run 'x' in results") or is_printed("assay: no board matches 'qemu-vrit'")
    assert not is_printed("assay: the board is on fire")
