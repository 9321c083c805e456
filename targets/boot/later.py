"""Boot methods that a board file may name but that are not implemented yet: `jtag` and `sd-mux`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, Field

from contracts.board import BoardSpec
from contracts.errors import InfraError
from targets.options import LocatedPath, Options


class JtagOptions(Options):
    """`speed_khz`: the probe's clock."""

    speed_khz: Annotated[int, Field(ge=10, le=50_000)] = 4000


class SdMuxOptions(Options):
    """`device`: the multiplexer's control device; `partition`: the card's boot partition, as this machine sees it."""

    device: LocatedPath
    partition: LocatedPath


class _Later:
    """A method whose options are checked and whose use is rejected."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: BaseModel) -> None:
        self.options = options

    def check(self) -> None:
        """Raise InfraError: it is not implemented yet."""
        raise InfraError(
            f"boot method `{self.name}` is not implemented yet",
            expected="`netboot` or `direct`, or your own driver (`FILE.py:NAME`)",
            seen=f"driver: {self.name}",
            do="use another `boot` driver for this place",
        )

    def lay(self, spec: BoardSpec, kernel: Path) -> None:  # noqa: ARG002 - a Boot
        """Raise InfraError: it is not implemented yet."""
        self.check()


class JtagBoot(_Later):
    """A debug probe writes the kernel into RAM."""

    name = "jtag"
    Options = JtagOptions


class SdMuxBoot(_Later):
    """The kernel is written to an SD card, which a multiplexer switches between this machine and the board."""

    name = "sd-mux"
    Options = SdMuxOptions
