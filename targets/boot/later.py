"""Boot methods that a board file may name already and that come later: `jtag` and `sd-mux`."""

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
    """A method whose options validate and which is refused at use."""

    name: ClassVar[str]
    Options: ClassVar[type[BaseModel]]

    def __init__(self, options: BaseModel) -> None:
        self.options = options

    def check(self) -> None:
        """Raise InfraError: it comes later."""
        raise InfraError(
            f"boot method `{self.name}` comes later",
            expected="`netboot` or `direct`, or a driver of your own (`FILE.py:NAME`)",
            seen=f"driver: {self.name}",
            do="change the `boot` of this place until this version of Assay has it",
        )

    def lay(self, spec: BoardSpec, kernel: Path) -> None:  # noqa: ARG002 - a Boot
        """Raise InfraError: it comes later."""
        self.check()


class JtagBoot(_Later):
    """The kernel written into RAM by a debug probe."""

    name = "jtag"
    Options = JtagOptions


class SdMuxBoot(_Later):
    """The kernel written to a card that a multiplexer hands from this machine to the board."""

    name = "sd-mux"
    Options = SdMuxOptions
