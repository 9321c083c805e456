"""What board and lab files may say: strict models, one for each of the three forms of a board file, one for a lab."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from harness.config.strict import keys_of

FIRMWARE_BAUD: Final = 921_600
"""The speed that kernels are built for unless a board file says another (firmware/drivers/uart.c)."""

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=15)]
PlaceName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$", max_length=40)]
Seconds = Annotated[float, Field(gt=0, le=600)]
Instances = Annotated[int, Field(ge=1, le=64)]
Baud = Annotated[int, Field(ge=9600, le=4_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class QemuPart(_Strict):
    """How to start the machine. `boot`: which kernel file it takes; `icount: false`: no virtual time."""

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
    """A driver and its options. The driver may be left out where the kind gives one."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    driver: str | None = None


class PlacePart(_Strict):
    """One board of a kind and where it is; `power` and `boot` stand over those of the kind, option by option."""

    name: PlaceName
    console: Annotated[str, Field(min_length=1)] | None = None
    power: DriverPart | None = None
    boot: DriverPart | None = None
    probe: str = ""


class QemuFile(_Strict):
    """A board file of a kind that QEMU is."""

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
    """A board file of a kind of hardware: its places, and what they have in common."""

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
    """A board file of a kind that is another one in all but its places, which a lab file or a simulator gives."""

    version: Literal[1] = Field(alias="schema")
    kind: Name
    like: Name
    tags: list[str] = Field(default=[])
    instances: Instances = 1
    sim: QemuPart | None = None


class LabFile(_Strict):
    """The places of a lab, by kind: they take the place of those that the board files name."""

    version: Literal[1] = Field(alias="schema")
    places: dict[Name, list[PlacePart]]


BoardFile = QemuFile | HardwareFile | LikeFile
BOARD_FORMS: Final[tuple[type[BaseModel], ...]] = (QemuFile, HardwareFile, LikeFile)


def form_of(path: Path) -> type[Any]:
    """Which model a file is meant for, by the keys it has; unreadable ones are meant for a QEMU board."""
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
