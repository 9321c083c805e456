"""JUnit XML in the lab's own terms: a fault of the lab is an `error` of type `infra`, any other miss a `failure`."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path


def conform(path: Path) -> int:
    """Rewrite the report at `path` so that each case is what its property `verdict` says. Returns how many changed.

    pytest writes `failure` for what ends the call and `error` for what ends set-up or tear-down, whoever's fault.
    """
    tree = ET.parse(path)  # noqa: S314
    changed = 0
    for suite in tree.iter("testsuite"):
        for case in suite.iter("testcase"):
            if _is(case, "infra"):
                changed += _turn(suite, case, "failure", "error")
                for error in case.findall("error"):
                    error.set("type", "infra")
                    changed += 1
            elif _is(case, "fail"):
                changed += _turn(suite, case, "error", "failure")
    if changed:
        tree.write(path, encoding="utf-8", xml_declaration=True)
    return changed


def _is(case: ET.Element, verdict: str) -> bool:
    return case.find(f"properties/property[@name='verdict'][@value='{verdict}']") is not None


def _turn(suite: ET.Element, case: ET.Element, source: str, target: str) -> int:
    found = case.findall(source)
    for element in found:
        element.tag = target
        _add(suite, f"{source}s", -1)
        _add(suite, f"{target}s", 1)
    return len(found)


def _add(suite: ET.Element, counter: str, number: int) -> None:
    suite.set(counter, str(int(suite.get(counter, "0")) + number))
