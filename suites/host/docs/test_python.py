"""Python code in the guides imports only from `assay_lab`, and only existing names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from contracts.root import ROOT
from suites.host.docs.pages import PAGES, code_lines

OURS: Final = ("ai", "contracts", "harness", "targets")
GUIDES: Final = [
    page for page in PAGES if page.parent.name != "decisions"
]  # these pages describe the lab's internals
SUITES: Final = sorted((ROOT / "robot").iterdir())
_FROM: Final = re.compile(r"^\s*from ([\w.]+) import (\([^)]*\)|[^#\n]*)", re.MULTILINE)
_IMPORT: Final = re.compile(r"^\s*import ([\w.]+(?:, *[\w.]+)*)", re.MULTILINE)
_LIBRARY: Final = re.compile(r"^\s*Library\s+(\w+(?:\.\w+)+)|robot\.libdoc (\w+(?:\.\w+)+)", re.MULTILINE)


def wrong_imports(lines: Iterable[str]) -> list[str]:
    """Names in code that are not for suites: the lab's own modules, and names that `assay_lab` does not have."""
    text = "\n".join(lines)
    modules = [name for names in _IMPORT.findall(text) for name in re.split(", *", names)]
    asked = [(module, "") for module in modules]
    asked += [
        (module, name.split()[0])
        for module, names in _FROM.findall(text)
        for name in re.split(r"[\s,]*,[\s]*", names.strip("() \n,"))
    ]
    libraries = [first or second for first, second in _LIBRARY.findall(text)]
    asked += [(name.rpartition(".")[0], name.rpartition(".")[2]) for name in libraries]
    return [wrong for module, name in asked if (wrong := _wrong(module, name))]


def _wrong(module: str, name: str) -> str:
    root = module.partition(".")[0]
    if root in OURS:
        return f"{module} is not for suites"
    if root == "assay_lab" and name and not hasattr(importlib.import_module(module), name):
        return f"{module} has no {name}"
    return ""


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_guide_imports_from_the_facade_alone(page: Path) -> None:
    assert wrong_imports(code_lines(page.read_text())) == []


@pytest.mark.parametrize("file", SUITES, ids=lambda file: str(file.name))
def test_an_acceptance_suite_names_the_library_by_the_facade(file: Path) -> None:
    assert wrong_imports(file.read_text().splitlines()) == []


def test_the_guides_show_imports_at_all() -> None:
    shown = [name for page in GUIDES for name, _ in _FROM.findall("\n".join(code_lines(page.read_text())))]
    assert shown.count("assay_lab") >= 2


def test_what_is_not_for_suites_is_caught() -> None:
    page = """Code:

    from harness.boards.board import Board
    from assay_lab import (
        Board,
        Bord as Other,
    )
    import json, targets.drivers
    from pathlib import Path

And `from assay_lab.drivers import Optoins`.

    Library    harness.robot.library.AssayLibrary    board=x
    Library    assay_lab.robot.AssayLibrary
"""
    assert sorted(wrong_imports(code_lines(page))) == [
        "assay_lab has no Bord",
        "assay_lab.drivers has no Optoins",
        "harness.boards.board is not for suites",
        "harness.robot.library is not for suites",
        "targets.drivers is not for suites",
    ]
