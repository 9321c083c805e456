"""What ends a session early: `pytest.exit`, exits of the process, hooks that fail, interruptions from inside a test."""

from __future__ import annotations

import json
from typing import Any

import pytest

WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
THREE = "def test_a(): pass\ndef test_b(): pass\ndef test_c(): pass\n"
EXITS = """
import pytest
@pytest.fixture(scope="SCOPE")
def ends():
    EARLY
    yield
    LATE
def test_a(): pass
def test_b(ends): IN
def test_c(): pass
def test_d(): pass
"""
FIRE = 'pytest.exit("bench on fire"CODE)'


@WORKERS
@pytest.mark.parametrize("place", ["EARLY", "IN", "LATE"])
@pytest.mark.parametrize("scope", ["function", "session"])
def test_pytest_exit_says_why_and_what_was_not_run(
    user: Any, workers: tuple[str, ...], place: str, scope: str
) -> None:
    text = EXITS.replace("SCOPE", scope).replace(place, FIRE.replace("CODE", ", returncode=9"))
    for other in ("EARLY", "IN", "LATE"):
        text = text.replace(other, "pass")
    done = user.run(text, *workers)
    assert done.code == 9, done.text
    assert "INTERNALERROR" not in done.text
    assert "bench on fire" in done.text
    left = {"test_a", "test_b", "test_c", "test_d"} - done.verdicts.keys()
    assert set(done.verdicts.values()) <= {"pass"}
    assert set(done.cases) == set(done.verdicts)
    assert ("test_b" in left) == (scope == "function" or place != "LATE")
    assert f"{len(left)} tests did not run: bench on fire" in done.text or not left
    assert all(f"test_inner.py::{name}" in done.text for name in left)


@WORKERS
@pytest.mark.parametrize(("code", "expected"), [("", 2), (", returncode=0", 3), (", returncode=1", 1)])
def test_pytest_exit_is_no_pass_of_what_was_not_run(
    user: Any, workers: tuple[str, ...], code: str, expected: int
) -> None:
    done = user.run(
        f"import pytest\ndef test_a(): {FIRE.replace('CODE', code)}\ndef test_b(): pass\n", *workers
    )
    assert done.code == expected, done.text
    assert "bench on fire" in done.text
    assert done.document["run"]["exit"] == expected


@WORKERS
def test_a_failure_is_kept_when_its_tear_down_ends_the_session(user: Any, workers: tuple[str, ...]) -> None:
    text = EXITS.replace("SCOPE", "function").replace("EARLY", "pass").replace("IN", "assert False")
    done = user.run(text.replace("LATE", FIRE.replace("CODE", ", returncode=9")), *workers)
    assert done.code == 9, done.text
    assert done.verdicts["test_b"] == "fail"
    assert done.cases["test_b"] == "failure"


@WORKERS
def test_a_keyboard_interrupt_of_a_test_is_an_interruption(user: Any, workers: tuple[str, ...]) -> None:
    done = user.run(THREE.replace("test_b(): pass", "test_b(): raise KeyboardInterrupt"), *workers)
    assert done.code == 130, done.text
    assert "INTERNALERROR" not in done.text
    assert done.document["run"]["interrupted"]
    assert "test_b" not in done.verdicts
    assert "replacing crashed worker" not in done.text


@pytest.mark.parametrize(("workers", "code"), [((), 3), (("-n", "2"), 1)], ids=["one process", "two workers"])
def test_a_test_that_ends_its_process_is_no_pass(user: Any, workers: tuple[str, ...], code: int) -> None:
    done = user.run(THREE.replace("test_b(): pass", "test_b(): __import__('os')._exit(0)"), *workers)
    assert done.code == code, done.text
    assert done.verdicts["test_b"] == "fail"
    assert done.verdicts["test_a"] == "pass"
    assert "test_b" in done.text
    if workers:
        assert done.cases == {"test_a": "", "test_b": "failure", "test_c": ""}


@WORKERS
def test_a_file_that_exits_when_it_is_imported_cannot_be_collected(
    user: Any, workers: tuple[str, ...]
) -> None:
    done = user.run("import sys\nsys.exit(0)\n" + THREE, *workers)
    assert done.code == 2, done.text
    assert "INTERNALERROR" not in done.text
    assert "SystemExit: 0" in done.text


@WORKERS
@pytest.mark.parametrize(
    "hook",
    [
        "def pytest_runtest_setup(item): fail(item)",
        "def pytest_runtest_call(item): fail(item)",
        "def pytest_runtest_teardown(item): fail(item)",
        "def pytest_runtest_makereport(item): fail(item)",
        "def pytest_runtest_protocol(item): fail(item); return (yield)",
    ],
    ids=lambda hook: hook.partition("(")[0].removeprefix("def pytest_runtest_"),
)
def test_a_hook_that_fails_fails_its_test_and_no_other(
    user: Any, workers: tuple[str, ...], hook: str
) -> None:
    fails = "def fail(item):\n    if item.name == 'test_b': raise RuntimeError('the hook is broken')\n"
    mark = "import pytest\n@pytest.hookimpl(wrapper=True)\n" if "yield" in hook else ""
    (user.folder / "conftest.py").write_text(fails + mark + hook)
    done = user.run(THREE, *workers)
    assert done.code == 1, done.text
    assert "INTERNALERROR" not in done.text
    assert "the hook is broken" in done.text
    assert done.verdicts == {"test_a": "pass", "test_b": "fail", "test_c": "pass"}
    assert done.cases == {"test_a": "", "test_b": "failure", "test_c": ""}


