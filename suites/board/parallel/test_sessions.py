"""A user's sessions with workers: exit codes, one verdict per test, the report of an early end."""

from __future__ import annotations

import re

import pytest

from contracts.board import BoardSpec
from suites.board.user_session import Lab

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

MANY = "".join(f"def test_{name}(): pass\n" for name in "abcdef")
INFRA = "from contracts.errors import InfraError\ndef test_infra(): raise InfraError('the lab')\n"
SKIP = "import pytest\n@pytest.mark.skip\ndef test_skipped(): pass\n"
VANISHES = """
def pytest_runtest_protocol(item):
    return True if item.name == "test_b" else None
"""
TWICE = """
from _pytest.runner import runtestprotocol
def pytest_runtest_protocol(item, nextitem):
    if item.name == "test_b":
        for _ in range(2):
            runtestprotocol(item, nextitem=nextitem)
        return True
"""
OTHERS = """
import os
def pytest_generate_tests(metafunc):
    metafunc.parametrize("n", [os.environ.get("PYTEST_XDIST_WORKER")])
"""
FIRST_DIES = """
import os
def pytest_collection_finish(session):
    if os.environ.get("PYTEST_XDIST_WORKER") == "gw0":
        os._exit(9)
"""
NONE_STARTS = """
import os
if "PYTEST_XDIST_WORKER" in os.environ:
    os._exit(9)
"""


@pytest.mark.parametrize(
    ("text", "plugin", "arguments", "code", "says"),
    [
        ("def test_a(): assert 0\n" + INFRA, "", (), 1, "1 failed, 1 infra"),
        (INFRA + MANY, "", (), 75, "6 passed, 1 infra"),
        (SKIP, "", ("-n", "3"), 76, "1 skipped"),
        ("", "", (), 5, "no tests ran"),
        (MANY, VANISHES, (), 3, "1 collected tests have no verdict"),
        (MANY, TWICE, (), 3, "1 tests have more than one verdict"),
        ("def test_a(n): pass", OTHERS, (), 3, "Different tests were collected"),
        (MANY, FIRST_DIES, (), 0, "6 passed"),
        (MANY, FIRST_DIES, ("--max-worker-restart=0",), 3, "collected tests have no verdict"),
        (MANY, NONE_STARTS, ("--max-worker-restart=1",), 3, "no worker started"),
        (
            "def test_0(): assert 0\n" + MANY,
            "",
            ("-n", "1", "-x"),
            1,
            "6 tests did not run: stopping after 1",
        ),
        ("import nowhere\n" + MANY, "", (), 2, "1 errors during collection"),
    ],
    ids=[
        "fail outranks infra",
        "infra",
        "all skipped",
        "no tests",
        "no verdict",
        "two verdicts",
        "workers disagree",
        "a worker dies early",
        "and is not replaced",
        "no worker starts",
        "stopped",
        "not collected",
    ],
)
def test_a_session_with_workers_ends_as_one_without(
    lab: Lab, text: str, plugin: str, arguments: tuple[str, ...], code: int, says: str, board_spec: BoardSpec
) -> None:
    assert board_spec.kind
    (lab.folder / "conftest.py").write_text(plugin)
    done = lab.run(text, *(arguments if "-n" in arguments else ("-n", "2", *arguments)))
    assert done.code == code, done.text
    assert says in done.text
    missing = re.search(r"(\d+) collected tests have no verdict", done.text)
    # How many depends on a worker's progress; each of the six tests is reported in one way or the other.
    if missing is not None and text == MANY:
        passed = re.search(r"(\d+) passed", done.text)
        assert int(missing[1]) + int(passed[1] if passed else 0) == 6


@pytest.mark.parametrize(
    ("text", "plugin", "arguments", "code", "says"),
    [
        (MANY, VANISHES, (), 3, "1 collected tests have no verdict"),
        (MANY, TWICE, (), 3, "1 tests have more than one verdict"),
        ("def test_0(): assert 0\n" + MANY, "", ("-x",), 1, "6 tests did not run: stopping after 1"),
    ],
    ids=["none", "two", "stopped"],
)
def test_verdicts_are_counted_without_workers_too(
    lab: Lab, text: str, plugin: str, arguments: tuple[str, ...], code: int, says: str, board_spec: BoardSpec
) -> None:
    assert board_spec.kind
    (lab.folder / "conftest.py").write_text(plugin)
    done = lab.run(text, *arguments)
    assert done.code == code, done.text
    assert says in done.text
