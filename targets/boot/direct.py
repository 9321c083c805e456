"""Boot method `direct`: the board boots what is on its card or flash; nothing is installed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from contracts.board import BoardSpec
from targets.options import Options


class DirectOptions(Options):
    """None."""


class DirectBoot:
    """A board whose kernel was installed by other means; its build id is still compared when it answers."""

    Options: ClassVar[type[BaseModel]] = DirectOptions

    def __init__(self, options: BaseModel) -> None:
        assert isinstance(options, DirectOptions)

    def check(self) -> None:
        """Nothing to check."""

    def lay(self, spec: BoardSpec, kernel: Path) -> None:
        """Nothing to install."""
