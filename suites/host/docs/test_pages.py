"""The guides: no dead links, no commands that do not exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.root import ROOT
from suites.host.docs.commands import commands, wrong_commands
from suites.host.docs.pages import PAGES, anchors, code_lines, links

README_LINES = 50
README_WIDTH = 120


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in links(page.read_text()):
        if re.match(r"\w+://", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(target.read_text()), (
                f"{link}: no such heading, only {anchors(target.read_text())}"
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_a_page_exists_with_its_options(page: Path) -> None:
    assert wrong_commands(list(code_lines(page.read_text()))) == []


def test_every_guide_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    due = [ROOT / "README.md"]
    while due:
        page = due.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            due += [(page.parent / link.partition("#")[0]).resolve() for link in links(page.read_text())]
    assert set(PAGES) <= seen, f"linked from nowhere: {set(PAGES) - seen}"


def test_the_readme_is_one_screen() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= README_LINES
    assert max(map(len, lines)) <= README_WIDTH


def test_a_page_that_names_something_wrong_is_caught() -> None:
    text = "Type `./assay rnu`:\n\n    .venv/bin/pytest --bord=x suites/nowhere    # why\n    ./assay run --sede 7 && ./assay report\n"
    wrong = wrong_commands(list(code_lines(text)))
    assert [line.rpartition(": ")[2].split(",")[0] for line in wrong] == [
        "pytest has no option --bord", "no file suites/nowhere", "no option --sede", "no command 'rnu'",
    ]  # fmt: skip
    assert commands("cd x && ./assay run --seed 7 | tee log") == [["./assay", "run", "--seed", "7"]]
    assert anchors("## Budgets & *verdicts*: `a_b`") == {"budgets--verdicts-a_b"}
