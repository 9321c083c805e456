"""The board types of a session: what `--board` and `--lab` select."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contracts.errors import ConfigError
from harness.pytest_lab.state import lab_of

if TYPE_CHECKING:
    from contracts.board import BoardSpec


def select_specs(config: pytest.Config) -> list[BoardSpec]:
    """The board types that `--board` and `--lab` select. Raises ConfigError."""
    from harness.boards.registry import select

    wanted, labs = config.getoption("--board"), lab_of(config).files or None
    if not config.getoption("--keep"):
        return list(select(wanted, lab=labs))
    from harness.keeper.find import boards_up
    from harness.keeper.standing import narrowed

    kinds = {up.place: up.kind for up in boards_up() if up.alive}
    return narrowed(select([kinds.get(name, name) for name in wanted], lab=labs))


def specs_of(config: pytest.Config) -> list[BoardSpec]:
    """The session's board types, selected on first use; none, with `usage` set, if the selection is invalid."""
    lab = lab_of(config)
    if lab.specs is None:
        lab.specs = []
        try:
            lab.specs = select_specs(config)
        except ConfigError as error:
            lab.usage = str(error)
    return lab.specs