@WORKERS
def test_a_hook_that_fails_at_the_end_costs_neither_record_nor_junit(
    user: Any, workers: tuple[str, ...]
) -> None:
    (user.folder / "conftest.py").write_text(
        "def pytest_sessionfinish(): raise RuntimeError('the hook is broken')"
    )
    done = user.run(THREE, *workers)
    assert done.code == 3, done.text
    assert "conftest.py:1 in pytest_sessionfinish: RuntimeError: the hook is broken" in done.text
    assert "Traceback" not in done.text
    assert set(done.verdicts.values()) == {"pass"}
    assert len(done.cases) == 3


@WORKERS
@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["-x"], 1, {"test_a": "pass", "test_b": "fail"}),
        (["--maxfail=2"], 1, {"test_a": "pass", "test_b": "fail", "test_c": "pass", "test_d": "fail"}),
        (["-k", "a or c"], 0, {"test_a": "pass", "test_c": "pass"}),
        (["--deselect", "test_inner.py::test_b", "-k", "not d"], 0, {"test_a": "pass", "test_c": "pass"}),
        (["--stepwise"], 1, {"test_a": "pass", "test_b": "fail"}),
    ],
)
def test_tests_that_are_left_out_are_no_missing_verdicts(
    user: Any, workers: tuple[str, ...], arguments: list[str], code: int, expected: dict[str, str]
) -> None:
    text = "def test_a(): pass\ndef test_b(): assert 0\ndef test_c(): pass\ndef test_d(): assert 0\n"
    done = user.run(text, *arguments, *workers)
    assert done.code == code, done.text
    assert expected.items() <= done.verdicts.items()
    if not workers:
        assert done.verdicts == expected
    assert len(done.cases) == len(done.verdicts)


def test_collect_only_leaves_no_record(user: Any) -> None:
    done = user.run(THREE, "--collect-only")
    assert done.code == 0, done.text
    assert not (user.folder / "results").exists()


RETRIES = """
import pytest
from _pytest.runner import runtestprotocol
def pytest_addoption(parser):
    parser.addoption("--reruns", type=int, dest="reruns", default=0)
    parser.addini("retries", "how often", default=0)
def pytest_configure(config):
    config.addinivalue_line("markers", "flaky(reruns): run again")
def pytest_runtest_protocol(item, nextitem):
    mark = item.get_closest_marker("flaky")
    for _ in range(1 + (mark.kwargs["reruns"] if mark else item.config.getoption("reruns"))):
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        again = any(report.failed for report in reports)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        if not again:
            break
    return True
"""
FLAKY = """
import pytest
seen = []
@pytest.mark.flaky(reruns=2)
def test_flaky():
    seen.append(1)
    assert len(seen) > 1
def test_other(): pass
"""


@WORKERS
@pytest.mark.parametrize("asked", ["option", "setting"])
def test_running_tests_again_is_refused_in_words(user: Any, workers: tuple[str, ...], asked: str) -> None:
    (user.folder / "conftest.py").write_text(RETRIES)
    if asked == "setting":
        (user.folder / "pytest.ini").write_text("[pytest]\nretries = 2\n")
    done = user.run(FLAKY, *(["--reruns", "2"] if asked == "option" else []), *workers)
    assert done.code == 4, done.text
    assert "is refused: tests are not rerun until they pass" in done.text
    assert "2" in done.text
    assert not (user.folder / "results").exists()


@WORKERS
def test_a_plugin_that_runs_marked_tests_again_is_off(user: Any, workers: tuple[str, ...]) -> None:
    (user.folder / "conftest.py").write_text(RETRIES)
    done = user.run(FLAKY, *workers)
    assert done.code == 1, done.text
    assert done.verdicts == {"test_flaky": "fail", "test_other": "pass"}
    assert done.cases == {"test_flaky": "failure", "test_other": ""}
    assert "conftest.py is disabled: it reruns tests" in done.text


def test_the_record_of_a_process_that_a_test_ended_says_so(user: Any) -> None:
    done = user.run("import os\ndef test_a(): os._exit(0)\n")
    (path,) = user.folder.glob("results/*/run.json")
    run = json.loads(path.read_text())
    assert (done.code, run["run"]["exit"]) == (3, 3)
    assert "os._exit(0)" in run["tests"][0]["message"]
    assert "os._exit(0)" in done.text
