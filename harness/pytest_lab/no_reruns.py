"""Plugins that rerun a test until it passes are disabled: each test has one verdict, and a `fail` stays a `fail`."""

from __future__ import annotations

from typing import Any, Final

import pytest

from contracts.errors import ConfigError
from harness.pytest_lab.state import is_worker, lab_of

_OPTIONS: Final = {"reruns": "--reruns", "retries": "--retries", "force_flaky": "--force-flaky"}
"""Options (and settings of the same names) of pytest-rerunfailures, pytest-retry and flaky that request reruns."""

_DISTRIBUTIONS: Final = ("pytest-rerunfailures", "pytest-retry", "flaky")
_RUN_TESTS: Final = ("_pytest", "pytest", "xdist", "harness")
"""Packages whose implementations of `pytest_runtest_protocol` run a test once."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse reruns requested by option or setting, and unregister plugins that work by marks alone."""
    for name, option in _OPTIONS.items():
        asked = config.getoption(name, None) or _setting(config, name)
        if asked and not is_worker(config):
            raise pytest.UsageError(str(_refusal(option, asked)))
    for plugin, distribution in config.pluginmanager.list_plugin_distinfo():
        name = str(distribution.project_name).lower().replace("_", "-")
        if name in _DISTRIBUTIONS and config.pluginmanager.is_registered(plugin):
            config.pluginmanager.unregister(plugin)
            lab_of(config).off.append(name)


def _setting(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(name)
    except ValueError:  # not declared
        return None


def _refusal(option: str, asked: object) -> ConfigError:
    return ConfigError(
        f"{option} is refused: tests are not rerun until they pass",
        expected="one verdict per test: a test that fails once is a `fail`; only a lab fault is retried, by the lab, on "
        "another board",
        seen=f"{option.removeprefix('--')}: {asked}",
        do=f"remove {option} from the command line, `addopts` and the configuration file",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Find plugins (or a conftest) that offer reruns and run tests themselves: the lab runs the tests instead."""
    config = session.config
    if not _offers_tries(config):
        return
    for found in config.hook.pytest_runtest_protocol.get_hookimpls():
        module = str(getattr(found.function, "__module__", ""))
        if not (found.hookwrapper or found.wrapper) and module.partition(".")[0] not in _RUN_TESTS:
            lab_of(config).off.append(found.plugin_name)


def _offers_tries(config: pytest.Config) -> bool:
    """Whether a plugin has declared one of the options or the mark `flaky`."""
    marked = any(
        line.partition("(")[0].partition(":")[0].strip() == "flaky" for line in config.getini("markers")
    )
    return marked or any(hasattr(config.option, name) for name in _OPTIONS)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Report which plugins are disabled."""
    off = lab_of(config).off
    return [f"assay: {name} is disabled: it reruns tests, and each test has one verdict here" for name in off]


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Report it at the end, too: `-q` shows no header."""
    for line in pytest_report_header(config):
        terminalreporter.line(line)
