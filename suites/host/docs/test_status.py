"""The status page names tests that exist."""

from __future__ import annotations

import re

from contracts.root import ROOT

SUITES = ROOT / "suites"
STATUS = SUITES.parent / "docs" / "status.md"


def test_every_test_that_the_status_page_names_exists() -> None:
    named = re.findall(r"`((?:host|board|bench)/[\w/.]*)(?:::(\w+))?`", STATUS.read_text())
    assert len(named) > 40
    gone = []
    for path, test in named:
        file = SUITES / path
        if not file.exists() or (test and f"def {test}(" not in file.read_text()):
            gone.append(f"{path}::{test}" if test else path)
    assert not gone, f"named in docs/status.md and not there: {', '.join(gone)}"
