"""The pytest plugin in a user's own tests: verdicts, exit codes, and boards that survive a test's damage."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from contracts.board import BoardSpec
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

DIES = """
import pytest
from contracts.errors import KernelFault
from contracts.wire.live import Provocation
def test_hurts_its_kernel(testing_board):
    testing_board.client.provoke(Provocation.DATA_ABORT)
def test_hurts_it_and_says_nothing(testing_board):
    with pytest.raises(KernelFault):
        testing_board.client.provoke(Provocation.DATA_ABORT)
def test_finds_another(testing_board):
    assert testing_board.client.echo(b"hi") == b"hi"
"""
ORDER = """
seen = []
def test_fresh(fresh_board): seen.append((fresh_board.image.build_id, fresh_board.pid))
def test_one(board): seen.append((board.image.build_id, board.pid))
def test_testing(testing_board): seen.append((testing_board.image.build_id, testing_board.pid))
def test_two(board): seen.append((board.image.build_id, board.pid))
def test_host(): seen.append(None)
def test_testing_again(testing_board): seen.append((testing_board.image.build_id, testing_board.pid))
def test_leased(lease, board_spec):
    assert lease.place.name == "qemu-virt-0"
    host, one, two, testing, again, fresh = seen
    assert host is None
    assert one == two, "one board for both, on all the time"
    assert testing == again != one
    assert fresh[0] == testing[0] and fresh[1] != testing[1], "the same kernel, powered on for it"
"""
PAIR = """
def test_pair(board_pair):
    one, other = board_pair
    assert one.lease.place.name != other.lease.place.name
    assert one.client.echo(b"one") == b"one" and other.client.echo(b"other") == b"other"
