"""The parts of the documentation pages: code, links, anchors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from contracts.root import ROOT

PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE: Final = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_INDENTED: Final = re.compile(r"(?:^|\n\n)((?:    .*(?:\n|$)|\n+(?=    ))+)")


def code_lines(text: str) -> Iterator[str]:
    """Every line of the blocks of code (fenced, or indented by four after a blank line), then the inline code."""
    for block in _FENCE.findall(text):
        yield from block.splitlines()[1:-1]
    rest = _FENCE.sub("", text)
    for block in _INDENTED.findall(rest):
        yield from (line[4:] for line in block.splitlines())
    yield from re.findall(r"`([^`\n]+)`", rest)


def blocks(text: str) -> list[str]:
    """The indented blocks of code, without their indent."""
    return [
        "\n".join(line[4:] for line in block.splitlines())
        for block in _INDENTED.findall(_FENCE.sub("", text))
    ]


def links(text: str) -> list[str]:
    """Targets of the Markdown links outside of code."""
    plain = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", text))
    return re.findall(r"\]\(([^)\s]+)\)", plain)


def anchors(text: str) -> set[str]:
    """The anchors that a forge generates from a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
