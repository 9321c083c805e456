"""Boot method `direct`: the board boots what it has, from its card or its flash; nothing is laid anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from contracts.board import BoardSpec
from targets.options import Options


class DirectOptions(Options):
    """None."""


class DirectBoot:
    """A board whose kernel somebody else has put there; its build id is still compared once it answers."""

    Options: ClassVar[type[BaseModel]] = DirectOptions

    def __init__(self, options: BaseModel) -> None:
        assert isinstance(options, DirectOptions)

    def check(self) -> None:
        """Nothing to check."""

    def lay(self, spec: BoardSpec, kernel: Path) -> None:
        """Nothing to lay."""