"""
MARKS = """
import pytest
@pytest.mark.needs("process", "exact")
def test_can(board): assert board.pid
@pytest.mark.board_kinds("rpi*")
def test_elsewhere(board): assert False
"""


def test_a_kernel_that_dies_fails_its_test_with_its_registers_even_if_the_test_does_not_mind(
    board_spec: BoardSpec, lab: Lab
) -> None:
    done = lab.run(DIES, "--board", board_spec.kind, "--junitxml", str(lab.folder / "junit.xml"))
    assert done.code == 1, done.text
    assert "1 failed, 2 passed, 1 error" in done.text
    assert "ESR_EL1" in done.text
    assert "board qemu-virt: crash" in done.text
    hurt, silent, after = (
        done.rows[name]
        for name in ("test_hurts_its_kernel", "test_hurts_it_and_says_nothing", "test_finds_another")
    )
    assert (hurt["verdict"], silent["verdict"], after["verdict"]) == ("fail", "fail", "pass")
    crash = dict(map(tuple, hurt["sections"]))["board qemu-virt: crash"]
    assert "ELR_EL1" in crash
    assert "PROVOKE" in (done.folder / hurt["transcript"]).read_text()
    assert "last frames" in done.text
    (suite,) = ET.parse(lab.folder / "junit.xml").iter("testsuite")
    assert (suite.get("failures"), suite.get("errors")) == ("2", "0"), (
        "a dead kernel is a failure in any phase"
    )


def test_boards_are_reopened_as_rarely_as_the_tests_allow(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(ORDER, "--board", board_spec.kind)
    assert done.code == 0, done.text
    assert [row["attempts"][0]["place"] for row in done.document["tests"] if row["attempts"]] == [
        "qemu-virt-0"
    ] * 6


def test_a_pair_is_two_boards_of_one_kind(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(PAIR, "--board", board_spec.kind)
    assert done.code == 0, done.text


def test_marks_choose_kinds_and_capabilities(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run(MARKS, "--board", board_spec.kind)
    assert done.code == 0, done.text
    assert "1 passed, 1 skipped" in done.text
    assert "needs rpi*, which `--board` did not select" in done.rows["test_elsewhere"]["message"]


def test_a_usage_error_is_told_once_and_blames_no_test_for_having_no_verdict(
    board_spec: BoardSpec, lab: Lab
) -> None:
    text = "def test_one(board): pass\ndef test_two(board, testing_board): pass"
    done = lab.run(text, "--board", board_spec.kind)
    assert done.code == 4, done.text
    assert done.text.count("more than one board fixture") == 1
    assert "no verdict" not in done.text


@pytest.mark.parametrize(
    ("text", "arguments", "code", "says"),
    [
        ("def test_one(board): pass", ("--board", "qemu-vrit"), 4, "did you mean 'qemu-virt'"),
        ("def test_one(board): pass", ("--seed", "4294967296"), 4, "0 to 4294967295"),
        ("def test_one(board): pass", ("--lab", "nowhere.yaml"), 4, "nowhere.yaml"),
        ("def test_one(board): pass", ("--lease-timeout", "soon"), 4, "expected seconds"),
        (
            "import pytest\n@pytest.mark.needs('proces')\ndef test_one(board): pass",
            (),
            4,
            "did you mean 'process'",
        ),
        (
            "import pytest\n@pytest.mark.board_kinds('qemu-vrit')\ndef test_one(board): pass",
            (),
            4,
            "did you mean 'qemu-virt'",
        ),
        ("def test_one(board, testing_board): pass", (), 4, "more than one board fixture"),
        ("import pytest\n@pytest.mark.skip\ndef test_one(): pass", (), 76, ""),
        ("import pytest\n@pytest.mark.skip\ndef test_one(): pass\ndef test_two(): pass", (), 0, ""),
        ("def test_one(request): request.getfixturevalue('board')", (), 1, "must be an argument"),
    ],
)
def test_exit_codes_are_those_of_the_table(
    lab: Lab, text: str, arguments: tuple[str, ...], code: int, says: str, board_spec: BoardSpec
) -> None:
    assert board_spec.kind
    done = lab.run(text, *arguments)
    assert done.code == code, done.text
    assert says in done.text


def test_what_is_wrong_with_a_mark_ends_a_session_with_workers_too(board_spec: BoardSpec, lab: Lab) -> None:
    text = "import pytest\n@pytest.mark.needs('proces')\ndef test_one(board): pass"
    done = lab.run(text, "--board", board_spec.kind, "-n", "1")
    assert done.code == 4, done.text
    assert "did you mean 'process'" in done.text


def test_a_failure_ends_at_the_tests_own_line_unless_the_full_trace_is_asked_for(
    board_spec: BoardSpec, lab: Lab
) -> None:
    text = "def test_one(board, budget): budget('verify', 'virtual').judge([10**12])"
    done = lab.run(text, "--board", board_spec.kind)
    assert done.code == 1, done.text
    assert "contracts.errors.BudgetExceeded: verify missed its budget" in done.text
    assert "harness/judge/budgets.py" not in done.text
    assert "harness/judge/budgets.py" in lab.run(text, "--board", board_spec.kind, "--full-trace").text


def test_an_error_of_another_kind_keeps_the_labs_own_frames(board_spec: BoardSpec, lab: Lab) -> None:
    done = lab.run("def test_one(board): board.client.echo(None)", "--board", board_spec.kind)
    assert done.code == 1, done.text
    assert "harness/channel/client.py" in done.text


def test_help_tells_of_every_option_and_mark(board_spec: BoardSpec, lab: Lab) -> None:
    assert board_spec.kind
    text = lab.run("", "--help").text
    for word in (
        "--board",
        "--lab",
        "--seed",
        "--budgets",
        "--strict-budgets",
        "--results",
        "--lease-timeout",
    ):
        assert word in text
    text = lab.run("", "--markers").text
    assert "needs(*capabilities)" in text
    assert "board_kinds(*globs)" in text
    text = lab.run("", "--fixtures").text
    for word in ("board_pair", "fresh_board", "testing_board", "lease", "budget", "board_spec", "lab_key"):
        assert f"\n{word} " in text or f"\n{word}\n" in text, word
