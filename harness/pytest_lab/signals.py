"""Signals and standard output of a pytest process, from the loading of this plugin to the process's end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Final

import pytest

from harness.machine.interrupt import INTERRUPTED, SIGNALS, end_at_once
from harness.pytest_lab.state import is_worker
from harness.terminal.output import guard_output

# A worker inherits these blocked, so that none arrives before the worker can handle it (`shielded`).
_SHIELDED: Final = (signal.SIGINT, signal.SIGHUP)


class Interruptions:
    """The handler of SIGINT, SIGTERM and SIGHUP in this process.

    Before the session: the process ends, because there is nothing to release. During it: the first raises
    KeyboardInterrupt, which releases boards and writes the record. The second ends the process and its workers at once.
    """

    def __init__(self) -> None:
        self.number: signal.Signals | None = None
        """The signal that arrived."""
        self.workers: set[int] = set()
        """Worker processes, which end with this one."""
        self.session: pytest.Session | None = None
        self.in_session = False
        self._stderr = -1
        self._previous: dict[signal.Signals, Any] = {}

    def take(self) -> None:
        """Replace Python's handlers of the signals; signals with another handler, or ignored ones, are not changed."""
        if self._stderr < 0:
            with contextlib.suppress(OSError):
                self._stderr = os.dup(2)  # while pytest loads a conftest, it captures descriptor 2
        for number in SIGNALS:
            found = signal.getsignal(number)
            if found in (signal.SIG_DFL, signal.default_int_handler):
                self._previous[number] = signal.signal(number, self)

    def give_back(self) -> None:
        """Restore the signal handlers."""
        previous, self._previous = self._previous, {}
        for number, found in previous.items():
            signal.signal(number, found)
        if self._stderr >= 0:
            os.close(self._stderr)
            self._stderr = -1

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if not self.in_session:
            with contextlib.suppress(OSError):
                os.write(self._stderr, b"\nassay: interrupted before the session began: no test ran\n")
            end_at_once()
        if self.number is not None:
            self._end_at_once()
        self.number = signal.Signals(number)
        if self.session is not None:  # if the test catches the exception, the session ends after this test
            self.session.shouldstop = f"interrupted by {self.number.name}"
        raise KeyboardInterrupt(f"ended by {self.number.name}")

    def _end_at_once(self) -> None:
        for pid in self.workers:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        end_at_once()


class WorkerInterruptions(Interruptions):
    """A worker's handler: it acts on one interruption only; the controller decides about further ones.

    It hears Ctrl-C of the terminal itself, or is told by its controller, or both. SIGHUP is the controller's affair,
    and SIGTERM ends a worker as it ends any process: the controller tells whose fault that was.
    """

    def take(self) -> None:
        """Be ready for one SIGINT."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._previous[signal.SIGINT] = signal.signal(signal.SIGINT, self)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SHIELDED)

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.number = signal.Signals(number)
        if self.session is not None:
            self.session.shouldstop = f"interrupted by {self.number.name}"
        raise KeyboardInterrupt(f"ended by {self.number.name}")


_STATE: Final = pytest.StashKey[Interruptions]()
_early: list[
    Interruptions
] = []  # between the loading of the plugin and its configuration there is no `config` to hold it


@contextlib.contextmanager
def shielded() -> Iterator[None]:
    """A process started inside has SIGINT and SIGHUP blocked until it unblocks them; this one gets them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SHIELDED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def interruptions_of(config: pytest.Config) -> Interruptions:
    """This process's signal handler."""
    return config.stash[_STATE]


def _is_main_process() -> bool:
    """Whether this is pytest itself: not a worker (`python -c`), and not pytest inside another program."""
    if threading.current_thread() is not threading.main_thread() or sys.argv[:1] == ["-c"]:
        return False
    return sys.stdout is sys.__stdout__ and not isinstance(signal.getsignal(signal.SIGINT), Interruptions)


def pytest_addoption() -> None:
    """The first hook that a plugin gets: from now on a signal ends this process with one line, not a traceback."""
    if _is_main_process():
        guard_output()
        early = Interruptions()
        early.take()
        _early.append(early)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """From now on a signal interrupts the session."""
    if is_worker(config):
        state: Interruptions = WorkerInterruptions()
        config.stash[_STATE] = state
        if threading.current_thread() is threading.main_thread():
            state.take()
        return
    state = config.stash[_STATE] = _early.pop() if _early else Interruptions()
    if threading.current_thread() is threading.main_thread():
        state.take()
    state.in_session = True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the session in order to stop it."""
    interruptions_of(session.config).session = session


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Forward a signal that only this process received to the workers that still run."""
    state = interruptions_of(session.config)
    if state.number is not None:
        for pid in state.workers:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGINT)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> Iterator[None]:
    """An interrupted session exits with 130, whenever the signal arrived."""
    try:
        code = yield
    except KeyboardInterrupt:
        code = INTERRUPTED
    state = config.stash.get(_STATE, None)
    if state is None:
        return code  # type: ignore[return-value] # a wrapper returns the hook's own result
    state.give_back()
    return INTERRUPTED if state.number is not None and not is_worker(config) else code  # type: ignore[return-value]
