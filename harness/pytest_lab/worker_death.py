"""A worker of pytest-xdist that dies during a test: the verdict depends on how its process ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from contracts.errors import AssayError, InfraError
from harness.pytest_lab.state import lab_of
from harness.pytest_lab.workers import FROM_OUTSIDE, exit_code, watch_of

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str, report: pytest.TestReport) -> None:
    """Give the test that a dead worker was running its one verdict. It is not retried."""
    worker: WorkerController = report.node
    watch = watch_of(worker.config)
    stopped_s = watch.stopped_s(worker) if watch is not None else None
    verdict, message = explain_death(worker.gateway.id, crashitem, exit_code(worker), stopped_s)
    report.longrepr = message
    report.when = "teardown"  # this is the test's last report
    told = {"verdict": verdict, "message": message, "crashed": verdict == "fail"}
    report.assay = told | {"kind": _kind(worker, crashitem)}  # type: ignore[attr-defined]
    report.user_properties = [("verdict", verdict)]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.CollectReport | pytest.TestReport) -> tuple[str, str, str] | None:
    """Count a crash as a failure, although its report has the phase `teardown`."""
    return ("failed", "F", "CRASHED") if getattr(report, "assay", {}).get("crashed") else None


def explain_death(
    worker: str, nodeid: str, code: int | None, stopped_s: float | None = None
) -> tuple[str, str]:
    """Verdict and message for a worker whose process ended with `code` (below 0: by that signal; None: unknown).

    `stopped_s`: how long it had been stopped before it was given up, in seconds.
    """
    expected = "a worker that lives until its last test has ended"
    if stopped_s is not None:
        ended = InfraError(
            f"worker {worker} was given up while it ran {nodeid}",
            expected=expected,
            seen=f"its process was stopped from outside for {stopped_s:.0f} s (SIGSTOP)",
            do="find what stopped it, and run the test again",
        )
        return "infra", str(ended)
    if code is not None and -code in FROM_OUTSIDE:
        ended = InfraError(
            f"worker {worker} was killed from outside while it ran {nodeid}",
            expected=expected,
            seen=f"its process was killed by {signal.Signals(-code).name}",
            do="find what killed it (`dmesg` shows when memory ran out), then run the test again",
        )
        return "infra", str(ended)
    crashed = AssayError(
        f"worker {worker} crashed while it ran {nodeid}",
        expected=expected,
        seen=_ended(code),
        do="see its last output above (a time-out prints every thread's stack and exits with 1), "
        "and run the test alone, without -n",
    )
    return "fail", str(crashed)


def _ended(code: int | None) -> str:
    if code is None:
        return "its connection closed, and its process did not end"
    if code >= 0:
        return f"its process exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"its process was killed by {name} (exit code {code})"


def _kind(worker: Any, nodeid: str) -> str | None:
    """The board type that the test ran on, from its id; the worker can no longer be asked."""
    specs = lab_of(worker.config).specs or ()
    parts = nodeid.partition("[")[2].removesuffix("]")
    found = [spec.kind for spec in specs if f"-{spec.kind}-" in f"-{parts}-"]
    return max(found, key=len, default=None)
