"""Budgets as assertions in a user's tests: the effect of each verdict on the test, its record and its JUnit case."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT
from suites.board.user_session import Lab

pytestmark = pytest.mark.board_kinds("qemu-virt")

JUDGES = """
def test_within(board, budget):
    judged = budget("verify", "virtual").judge([70_000, 50_000])
    assert (judged.verdict, round(judged.value, 6), judged.unit) == ("pass", 0.07, "ms")
def test_near(budget):
    budget("verify").judge([9_500_000], clock="virtual")
def test_above(budget):
    budget("verify", "virtual").judge([1_000_000, 12_500_000])
def test_above_and_caught(budget):
    try:
        budget("verify", "virtual").judge([12_500_000])
    except Exception:
        pass
def test_too_few(budget):
    budget("generate").judge([1e6])
    assert False, "not reached"
def test_stretch(budget):
    assert budget("verify", "virtual").judge([5_000_000]).missed_stretch
def test_without_a_budget(budget):
    assert budget("unseal").judge([1e12], clock="hardware").limit is None
def test_another_clock(board, budget):
    budget("verify").judge([1e3] * 17, clock="hardware")
def test_no_clock(budget):
    budget("verify").judge([1e3])
def test_typo(budget):
    budget("verfy").judge([1])
"""


def test_each_verdict_is_what_the_table_says(board_spec: BoardSpec, lab: Lab) -> None:
    report = lab.folder / "junit.xml"
    done = lab.run(JUDGES, "--board", board_spec.kind, "--junitxml", str(report))
    assert done.code == 1, done.text
    assert {name: row["verdict"] for name, row in done.rows.items()} == {
        "test_within": "pass",
        "test_near": "marginal",
        "test_above": "fail",
        "test_above_and_caught": "fail",
        "test_too_few": "inconclusive",
        "test_stretch": "pass",
        "test_without_a_budget": "pass",
        "test_another_clock": "fail",
        "test_no_clock": "fail",
        "test_typo": "fail",
    }
    assert "1 inconclusive" in done.text
    assert (
        "the virtual clock, on which this test's board measures" in done.rows["test_another_clock"]["message"]
    )
    assert "samples of verify without a clock" in done.rows["test_no_clock"]["message"]
    above = done.rows["test_above"]
    for word in ("p50 1,000 us", "p99 12,500 us", "max 12,500 us", "10,000 us", "2 samples"):
        assert word in above["message"], word
    (figure,) = above["measurements"]
    assert (figure["verdict"], figure["samples_list"]) == ("fail", [1_000_000.0, 12_500_000.0])
    assert "did you mean 'verify'" in done.text
    assert re.search(r"stretch [\d.,]+ us missed", done.text), "a missed stretch is shown"
    cases = {str(case.get("name")).partition("[")[0]: case for case in ET.parse(report).iter("testcase")}
    assert cases["test_above"].find("failure") is not None
    assert cases["test_too_few"].find("skipped") is not None
    properties = {
        name: {str(p.get("name")): str(p.get("value")) for p in case.iter("property")}
        for name, case in cases.items()
    }
    assert properties["test_near"]["verdict"] == "marginal"
    assert properties["test_too_few"]["verdict"] == "inconclusive"
    assert properties["test_within"]["kind"] == board_spec.kind
    assert properties["test_within"]["measurement.verify.virtual"].startswith("70 us")
    assert len(properties["test_within"]["build_id"]) == 40


def test_strict_budgets_fail_what_is_marginal_and_no_stretch(board_spec: BoardSpec, lab: Lab) -> None:
    assert board_spec.kind
    done = lab.run(JUDGES, "-k", "near or stretch", "--strict-budgets")
    assert done.code == 1, done.text
    assert (done.rows["test_near"]["verdict"], done.rows["test_stretch"]["verdict"]) == ("fail", "pass")


def test_a_budget_file_of_ones_own_and_a_session_that_is_only_inconclusive(
    board_spec: BoardSpec, lab: Lab
) -> None:
    assert board_spec.kind
    row = "{stage: verify, stat: max, unit: ms, clock: virtual, min_samples: 3, warmup: 0, limit: 1}"
    (lab.folder / "mine.yaml").write_text(f"schema: 1\nbudgets:\n  - {row}\n")
    done = lab.run(
        JUDGES, "-k", "within or near", "--budgets", str(lab.folder / "mine.yaml"), "--board", "qemu-virt"
    )
    assert done.code == 76, done.text
    assert "3 needed" in done.text


OWN = """
def test_boot(board, budget):
    budget("boot_time").judge([9.0, 1.5, 1.75, 1.25])
def test_slow(budget):
    budget("throughput").judge([1200.0, 900.0])
