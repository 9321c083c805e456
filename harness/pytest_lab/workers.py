"""Worker processes of pytest-xdist: restarted if killed during start-up, given up when stopped for too long."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from contracts.errors import InfraError
from harness.pytest_lab.gate import leave
from harness.pytest_lab.signals import interruptions_of, shielded
from harness.pytest_lab.state import is_worker, is_xdist_controller, lab_of
from harness.runs.plain import plain_value
from targets.exits import signal_name
from targets.processes import is_stopped

if TYPE_CHECKING:
    from collections.abc import Callable

    from xdist.workermanage import WorkerController

STOPPED_S: Final = 10.0
"""A worker stopped by a signal is given up after this many seconds: its lease's heartbeat was silent equally long."""

_LOOK_S: Final = 0.5
_GAP_S: Final = 2.0  # with checks that far apart, this process itself was stopped, together with its workers
_STARTS: Final = 3
_EXIT_WAIT_S: Final = 5.0  # its pipe closes shortly before the process has exited
_EXECNET: Final = b"exec(eval(sys.stdin.readline()))"  # how execnet starts a Python on this machine
FROM_OUTSIDE: Final = (signal.SIGKILL, signal.SIGTERM)
"""Signals that a worker does not cause itself."""

_WATCH: Final = pytest.StashKey["WorkerWatch"]()


def worker_process(node: Any) -> subprocess.Popen[bytes] | None:
    """A worker's process; None for one on another machine."""
    process: subprocess.Popen[bytes] | None = getattr(getattr(node.gateway, "_io", None), "popen", None)
    return process


def exit_code(node: Any) -> int | None:
    """How a worker's process ended; None if it lives or runs on another machine."""
    process = worker_process(node)
    if process is None:
        return None
    try:
        return process.wait(_EXIT_WAIT_S)
    except subprocess.TimeoutExpired:
        return None


