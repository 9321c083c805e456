"""A failing hook of a conftest or plugin: the test in which it failed gets a verdict, and the session ends normally."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import CallInfo

from harness.pytest_lab.state import lab_of


def where(error: BaseException) -> str:
    """The error in one line, with the file, line and function of its last frame outside pytest."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not _is_pytests(frame.filename)] or frames
    last = own[-1]
    return f"{last.filename}:{last.lineno} in {last.name}: {type(error).__name__}: {error}"


def _is_pytests(file: str) -> bool:
    return any(part in ("_pytest", "pluggy", "xdist", "pytest_lab") for part in Path(file).parts)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """An exception from the hooks around a test fails that test; the next one runs."""
    try:
        return (yield)
    except (pytest.exit.Exception, pytest.Session.Failed):  # told to stop
        raise
    except Exception as error:  # noqa: BLE001 - anybody's hook, any error
        _tear_down(item)
        lines = [f"a hook failed while this test ran: {where(error)}"]
        lines += traceback.format_exception(error)
        report = pytest.TestReport(
            nodeid=item.nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr="\n".join(lines),
            when="teardown",  # the last phase of this test
            user_properties=[("verdict", "fail")],
        )
        report.__dict__["assay"] = {"verdict": "fail", "message": lines[0]}
        item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True  # type: ignore[return-value] # the hook's own result: this test has run


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Tear fixtures down even if a hook fails before pytest's own: the next test would find them in use."""
    try:
        return (yield)
    except BaseException:
        item.session._setupstate.teardown_exact(nextitem)  # noqa: SLF001
        raise


def _tear_down(item: pytest.Item) -> None:
    """The hook may have failed between set-up and tear-down; errors of fixtures are now reported as lab faults."""
    state: Any = item.session._setupstate  # noqa: SLF001 - pytest has no public name for it
    torn = CallInfo.from_call(lambda: state.teardown_exact(None), when="teardown")
    if torn.excinfo is not None:
        lab_of(item.config).trouble.append(f"tear-down of {item.nodeid}: {where(torn.excinfo.value)}")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    """A file that calls `sys.exit` when imported cannot be collected, like any other file that fails."""
    try:
        return (yield)
    except SystemExit as error:
        text = f"{collector.nodeid} exited during collection: {where(error)}"
        return pytest.CollectReport(collector.nodeid, "failed", text, [])  # type: ignore[return-value]
