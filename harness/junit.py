"""JUnit XML in the lab's own terms: a fault of the lab is an `error` of type `infra`, not a failure of the kernel."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path


def mark_infra(path: Path) -> int:
    """Rewrite the report at `path`: every failed case with the property `verdict` = `infra`. Returns how many."""
    tree = ET.parse(path)  # noqa: S314
    marked = 0
    for suite in tree.iter("testsuite"):
        for case in suite.iter("testcase"):
            if case.find("properties/property[@name='verdict'][@value='infra']") is None:
                continue
            for failure in case.findall("failure"):
                failure.tag = "error"
                _move(suite, "failures", "errors")
            for error in case.findall("error"):
                error.set("type", "infra")
                marked += 1
    if marked:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    return marked


def _move(suite: ET.Element, source: str, target: str) -> None:
    suite.set(source, str(int(suite.get(source, "0")) - 1))
    suite.set(target, str(int(suite.get(target, "0")) + 1))
