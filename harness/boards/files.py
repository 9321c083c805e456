"""Strict models of board and lab files: one for each of the three forms of a board file, one for a lab file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.config.strict import keys_of

FIRMWARE_BAUD: Final = 921_600
"""The baud rate that kernels are built for by default (firmware/drivers/uart.c)."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=15)]
PlaceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=40)]
Seconds = Annotated[float, Field(gt=0, le=600)]
Instances = Annotated[int, Field(ge=1, le=64)]
Baud = Annotated[int, Field(ge=9600, le=4_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class QemuPart(_Strict):
    """How to start the machine. `boot`: the kernel file format; `icount: false`: no virtual time."""

    machine: str
    cpu: str | None = None
    memory_mib: Annotated[int, Field(ge=64, le=8192)]
    cores: Annotated[int, Field(ge=1, le=8)]
    boot: Literal["elf", "img"]
    extra: list[str] = Field(default=[])
    icount: bool = True


class ClocksPart(_Strict):
    """Clocks of the board that its kernel must know, in Hz."""

    uart_hz: Annotated[int, Field(ge=1_000_000, le=200_000_000)]


class DriverPart(BaseModel):
    """A driver and its options. The driver may be omitted if the board type names one."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    driver: str | None = None


class PlacePart(_Strict):
    """One board and how to reach it; `power` and `boot` override those of the board type, option by option."""

    name: PlaceName
    console: Annotated[str, Field(min_length=1)] | None = None
    power: DriverPart | None = None
    boot: DriverPart | None = None
    probe: str = ""


class QemuFile(_Strict):
    """A board file of a QEMU board type."""

    version: Literal[1] = Field(alias="schema")
    kind: Name
    firmware: Name
    tags: list[str] = Field(default=[])
    instances: Instances = 1
    console: Literal["unix", "pty"] = "unix"
    baud: Baud = FIRMWARE_BAUD
    boot_timeout_s: Seconds = 10.0
    request_timeout_s: Seconds = 5.0
    scenario: str | None = None
    qemu: QemuPart


class HardwareFile(_Strict):
    """A board file of a hardware board type: its places, and what they have in common."""

    version: Literal[1] = Field(alias="schema")
    kind: Name
    firmware: Name
    tags: list[str] = Field(default=[])
    baud: Baud = FIRMWARE_BAUD
    clocks: ClocksPart | None = None
    boot_timeout_s: Seconds = 60.0
    request_timeout_s: Seconds = 5.0
    scenario: str | None = None
    power: DriverPart | None = None
    boot: DriverPart | None = None
    places: list[PlacePart] = Field(default=[])


class LikeFile(_Strict):
    """A board file that refers to another one; a lab file or a simulator provides its places."""

    version: Literal[1] = Field(alias="schema")
    kind: Name
    like: Name
    tags: list[str] = Field(default=[])
    instances: Instances = 1
    sim: QemuPart | None = None


class LabFile(_Strict):
    """The places of a lab, by board type; they override those of the board files."""

    version: Literal[1] = Field(alias="schema")
    places: dict[Name, list[PlacePart]]


BoardFile = QemuFile | HardwareFile | LikeFile
BOARD_FORMS: Final[tuple[type[BaseModel], ...]] = (QemuFile, HardwareFile, LikeFile)


def form_of(path: Path) -> type[Any]:
    """The model for a file, selected by its keys; an unreadable file gets the QEMU model."""
    keys = keys_of(path)
    if "like" in keys:
        return LikeFile
    if "qemu" in keys:
        return QemuFile
    if "places" in keys and "kind" not in keys:
        return LabFile
    if keys & {"places", "power", "boot", "clocks"}:
        return HardwareFile
    return QemuFile
