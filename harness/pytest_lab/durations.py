"""The last duration of each test, stored in pytest's cache, so that parallel workers start with the long ones."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Final

import pytest

from harness.pytest_lab.state import is_worker

_KEY: Final = "assay/durations"
_DIGITS: Final = 3  # milliseconds: more digits would only change the file


def known_durations(config: pytest.Config) -> dict[str, float]:
    """Seconds by test id from earlier sessions; empty without a cache."""
    cache = config.cache if hasattr(config, "cache") else None
    found: object = {}
    with suppress(RecursionError):  # pytest's cache accepts any JSON file
        found = cache.get(_KEY, {}) if cache is not None else {}
    if not isinstance(found, dict):
        return {}
    return {
        str(nodeid): took_s
        for nodeid, took_s in found.items()
        if isinstance(took_s, float) and math.isfinite(took_s)
    }


class Durations:
    """Adds up the phases of each test, in the process that writes the cache."""

    def __init__(self) -> None:
        self._took_s: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add one phase."""
        self._took_s[report.nodeid] = self._took_s.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Store them; tests that did not run keep their old durations."""
        if self._took_s and getattr(session.config, "cache", None) is not None:
            took_s = {nodeid: round(float(seconds), _DIGITS) for nodeid, seconds in self._took_s.items()}
            session.config.cache.set(_KEY, known_durations(session.config) | took_s)


def pytest_configure(config: pytest.Config) -> None:
    """Register in the process where tests are reported: the controller, or the only process."""
    if not is_worker(config) and not config.getoption("collectonly"):
        config.pluginmanager.register(Durations(), "assay-durations")
