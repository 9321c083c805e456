"""A test that ends this whole process with `os._exit`: the known results are recorded, and it is not a pass."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, NoReturn

import pytest

from harness.pytest_lab.one_verdict import EXIT_CODE
from harness.pytest_lab.state import is_worker, is_xdist_controller, lab_of

_HARD_EXIT: Final = pytest.StashKey["HardExit"]()


class HardExit:
    """Replaces `os._exit` while tests run in the process that keeps the record. Child processes are not affected."""

    def __init__(self, config: pytest.Config) -> None:
        self.exit: Callable[[int], NoReturn] = os._exit
        self._config = config
        self._pid = os.getpid()
        self.running: pytest.Item | None = None

    def __call__(self, status: int) -> NoReturn:
        """End the process. During a test: record the test's verdict, and exit with 3, because others have none."""
        item = self.running
        if (
            os.getpid() != self._pid
            or item is None
            or threading.current_thread() is not threading.main_thread()
        ):
            self.exit(status)
        self.running = None
        what = f"{item.nodeid} ended the whole process with os._exit({status}): no later test ran"
        with contextlib.suppress(Exception):  # nothing may prevent the exit
            report = pytest.TestReport(item.nodeid, item.location, {}, "failed", what, "teardown")
            record = lab_of(self._config).record
            if record is not None:
                record.add(report)
                record.finish(exit_code=EXIT_CODE, interrupted=False)
        with contextlib.suppress(Exception):
            capture = self._config.pluginmanager.getplugin("capturemanager")
            with capture.global_and_fixture_disabled() if capture is not None else contextlib.nullcontext():
                os.write(2, f"\nassay: {what}\n".encode("utf-8", "replace"))
        self.exit(EXIT_CODE)


def _replace(function: Callable[[int], NoReturn]) -> None:
    module: Any = os
    module._exit = function  # noqa: SLF001 - that is its public name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remember which test runs."""
    guard = item.config.stash.get(_HARD_EXIT, None)
    if guard is not None:
        guard.running = item
    try:
        return (yield)
    finally:
        if guard is not None:
            guard.running = None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Only where tests run and are recorded: the controller reports the end of a worker."""
    config = session.config
    if not is_worker(config) and not is_xdist_controller(config) and not config.getoption("collectonly"):
        guard = config.stash[_HARD_EXIT] = HardExit(config)
        _replace(guard)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Restore `os`."""
    guard = config.stash.get(_HARD_EXIT, None)
    if guard is not None:
        _replace(guard.exit)
