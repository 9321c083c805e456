"""`assay accept`: one Robot process per board type, every verdict as in the table, one merged log, one record."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from contracts.root import ROOT
from harness.boards.registry import select_one
from harness.lease import quarantine
from suites.board.robot.accept_lab import Lab

pytestmark = [
    pytest.mark.board_kinds("qemu-virt"),
    pytest.mark.needs("process"),
    pytest.mark.timeout(300),
]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FAMILY = "A Flood Is Seen And Answered While The Kernel Runs"
VERDICTS = """
*** Settings ***
Resource          lab.resource
Library           {kill}
Suite Setup       Begin
Test Setup        Flash Kernel    release
Suite Teardown    Give Board Back

*** Test Cases ***
Holds
    [Tags]    few
    Offer Extension That    is sound
    Extension Should Be Accepted

Nearly Missed
    Observe Traffic    flood
    Adapt
    Budget Should Hold    deploy

Missed
    Budget Should Hold    verify

Too Few
    [Tags]    few
    Budget Should Hold    generate

Not There
    Budget Should Hold    wasm_call

Loses Its Board
    Kill Board
    Kernel Should Still Answer

Goes On
    Kernel Should Still Answer

*** Keywords ***
Begin
    Lease Board
    Flash Kernel    release
    Warm Up
"""
KILL = """
import os, signal
from robot.libraries.BuiltIn import BuiltIn
def kill_board():
    os.kill(BuiltIn().get_library_instance("Assay").session.board.pid, signal.SIGKILL)
"""
SLOW = """
*** Settings ***
Resource          lab.resource
Suite Setup       Lease Board
Test Setup        Flash Kernel    release
Suite Teardown    Give Board Back

*** Test Cases ***
Answers
    Kernel Should Still Answer

Takes Its Time
    Sleep    60 s

Comes Later
    Kernel Should Still Answer
"""
ONE = """
*** Settings ***
Resource          lab.resource
Suite Setup       Lease Board
Suite Teardown    Give Board Back

*** Test Cases ***
Answers
    Flash Kernel    release
    Kernel Should Still Answer
