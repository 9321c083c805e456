"""Tests and their board types: parametrisation, capabilities, and an order with few reboots."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

import pytest

from contracts.errors import ConfigError, did_you_mean
from harness.pytest_lab.chosen import specs_of
from harness.pytest_lab.gate import enter
from harness.pytest_lab.state import BOARD_FIXTURES, board_fixtures, is_worker, lab_of, spec_of

if TYPE_CHECKING:
    from collections.abc import Sequence


_RANK: Final = {name: rank for rank, name in enumerate(BOARD_FIXTURES)}
_ALONE: Final = ("board", "testing_board", "fresh_board", "board_pair")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every test with a board fixture runs once per board type, which is part of its id."""
    if "board_spec" not in metafunc.fixturenames:
        return
    enter(metafunc.config)
    specs = specs_of(metafunc.config)
    marker = metafunc.definition.get_closest_marker("board_kinds")
    if marker and specs:
        specs = [spec for spec in specs if any(fnmatchcase(spec.kind, glob) for glob in marker.args)]
        if not specs:
            _none_chosen(metafunc, marker.args)
            return
    ids = [spec.kind for spec in specs]
    metafunc.parametrize("board_spec", specs, ids=ids, scope="session", indirect=True)


def _none_chosen(metafunc: pytest.Metafunc, globs: Sequence[str]) -> None:
    """Skip a test for other board types than the session's; a glob that no board type matches is a typo."""
    from harness.boards.registry import kinds

    known = kinds()
    for glob in globs:
        if not any(fnmatchcase(kind, glob) for kind in known):
            wrong = ConfigError(
                f"{metafunc.definition.nodeid} names an unknown board type{did_you_mean(str(glob), known)}",
                expected=f"a board type or a matching glob: {', '.join(known)}",
                seen=repr(glob),
                do="correct its mark `board_kinds`",
            )
            lab = lab_of(metafunc.config)
            lab.usage = lab.usage or str(wrong)
    skip = pytest.mark.skip(reason=f"needs {', '.join(map(str, globs))}, which `--board` did not select")
    elsewhere = pytest.param(None, marks=skip, id="NOTSET")
    metafunc.parametrize("board_spec", [elsewhere], scope="session", indirect=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Check the marks, skip what a board type cannot do, order by board type, then image. Usage errors exit with 4."""
    lab = lab_of(config)
    try:
        for item in items:
            _check(item)
    except ConfigError as error:
        lab.usage = lab.usage or str(error)
    if lab.usage:
        if not is_worker(config):
            raise pytest.UsageError(lab.usage)
        # A worker that raises ends its controller; one without tests exits normally and reports why.
        config.workeroutput["assay_usage"] = lab.usage  # type: ignore[attr-defined]
        session.shouldstop = lab.usage.partition("\n")[0]
        items[:] = []
        return
    order = {spec.kind: number for number, spec in enumerate(lab.specs or ())}
    items.sort(key=lambda item: _place_in_order(item, order))


def _check(item: pytest.Item) -> None:
    """Apply `needs`, reject impossible combinations of fixtures. Raises ConfigError."""
    spec = spec_of(item)
    if spec is None:
        return
    asked = [name for name in board_fixtures(item) if name in _ALONE]
    if len(asked) > 1:
        raise ConfigError(
            f"{item.nodeid} uses more than one board fixture",
            expected=f"one of {', '.join(_ALONE)}",
            seen=", ".join(asked),
            do="split the test, or use `board_pair` for two boards",
        )
    lacking = [name for name in _needed(item) if name not in spec.capabilities]
    if lacking:
        from contracts.board import CAPABILITIES

        why = "; ".join(f"{name}: {CAPABILITIES[name]}" for name in lacking)
        item.add_marker(
            pytest.mark.skip(reason=f"{spec.kind} lacks a capability that this test needs ({why})")
        )


def _needed(item: pytest.Item) -> list[str]:
    from contracts.board import CAPABILITIES

    needed: list[Any] = [name for marker in item.iter_markers("needs") for name in marker.args]
    for name in needed:
        if name not in CAPABILITIES:
            raise ConfigError(
                f"{item.nodeid} needs an unknown capability{did_you_mean(str(name), list(CAPABILITIES))}",
                expected=f"one of {', '.join(CAPABILITIES)}",
                seen=repr(name),
                do="correct its mark `needs`",
            )
    return needed


def _place_in_order(item: pytest.Item, order: dict[str, int]) -> tuple[int, int]:
    """Tests without a board first; then by board type, the image with the most tests first."""
    spec = spec_of(item)
    if spec is None:
        return -1, 0
    return order.get(spec.kind, len(order)), max((_RANK[name] for name in board_fixtures(item)), default=-1)
