"""Which kinds a session runs on: what `--board` and `--lab` choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contracts.errors import ConfigError
from harness.pytest_lab.state import lab_of

if TYPE_CHECKING:
    from contracts.board import BoardSpec


def select_specs(config: pytest.Config) -> list[BoardSpec]:
    """The kinds that `--board` and `--lab` choose. Raises ConfigError."""
    from harness.boards.registry import select

    wanted, labs = config.getoption("--board"), lab_of(config).files or None
    if not config.getoption("--keep"):
        return list(select(wanted, lab=labs))
    from harness.keeper.find import boards_up
    from harness.keeper.standing import narrowed

    kinds = {up.place: up.kind for up in boards_up() if up.alive}
    return narrowed(select([kinds.get(name, name) for name in wanted], lab=labs))


def specs_of(config: pytest.Config) -> list[BoardSpec]:
    """The session's kinds, chosen when first asked for; none, and `usage` set, when they cannot be chosen."""
    lab = lab_of(config)
    if lab.specs is None:
        lab.specs = []
        try:
            lab.specs = select_specs(config)
        except ConfigError as error:
            lab.usage = str(error)
    return lab.specs