"""


def _budgets(folder: Path, **limits: float) -> Path:
    """The shipped budgets with other limits, without stretch."""
    text = (ROOT / "lab-config" / "budgets.yaml").read_text()
    for stage, limit in limits.items():
        text, found = re.subn(
            rf"(stage: {stage}, .*?limit: )[^,}}]+(, stretch: [^}}]+)?", rf"\g<1>{limit:.9f}", text
        )
        assert found, "a row a clock"
    path = folder / "budgets.yaml"
    path.write_text(text)
    return path


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended may wait for a while until somebody collects it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.timeout(900)
def test_each_verdict_is_what_the_table_says_and_the_merged_log_names_what_was_tested(
    board_spec: BoardSpec, lab: Lab
) -> None:
    smoke = lab.accept("--board", board_spec.kind, "--include", "smoke")
    assert smoke.code == 0, smoke.text
    assert {row["verdict"] for row in smoke.rows.values()} <= {"pass", "marginal"}
    assert smoke.document["run"]["command"][:2] == ["./assay", "accept"]
    assert not list(smoke.folder.rglob("quiet-*")), "no lock is left behind"
    (kind,) = smoke.merged.suites
    assert kind.name == board_spec.kind
    assert len(kind.suites) == 4
    build_id = smoke.rows[f"{FAMILY}[{board_spec.kind}]"]["build_id"]
    assert kind.metadata["Board"] == board_spec.kind
    assert kind.metadata["Build id"] == build_id
    assert kind.metadata["Place"] in [place.name for place in board_spec.places]
    assert kind.metadata["Seed"] == "1"
    assert re.match(r"[0-9a-f]{40}", kind.metadata["Commit"])
    assert re.search(r"SHA-256 [0-9a-f]{64}", kind.metadata["Model"])
    assert not any("Board" in suite.metadata for suite in kind.suites), "the facts are stated once"
    for name in ("log.html", "report.html", "xunit.xml"):
        assert build_id in (smoke.robot / name).read_text()
    assert (smoke.folder / smoke.rows[f"{FAMILY}[{board_spec.kind}]"]["transcript"]).is_file()
    _opens_in_a_browser(smoke.robot / "log.html", lab.folder)

    # The same seed gives the same figures, so a limit can be set just above one of them.
    rows = {row["name"]: row for row in smoke.rows[f"{FAMILY}[{board_spec.kind}]"]["measurements"]}
    budgets = _budgets(lab.folder, verify=1e-6, deploy=rows["deploy"]["value"] * 1.05)
    (lab.folder / "kill.py").write_text(KILL)
    suite = lab.suite("verdicts.robot", VERDICTS.format(kill=lab.folder / "kill.py"))
    other = type(lab)(lab.folder / "other")
    other.folder.mkdir()
    done = other.accept(suite, "--board", board_spec.kind, "--budgets", budgets)
    assert done.code == 1, done.text
    seen = {name: (test.status, sorted(test.tags)) for name, test in done.tests.items()}
    assert seen == {
        "Holds": ("PASS", ["few"]),
        "Nearly Missed": ("PASS", ["marginal"]),
        "Missed": ("FAIL", []),
        "Too Few": ("SKIP", ["few", "inconclusive"]),
        "Not There": ("SKIP", []),
        "Loses Its Board": ("FAIL", ["infra"]),
        "Goes On": ("PASS", []),
    }
    verdicts = {name.partition("[")[0]: row["verdict"] for name, row in done.rows.items()}
    assert list(verdicts.values()) == ["pass", "marginal", "fail", "inconclusive", "skip", "infra", "pass"]
    lost, next_one = (
        done.rows[f"{name}[{board_spec.kind}]"]["attempts"][0] for name in ("Loses Its Board", "Goes On")
    )
    assert "SIGKILL" in lost["message"] + done.tests["Loses Its Board"].message
    assert lost["place"] != next_one["place"], "the next test takes another place"
    assert "above the limit" in done.text

    third = type(lab)(lab.folder / "third")
    third.folder.mkdir()
    few = third.accept(suite, "--board", board_spec.kind, "--include", "few")
    assert few.code == 76, few.text
    assert few.document["run"]["verdict"] == "inconclusive"


def _opens_in_a_browser(page: Path, folder: Path) -> None:
    if CHROMIUM is None:
        return
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--enable-logging=stderr"]
    flags += [
        "--disable-background-networking",
        "--virtual-time-budget=5000",
        f"--user-data-dir={folder / 'profile'}",
    ]
    seen = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    assert "Refuses What Is Unsafe" in seen.stdout
    assert "CONSOLE" not in seen.stderr, seen.stderr


def test_a_kind_without_a_usable_place_is_infra_and_the_others_go_on(
    board_spec: BoardSpec, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_LEASES", str(lab.folder / "leases"))
    for place in select_one("qemu-rpi3").places:
        quarantine.put(place, "its console says nothing")
    suite = lab.suite("one.robot", ONE)
    done = lab.accept(suite, "--board", board_spec.kind, "--board", "qemu-rpi3")
    assert done.code == 75, done.text
    assert "its console says nothing" in done.text
    assert {kind.name: kind.status for kind in done.merged.suites} == {
        board_spec.kind: "PASS",
        "qemu-rpi3": "FAIL",
    }
    (sick,) = (test for test in done.merged.all_tests if test.status == "FAIL")
    assert "infra" in sick.tags
    assert done.document["run"]["verdict"] == "infra"


def test_an_interrupt_frees_the_board_and_merges_what_there_is(board_spec: BoardSpec, lab: Lab) -> None:
    process = lab.start(lab.suite("slow.robot", SLOW), "--board", board_spec.kind)
    lab.first_verdict(process)
    children = lab.children(process)
    assert any("qemu-system" in line for line in children.values())
    process.send_signal(signal.SIGINT)
    done = lab.finish(process)
    assert done.code == 130, done.text
    assert not any(map(runs, children)), {child: line for child, line in children.items() if runs(child)}
    run = done.document["run"]
    assert (run["interrupted"], run["exit"], run["verdict"]) == (True, 130, "inconclusive")
    assert [row["verdict"] for row in done.document["tests"]] == ["pass", "inconclusive", "inconclusive"]
    assert [test.status for test in done.merged.all_tests] == ["PASS", "FAIL", "FAIL"]


def test_a_robot_that_is_killed_makes_its_kind_infra_with_what_was_seen(
    board_spec: BoardSpec, lab: Lab
) -> None:
    process = lab.start(lab.suite("slow.robot", SLOW), "--board", board_spec.kind)
    lab.first_verdict(process)
    time.sleep(0.5)  # the second test sleeps for a minute
    lab.kill_robot(process)
    done = lab.finish(process)
    assert done.code == 75, done.text
    assert done.rows[f"Answers[{board_spec.kind}]"]["verdict"] == "pass"
    ended = done.rows[f"Robot ends normally[{board_spec.kind}]"]
    assert ended["verdict"] == "infra"
    assert "SIGKILL after 1 of 3 tests, in 'Takes Its Time'" in ended["message"]
    lines = [json.loads(line) for line in (done.folder / "tests.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [row["id"] for row in done.document["tests"]]
    assert done.tests["Answers"].status == "PASS"


def test_a_robot_that_is_stopped_is_given_up_with_a_reason_and_its_board_is_freed(
    board_spec: BoardSpec, lab: Lab
) -> None:
    process = lab.start(lab.suite("slow.robot", SLOW), "--board", board_spec.kind)
    lab.first_verdict(process)
    children = lab.children(process)
    (robot,) = (pid for pid, line in children.items() if " -m robot " in line)
    os.kill(robot, signal.SIGSTOP)
    done = lab.finish(process)
    assert done.code == 75, done.text
    ended = done.rows[f"Robot ends normally[{board_spec.kind}]"]
    assert ended["verdict"] == "infra"
    assert "was stopped from outside (SIGSTOP) for 10 s, in 'Takes Its Time'" in ended["message"]
    assert not any(map(runs, children)), {child: line for child, line in children.items() if runs(child)}


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--board", "qemu-vrit"], "did you mean 'qemu-virt'"),
        (["--include", "smok"], "did you mean 'smoke'"),
        (["--budgets", "/nowhere/budgets.yaml"], "/nowhere/budgets.yaml"),
        (["--model", "/nowhere/model.gguf"], "/nowhere/model.gguf"),
        (["/nowhere/suites"], "/nowhere/suites"),
        (["--lab", "/nowhere/lab.yaml"], "/nowhere/lab.yaml"),
    ],
)
def test_a_wrong_argument_ends_with_4_before_anything_is_leased(
    board_spec: BoardSpec, lab: Lab, arguments: list[str], hint: str
) -> None:
    assert board_spec.kind
    done = lab.accept(*arguments)
    assert done.code == 4, done.text
    assert hint in done.text
    assert "Traceback" not in done.text
    assert not (lab.folder / "leases").exists()
    assert not lab.results.exists()


def test_robot_alone_runs_the_suites_for_who_knows_robot_alone(board_spec: BoardSpec, lab: Lab) -> None:
    command = [sys.executable, "-m", "robot", "--outputdir", str(lab.folder), "--include", "identityANDsmoke"]
    done = subprocess.run(
        [*command, "--variable", f"BOARD:{board_spec.kind}", "robot"],
        cwd=ROOT,
        env=os.environ | {"ASSAY_LEASES": str(lab.folder / "leases")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 test, 1 passed" in done.stdout
