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

    return list(select(config.getoption("--board"), lab=lab_of(config).files or None))


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
