"""docs/api.md is what the docstrings say, of every name that suites import."""

from __future__ import annotations

import re

import assay_lab
import assay_lab.drivers
import assay_lab.robot
from suites.host.docs.api_page import PAGE, page

DO = "make it again: .venv/bin/python -m suites.host.docs.api_page"


def test_the_page_of_the_api_is_what_the_docstrings_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), DO


def test_every_name_has_an_entry_and_nothing_of_this_machine_is_in_it() -> None:
    text = page()
    headings = set(re.findall(r"^### (\w+)$", text, re.MULTILINE))
    assert headings == {
        *assay_lab.__all__, *assay_lab.drivers.__all__, *assay_lab.robot.__all__,
    }  # fmt: skip
    assert not re.search(r"0x[0-9a-f]{8,}>|/tmp/|/home/|/root/", text)
