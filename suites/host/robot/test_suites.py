"""The Robot library is documented, and the suites use only its keywords."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from robot.libdocpkg import LibraryDocumentation

from contracts.root import ROOT

LIBRARY = "assay_lab.robot.AssayLibrary"


def test_every_keyword_is_documented_and_its_arguments_have_types() -> None:
    library = LibraryDocumentation(LIBRARY)
    assert len(library.keywords) > 15
    for keyword in library.keywords:
        assert keyword.doc, keyword.name
        assert all(argument.type is not None for argument in keyword.args), keyword.name


def test_libdoc_makes_a_page_of_it(tmp_path: Path) -> None:
    page = tmp_path / "keywords.html"
    done = subprocess.run(
        [sys.executable, "-m", "robot.libdoc", LIBRARY, str(page)],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Rollback Should Happen" in page.read_text()


def test_every_keyword_of_the_suites_exists_and_takes_what_it_is_given(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "robot", "--dryrun", "--outputdir", str(tmp_path), "robot"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 failed" in done.stdout


def test_the_guide_tells_of_every_keyword() -> None:
    guide = (ROOT / "docs" / "acceptance.md").read_text()
    missing = [
        keyword.name
        for keyword in LibraryDocumentation(LIBRARY).keywords
        if not re.search(rf"`{keyword.name}\b", guide)
    ]
    assert not missing
