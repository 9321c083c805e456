"""However a test ends, it has one verdict in the record and one case in the JUnit file, with workers and without."""

from __future__ import annotations

from typing import Any

import pytest

WORKERS = pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one process", "two workers"])
ENDS = """
import enum, sys, warnings
from pathlib import Path
import pytest

BYTES = b"U-Boot \\xff\\x80 ready".decode("utf-8", "surrogateescape")
CONTROL = "".join(map(chr, range(32))) + "\\x7f\\ufffe\\uffff" + BYTES

def ends(how):
    {"skip": pytest.skip, "fail": pytest.fail, "xfail": pytest.xfail}[how](how)

@pytest.fixture(params=["skip", "fail", "xfail"])
def early(request): ends(request.param)
@pytest.fixture(params=["skip", "fail", "xfail"])
def late(request):
    yield
    ends(request.param)
@pytest.fixture(scope="module", params=["skip", "fail", "xfail"])
def early_in_module(request): ends(request.param)
@pytest.fixture(scope="session", params=["skip", "fail", "xfail"])
def early_in_session(request): ends(request.param)
@pytest.fixture
def broken_end():
    yield
    raise RuntimeError("the end is broken")

def test_early(early): pass
def test_late(late): pass
def test_fails_and_late(late): assert False
def test_module(early_in_module): pass
def test_session(early_in_session): pass
@pytest.mark.parametrize("how", ["skip", "fail", "xfail"])
def test_call(how): ends(how)
def test_fails_twice(broken_end): assert False
def test_system_exit(): sys.exit(3)
def test_generator_exit(): raise GeneratorExit
def test_base_exception(): raise BaseException("base")
@pytest.fixture
def exits_early(): sys.exit("early")
def test_system_exit_early(exits_early): pass

def test_recursion():
    def again(): again()
    again()
def test_causes():
    error = None
    for number in range(300):
        new = RuntimeError(str(number))
        new.__cause__ = error
        error = new
    raise error
def test_groups():
    error = ValueError("deep")
    for _ in range(50): error = ExceptionGroup("group", [error])
    raise error
def test_long(): raise RuntimeError("x" * 1_000_000)
def test_prints_much():
    print("y" * 3_000_000)
    assert False
def test_control(): raise RuntimeError(CONTROL)
def test_prints_control():
    print(CONTROL.encode("utf-8", "replace").decode())
    sys.stdout.buffer.write(b"\\xff\\x00\\x1b[31m")
    assert False
def test_skips_with_control(): pytest.skip(CONTROL)
class Broken(Exception):
    def __str__(self): raise RuntimeError("no text")
    __repr__ = __str__
def test_error_without_text(): raise Broken
@pytest.mark.parametrize("value", ["\\udcff", "\\x00\\x01", "z" * 5000, "]]>", "a\\nb", "<&\\"'>", "é"])
def test_ids(value): pass
@pytest.mark.parametrize("value", [1, 2], ids=["\\udcfe", "\\x02"])
def test_given_ids(value): pass

class Kind(enum.StrEnum):
    ONE = "one"
class Text(str): pass
def test_properties(record_property):
    for value in (Kind.ONE, Text("t"), Path("p"), b"\\xff", object, {1: [BYTES]}, 2**80, float("nan"), None, CONTROL):
        record_property("any", value)
        record_property(CONTROL, value)
def test_suite_property(record_testsuite_property):
    record_testsuite_property("lab\\x01 \\udcff", CONTROL)
def test_warns(): warnings.warn(BYTES)
class Odd(UserWarning):
    def __init__(self, thing): super().__init__(thing)
def test_warns_oddly(): warnings.warn(Odd(object()))
"""
KINDS = {"skip": "skip", "fail": "fail", "xfail": "skip"}


def expected() -> dict[str, str]:
    out: dict[str, str] = {}
    for how, verdict in KINDS.items():
        out |= dict.fromkeys(
            (
                f"test_early[{how}]",
                f"test_late[{how}]",
                f"test_module[{how}]",
                f"test_session[{how}]",
                f"test_call[{how}]",
            ),
            verdict,
        )
        out[f"test_fails_and_late[{how}]"] = "fail"
    failing: tuple[str, ...] = (
        "fails_twice",
        "system_exit",
        "generator_exit",
        "base_exception",
        "system_exit_early",
        "recursion",
        "causes",
    )
    failing += ("groups", "long", "prints_much", "control", "prints_control", "error_without_text")
    out |= {f"test_{name}": "fail" for name in failing}
    out["test_skips_with_control"] = "skip"
    out |= {f"test_{name}": "pass" for name in ("properties", "suite_property", "warns", "warns_oddly")}
    return out


@WORKERS
def test_each_way_to_end_is_one_verdict_and_one_case(user: Any, workers: tuple[str, ...]) -> None:
    done = user.run(ENDS, *workers)
    assert done.code == 1, done.text[-5000:]
    assert "INTERNALERROR" not in done.text
    verdicts = done.verdicts
    ids = {name: verdict for name, verdict in verdicts.items() if "ids[" in name}
    assert len(ids) == 9
    assert set(ids.values()) == {"pass"}
    assert {name: verdict for name, verdict in verdicts.items() if name not in ids} == expected()
    assert sorted(done.cases.values()).count("failure") == list(verdicts.values()).count("fail")
    assert len(done.cases) == len(verdicts)
    sizes = [len(text) for row in done.document["tests"] for _, text in row["sections"]]
    assert max(sizes) < 300_000, "a section is cut, and says so"