class WorkerWatch:
    """Watches the workers' processes from a thread and ends those that are stopped, so that nothing waits for ever."""

    def __init__(self, config: pytest.Config) -> None:
        self.given_up: dict[int, float] = {}
        """Processes that were ended, with the time for which each had been stopped, in seconds."""
        self._config = config
        self._ended = threading.Event()
        self._since: dict[int, float] = {}
        self._collected: set[str] = set()
        self._thread = threading.Thread(target=self._look, name="worker-watch", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(_EXIT_WAIT_S)

    def _look(self) -> None:
        last_s = time.monotonic()
        while not self._ended.wait(_LOOK_S):
            now_s = time.monotonic()
            if now_s - last_s > _GAP_S:
                self._since.clear()
            last_s = now_s
            workers = interruptions_of(self._config).workers = _workers_of_ours()
            for pid in workers:
                if not is_stopped(pid):
                    self._since.pop(pid, None)
                elif now_s - self._since.setdefault(pid, now_s) >= STOPPED_S:
                    self.given_up[pid] = now_s - self._since[pid]
                    with suppress(OSError):
                        os.kill(pid, signal.SIGKILL)

    def stopped_s(self, node: Any) -> float | None:
        """How long a worker had been stopped before it was given up; None for one that was not given up."""
        process = worker_process(node)
        return self.given_up.get(process.pid) if process is not None else None

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: WorkerController) -> None:
        """Remember which workers have started."""
        self._collected.add(node.gateway.id)

    @pytest.hookimpl(optionalhook=True, tryfirst=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """A worker that was killed from outside before it finished collecting: a lab fault, not a test's."""
        interrupted = interruptions_of(self._config).number is not None or error == "keyboard-interrupt"
        if error is None or interrupted or node.gateway.id in self._collected:
            return
        code = exit_code(node)
        if code is not None and -code in FROM_OUTSIDE:
            lab_of(self._config).ended_early += 1
            lab_of(self._config).trouble.append(
                self._ended_early(node.gateway.id, code, self.stopped_s(node))
            )

    @staticmethod
    def _ended_early(worker: str, code: int, stopped_s: float | None) -> str:
        seen = f"its process was killed by {signal_name(-code)}"
        if stopped_s is not None:
            seen = f"its process was stopped for {stopped_s:.0f} s (SIGSTOP) and given up"
        return str(
            InfraError(
                f"worker {worker} did not start",
                expected="a worker that collects its tests",
                seen=seen,
                do="find what killed it (`dmesg` shows if memory ran out)",
            )
        )

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_setupnodes(self, config: pytest.Config) -> None:
        """Before the first worker is started: start each again if its process ends during start-up."""
        session: Any = config.pluginmanager.getplugin("dsession")
        manager = session.nodemanager
        start = manager.setup_node
        manager.setup_node = lambda spec, putevent: self._start_worker(manager, start, spec, putevent)

    def _start_worker(self, manager: Any, start: Callable[[Any, Any], Any], spec: Any, putevent: Any) -> Any:
        for last in (False,) * (_STARTS - 1) + (True,):
            try:
                with shielded():
                    return start(spec, putevent)
            except (EOFError, OSError, AssertionError) as error:  # what execnet raises for a closed pipe
                told = InfraError(
                    f"worker {spec.id} did not start",
                    expected="a Python process that answers",
                    seen=f"its process ended during start-up ({type(error).__name__}: {error})",
                    do="find what killed it (`dmesg` shows if memory ran out)",
                )
                if last:
                    raise told from error
                lab_of(self._config).trouble.append(str(told))
                spec.id = None
                manager.group.allocate_id(spec)
        raise AssertionError("unreachable: the last start returns or raises")


def _workers_of_ours() -> set[int]:
    """Children of this process that execnet has started."""
    out = set()
    with suppress(OSError):
        for thread in Path("/proc/self/task").iterdir():
            with suppress(OSError):
                for child in (thread / "children").read_text().split():
                    with suppress(OSError):
                        if _EXECNET in Path(f"/proc/{child}/cmdline").read_bytes():
                            out.add(int(child))
    return out


def watch_of(config: pytest.Config) -> WorkerWatch | None:
    """The watch of a controller; None in another process."""
    return config.stash.get(_WATCH, None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> Iterator[None]:
    """In a controller: watch the workers. One that cannot be started ends the session with a lab fault."""
    config = session.config
    if is_xdist_controller(config) and not config.getoption("collectonly"):
        watch = config.stash[_WATCH] = WorkerWatch(config)
        config.pluginmanager.register(watch, "assay-worker-watch")
        watch.start()
    try:
        return (yield)
    except InfraError as error:
        leave(config, "the workers do not start, so no test ran", str(error))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """A worker that cannot be replaced also ends the session with a lab fault."""
    try:
        return (yield)
    except InfraError as error:
        leave(session.config, "a worker could not be replaced", str(error))


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """In a worker: events to the controller contain only what execnet can send, whatever a test or a warning holds."""
    if not is_worker(config):
        return
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":  # by name: a worker runs that module under another
            plugin.sendevent = partial(_send_plain, plugin.sendevent)


def _send_plain(send: Callable[..., None], name: str, **event: object) -> None:
    told: dict[str, object] = plain_value(event)
    warning = told.get("warning_message_data")
    if isinstance(warning, dict):
        told["warning_message_data"] = _known_warning(warning)
    send(name, **told)


def _known_warning(told: dict[str, object]) -> dict[str, object]:
    """A warning with a class that the controller can import: not one from a test file or a fixture's module."""
    known = told | {}
    if not _is_known(told["message_module"]):
        text = f"{told['message_module']}.{told['message_class_name']}: {told['message_str']}"
        known |= {
            "message_module": None,
            "message_class_name": None,
            "message_args": None,
            "message_str": text,
        }
    if not _is_known(told["category_module"]):
        known |= {"category_module": "builtins", "category_class_name": "UserWarning"}
    return known


def _is_known(module: object) -> bool:
    return module is None or str(module).partition(".")[0] in ("builtins", "pytest", "_pytest")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the thread."""
    watch = watch_of(config)
    if watch is not None:
        watch.stop()
