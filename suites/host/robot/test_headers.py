"""The merged log opens with what failed, and each fact of a board stands in it once."""

from __future__ import annotations

from pathlib import Path

from robot.api import ExecutionResult

from harness.robot.merge import infra_row, merge, write_output

FACTS = {"Board": "qemu-virt", "Place": "qemu-virt-0", "Build id": "ab" * 20}


def test_the_merged_log_names_what_failed_on_top_and_has_a_header_for_each_suite(tmp_path: Path) -> None:
    outputs = []
    for kind, verdict, message in (
        ("qemu-virt", "fail", "expected 1, seen 2\nmore"),
        ("qemu-rpi4", "pass", ""),
    ):
        row = infra_row(kind, "Kernel Should Still Answer", message)
        row["verdict"], row["message"] = verdict, message
        outputs.append(tmp_path / f"{kind}.xml")
        write_output(outputs[-1], kind, [row], FACTS | {"Board": kind})
    merge(tmp_path, outputs, {"Run": "one"})
    top = ExecutionResult(tmp_path / "output.xml").suite
    assert top.doc.splitlines()[0] == "2 tests on 2 boards: 1 pass, 1 fail."
    assert "*fail* qemu-virt.Kernel Should Still Answer: expected 1, seen 2" in top.doc
    assert [suite.doc for suite in top.suites] == ["1 fail.", "1 pass."]
    assert (tmp_path / "xunit.xml").is_file()


def test_a_boards_facts_stand_in_the_log_once(tmp_path: Path) -> None:
    from robot.result import Result, TestSuite

    kind = TestSuite(name="qemu-virt", metadata=FACTS)
    for name in ("Adapts", "Refuses"):
        suite = kind.suites.create(name=name, metadata=FACTS, doc="What it shows.")
        suite.tests.create(name="One", status="PASS")
    output = tmp_path / "qemu-virt.xml"
    Result(suite=kind).save(output)
    merge(tmp_path, [output], {})
    text = (tmp_path / "output.xml").read_text()
    assert text.count("ab" * 20) == 1
    merged = ExecutionResult(tmp_path / "output.xml").suite.suites[0]
    assert [suite.doc for suite in merged.suites] == ["What it shows.\n\n1 pass."] * 2
    assert merged.doc == "2 pass."
