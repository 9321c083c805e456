"""The pytest plugin: boards by `--board`, budgets as assertions, lab faults separated from kernel faults.

`pytest --help` lists the options, `pytest --fixtures` the fixtures. Each part has its own file.
"""

from __future__ import annotations

pytest_plugins = (
    "harness.pytest_lab.signals",
    "harness.pytest_lab.options",
    "harness.pytest_lab.session",
    "harness.pytest_lab.gate",
    "harness.pytest_lab.no_reruns",
    "harness.pytest_lab.hard_exit",
    "harness.pytest_lab.hook_faults",
    "harness.pytest_lab.kinds",
    "harness.pytest_lab.fixtures",
    "harness.pytest_lab.verdicts",
    "harness.pytest_lab.retry",
    "harness.pytest_lab.soak",
    "harness.pytest_lab.durations",
    "harness.pytest_lab.junit",
    "harness.pytest_lab.one_verdict",
    "harness.pytest_lab.workers",
    "harness.pytest_lab.worker_death",
    "harness.pytest_lab.scheduling",
)