def test_too_few(budget):
    budget("boot_time").judge([1.0])
def test_name(budget):
    budget("boot_tiem").judge([1.0])
"""
OWN_FILE = """schema: 1
budgets:
  - {name: boot_time, stat: p99, unit: s, clock: host, min_samples: 3, warmup: 1, at_most: 4}
  - {name: throughput, stat: min, unit: packets/s, clock: host, min_samples: 2, warmup: 0, at_least: 1000}
"""


def test_measurements_of_ones_own_are_judged_recorded_compared_and_shown_like_ours(
    board_spec: BoardSpec, lab: Lab
) -> None:
    path = lab.folder / "mine.yaml"
    path.write_text(OWN_FILE)
    done = lab.run(OWN, "--board", board_spec.kind, "--budgets", str(path))
    assert done.code == 1, done.text
    assert {name: row["verdict"] for name, row in done.rows.items()} == {
        "test_boot": "pass",
        "test_slow": "fail",
        "test_too_few": "inconclusive",
        "test_name": "fail",
    }
    (boot,) = done.rows["test_boot"]["measurements"]
    assert (boot["value"], boot["unit"], boot["limit"], boot["direction"]) == (1.75, "s", 4, "at_most")
    assert boot["samples_list"] == [9.0, 1.5, 1.75, 1.25], "in the unit of the file"
    (slow,) = done.rows["test_slow"]["measurements"]
    assert (slow["value"], slow["unit"], slow["direction"]) == (900, "packets/s", "at_least")
    assert "900 of at least 1,000 packets/s: below the limit" in done.rows["test_slow"]["message"]
    assert "did you mean 'boot_time'" in done.rows["test_name"]["message"]
    assert "at least 1,000" in done.text
    worse = OWN.replace("1.5, 1.75, 1.25", "2.5, 2.75, 2.25").replace("1200.0, 900.0", "1700.0, 1600.0")
    again = lab.run(worse, "--board", board_spec.kind, "--budgets", str(path))
    assert again.code == 1, again.text
    told_by: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
        (
            ("compare", *(str(folder) for folder in again.folders if folder.is_dir())),
            ("boot_time", "packets/s", "host medians"),
        ),
        (("history", "--stage", "throughput"), ("1,600", "packets/s")),
        (("history", "--stage", "boot_time"), ("2.8 s",)),
        (("report", "last"), ("report.html",)),
    )
    for command, words in told_by:
        results = () if command[0] == "compare" else ("--results", str(lab.results))
        told = subprocess.run(
            [sys.executable, "-m", "harness.cli", *command, *results],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        for word in words:
            assert word in told.stdout, (command, told.stdout, told.stderr)
    (page,) = (path.read_text() for path in lab.results.glob("*/report.html"))
    for shown in ("throughput", "packets/s", "at least 1,000"):
        assert shown in page, shown
    assert "boot_time" in page[page.index("trend") :], "its trend over sessions is plotted"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("stage: verfy, unit: ms, clock: virtual, limit: 1", "did you mean 'verify'"),
        ("name: boot_time, unit: s, clock: host", "`at_most` or `at_least`"),
    ],
)
def test_a_bad_budget_file_ends_with_4_before_a_board_is_leased(lab: Lab, row: str, says: str) -> None:
    path = lab.folder / "mine.yaml"
    path.write_text(f"schema: 1\nbudgets:\n  - {{{row}, stat: max, min_samples: 1, warmup: 0}}\n")
    done = lab.run(OWN, "--board", "qemu-virt", "--budgets", str(path))
    assert done.code == 4, done.text
    assert f"{path}:3" in done.text
    assert says in done.text
    assert not (lab.folder / "leases").exists(), "nothing was leased"


SEVERAL_ERRORS = """
import pytest
from contracts.errors import InfraError
from harness.pytest_lab.fixtures import Inconclusive

def ends_with(error):
    @pytest.fixture
    def ends():
        yield
        raise error
    return ends

few, broken, lab_lost = (ends_with(error) for error in (Inconclusive("few"), AssertionError("wrong"), InfraError("lost")))

def test_few(few): pass
def test_few_and_wrong(few, broken): pass
def test_few_and_lost(few, lab_lost): pass
def test_lost_and_wrong(lab_lost, broken): pass
"""


def test_the_worst_of_several_errors_in_one_tear_down_is_the_verdict(lab: Lab) -> None:
    done = lab.run(SEVERAL_ERRORS)
    assert {row["id"].rpartition("::")[2]: row["verdict"] for row in done.document["tests"]} == {
        "test_few": "inconclusive",
        "test_few_and_wrong": "fail",
        "test_few_and_lost": "infra",
        "test_lost_and_wrong": "fail",
    }
    assert done.code == 1, done.text
