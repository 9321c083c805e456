"""Before any test: starts simulators and runs preflight, in the controller or the only process."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NoReturn

import pytest

from contracts.errors import InfraError
from harness.pytest_lab.chosen import specs_of
from harness.pytest_lab.state import board_fixtures, is_worker, is_xdist_controller, kind_of, lab_of

INFRA_EXIT: Final = 75


def pytest_configure(config: pytest.Config) -> None:
    """In a worker: take the results of preflight and the places from the controller."""
    if is_worker(config):
        lab = lab_of(config)
        given = config.workerinput.get("assay", {})  # type: ignore[attr-defined]
        lab.unusable = dict(given.get("unusable", {}))
        lab.files = [Path(file) for file in given.get("files", [])]
        lab.entered = True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With `--board` or with workers: run preflight at once. Otherwise when the first board test is collected."""
    config = session.config
    if config.getoption("--board") or is_xdist_controller(config):
        enter(config)
        lab = lab_of(config)
        if lab.usage:
            raise pytest.UsageError(lab.usage)
        kinds = [spec.kind for spec in lab.specs or ()]
        if config.getoption("--board") and lab.unusable and all(kind in lab.unusable for kind in kinds):
            found = "\n".join(lab.unusable.values())
            leave(config, f"no usable board of {', '.join(lab.unusable)}, so no test was run", found)


def leave(config: pytest.Config, why: str, found: str) -> NoReturn:
    """End the session with a lab fault. Pytest prints `why` twice, so the findings are printed here, once."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.ensure_newline()
        for line in found.splitlines():
            reporter.write_line(line)
    pytest.exit(why, returncode=INFRA_EXIT)


def enter(config: pytest.Config) -> None:
    """Select the board types, start what they need, check every place; once per session."""
    lab = lab_of(config)
    specs = specs_of(config)
    if lab.entered or config.getoption("collectonly") or not specs:
        return
    lab.entered = True
    from harness.boards.preflight import check, unusable
    from harness.boards.rack import rack

    try:
        racked = lab.stack.enter_context(rack(specs, lab=lab.files or None, seed=config.getoption("--seed")))
        lab.specs, lab.files = racked.specs, list(racked.labs)
        lab.unusable = dict(unusable(check(lab.specs)))
    except InfraError as error:
        lab.unusable = {spec.kind: str(error) for spec in specs}


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Pass the controller's findings to a worker of pytest-xdist."""
    lab = lab_of(node.config)  # type: ignore[attr-defined]
    told = {
        "transcripts": str(lab.transcripts) if lab.transcripts else "",
        "unusable": lab.unusable,
        "files": [str(file) for file in lab.files],
    }
    node.workerinput["assay"] = told  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Print the session's board types, and those that cannot be used, before the first test."""
    lab = lab_of(config)
    if not config.getoption("--board") or lab.worker:
        return []
    kinds = ", ".join(spec.kind for spec in lab.specs or ())
    lines = [f"assay: boards {kinds}; seed {config.getoption('--seed')}"]
    return lines + [f"assay: {kind} cannot be used: {why}" for kind, why in lab.unusable.items()]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test of a board type that did not pass preflight is a lab fault at once."""
    missing = lab_of(item.config).unusable.get(kind_of(item) or "")
    if missing and any(board_fixtures(item)):
        raise InfraError(f"{kind_of(item)} did not pass preflight: {missing}")
