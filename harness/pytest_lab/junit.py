"""JUnit XML with the lab's verdicts: one case per test, with the verdict of the record, and counts that add up."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from _pytest.junitxml import LogXML, bin_xml_escape, mangle_test_address, xml_key

from contracts.record import CaseRow
from harness.pytest_lab.state import lab_of
from harness.runs.plain import xml_name, xml_text

_ENDS: Final = ("failure", "error", "skipped")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Before pytest writes the file: replace characters that XML cannot hold. pytest escapes values but not names."""
    log = session.config.stash.get(xml_key, None)
    if log is None:
        return
    log.global_properties[:] = [(xml_text(name), value) for name, value in log.global_properties]
    for case in log.node_reporters_ordered:
        element = case.to_xml()
        for part in element.iter():
            part.text = xml_text(part.text) if part.text else part.text
            part.attrib = {xml_name(name): xml_text(value) for name, value in part.attrib.items()}
        case.to_xml = partial(_same, element)  # type: ignore[method-assign] # as pytest does once a case has ended


def _same(element: ET.Element) -> ET.Element:
    return element


def write_again(config: pytest.Config) -> None:
    """Write pytest's file although an earlier hook has failed."""
    log = config.stash.get(xml_key, None)
    if log is not None:
        log.pytest_sessionfinish()


def conform_session(config: pytest.Config) -> None:
    """After pytest has written its file: make it agree with the record."""
    log, record = config.stash.get(xml_key, None), lab_of(config).record
    if log is not None and record is not None and Path(log.logfile).is_file():
        conform(Path(log.logfile), _by_case(log, record.rows))


def _by_case(log: LogXML, rows: Sequence[CaseRow]) -> dict[tuple[str, str], list[CaseRow]]:
    """The record's rows by the name and class that pytest gives a case."""
    out: dict[tuple[str, str], list[CaseRow]] = {}
    for row in rows:
        *classes, name = mangle_test_address(row["id"])
        if log.prefix:
            classes.insert(0, log.prefix)
        out.setdefault((".".join(classes), bin_xml_escape(name)), []).append(row)
    return out


def conform(path: Path, rows: Mapping[tuple[str, str], Sequence[CaseRow]]) -> None:
    """Rewrite the report at `path`: one named case per row, with the element of its verdict, and counts of cases.

    pytest writes `failure` for a failed call and `error` for a failed set-up or tear-down, whatever the cause, a second
    case for a test of which the tear-down also fails, a case without a name for a test that `pytest.exit` ended, and
    counts each of them differently.
    """
    tree = ET.parse(path)  # noqa: S314 - pytest has just written it
    suites = list(tree.iter("testsuite"))
    for suite in suites:
        seen: dict[tuple[str, str], list[ET.Element]] = {}
        for case in suite.findall("testcase"):
            name = case.get("name")
            key = (case.get("classname", ""), name or "")
            cases = seen.setdefault(key, [])
            if name is None:
                suite.remove(case)
            elif key not in rows and all(case.find(end) is None for end in _ENDS):
                suite.remove(case)  # the session ended before this test did
            elif key in rows and len(cases) >= len(rows[key]):
                _take_in(cases[-1], case)
                suite.remove(case)
            else:
                cases.append(case)
        for key, found in rows.items():
            cases = seen.get(key, [])
            missing = found[len(cases) :] if suite is suites[0] else ()
            cases += [_new_case(suite, key, row) for row in missing]
            for case, row in zip(cases, found, strict=False):
                _judge(case, row)
        _count(suite)
    tree.write(path, encoding="utf-8", xml_declaration=True)


def _take_in(case: ET.Element, other: ET.Element) -> None:
    """Merge a second case of the same test into its first."""
    for part in other:
        own = case.find("properties")
        if part.tag == "properties" and own is not None:
            case.remove(own)  # pytest writes what is known at the end of a case: the later ones are complete
        case.append(part)


def _new_case(suite: ET.Element, key: tuple[str, str], row: CaseRow) -> ET.Element:
    classname, name = key
    return ET.SubElement(
        suite, "testcase", {"classname": classname, "name": name, "time": f"{row['duration_s']:.3f}"}
    )


def _judge(case: ET.Element, row: CaseRow) -> None:
    """Make a case show its verdict: a lab fault is an `error` of type `infra`, any other failure a `failure`."""
    verdict = row["verdict"]
    wanted = {"fail": "failure", "infra": "error", "inconclusive": "skipped", "skip": "skipped"}.get(verdict)
    ends = [part for part in case if part.tag in _ENDS]
    if wanted in ("failure", "error"):
        missed = [part for part in ends if part.tag != "skipped"]
        for part in ends:
            if part.tag == "skipped":
                case.remove(part)
        if not missed:
            missed = [ET.SubElement(case, wanted, {"message": xml_text(row["message"])})]
        for part in missed:
            part.tag = wanted
            if verdict == "infra":
                part.set("type", "infra")
    elif wanted == "skipped" and not ends:
        ET.SubElement(case, wanted, {"message": xml_text(row["message"])})


def _count(suite: ET.Element) -> None:
    """Count each case once, by its worst element."""
    cases = suite.findall("testcase")
    ended = [next((end for end in _ENDS if case.find(end) is not None), "") for case in cases]
    suite.set("tests", str(len(cases)))
    for end, counter in zip(_ENDS, ("failures", "errors", "skipped"), strict=True):
        suite.set(counter, str(ended.count(end)))
