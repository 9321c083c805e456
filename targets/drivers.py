"""Finds a driver by name, and creates a place's board from its drivers.

A name is an entry point of the groups below, or `FILE.py:NAME`: a class in a lab's own file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from contracts.board import BoardSpec, DriverSpec, Place
from contracts.errors import AssayError, ConfigError, did_you_mean
from targets.protocols import Boot, Console, Power, Target

CONSOLE: Final = "assay.console"
POWER: Final = "assay.power"
BOOT: Final = "assay.boot"
DEVICE: Final = "device"
"""The console driver of an address without `DRIVER://`."""

_METHODS: Final = {
    CONSOLE: ("open", "check", "present"),
    POWER: ("on", "off", "state", "check"),
    BOOT: ("lay", "check"),
}


@cache
def _known(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def known_drivers(group: str) -> list[str]:
    """The installed drivers of a group, by name."""
    return sorted(_known(group))


def is_file_driver(name: str) -> bool:
    """Whether a name is `FILE.py:NAME`."""
    return ".py:" in name


def located_driver(name: str, folder: Path) -> str:
    """A driver's name; its file, if any, is resolved relative to `folder`."""
    if not is_file_driver(name):
        return name
    file, _, attribute = name.rpartition(":")
    return f"{(folder / Path(file).expanduser()).resolve()}:{attribute}"


@cache
def _module_of(path: Path) -> Any:
    name = f"assay_lab_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def find_driver(group: str, name: str, at: str = "") -> type[Any]:
    """The class of a driver. `at` (`FILE:LINE:COLUMN: `) is the prefix of the message. Raises ConfigError."""
    word = group.rpartition(".")[2]
    if is_file_driver(name):
        file, _, attribute = name.rpartition(":")
        try:
            module = _module_of(Path(file))
        except Exception as error:
            raise ConfigError(
                f"{at}the {word} driver's file {file} cannot be loaded",
                expected="a Python file with the driver's class",
                seen=f"{type(error).__name__}: {error}",
                do="correct the file, or its path (relative to the file that names it)",
            ) from error
        found = getattr(module, attribute, None)
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        hint = did_you_mean(attribute, classes)
    else:
        entry = _known(group).get(name)
        if entry is None:
            known = known_drivers(group)
            raise ConfigError(
                f"{at}no {word} driver {name!r}{did_you_mean(name, known)}",
                expected=f"one of {', '.join(known)}, or FILE.py:NAME" if known else "installed drivers",
                seen=name if known else f"none: no entry point of the group {group}",
                do="correct the name"
                if known
                else "run `./assay`, which installs the project's entry points",
            )
        try:
            found = entry.load()
        except Exception as error:
            raise ConfigError(
                f"{at}the {word} driver {name!r} cannot be loaded",
                expected=entry.value,
                seen=f"{type(error).__name__}: {error}",
                do="repair or remove the package that provides it",
            ) from error
        hint = ""
    needed = _METHODS[group]
    lacks = [method for method in needed if not callable(getattr(found, method, None))]
    options = getattr(found, "Options", None)
    if group != CONSOLE and not (isinstance(options, type) and issubclass(options, BaseModel)):
        lacks.append("Options (a pydantic model)")
    if not isinstance(found, type) or lacks:
        raise ConfigError(
            f"{at}{name} is not a {word} driver{hint}",
            expected=f"a class with {', '.join(needed)}" + ("" if group == CONSOLE else " and Options"),
            seen="no such name" if found is None else f"no {', '.join(lacks) or 'class'}",
            do="see docs/boards.md, `Writing a driver`",
        )
    return found


def split_console(console: str) -> tuple[str, str]:
    """A place's console as driver and address: `DRIVER://ADDRESS`, or a device path."""
    driver, separator, address = console.partition("://")
    return (driver, address) if separator else (DEVICE, console)


def console_of(place: Place) -> Console:
    """The place's console. Raises ConfigError."""
    driver, address = split_console(place.console)
    console: Console = find_driver(CONSOLE, driver)(address)
    return console


def _make(group: str, spec: DriverSpec) -> Any:
    found = find_driver(group, spec.driver)
    return found(found.Options.model_validate(dict(spec.options)))


def power_of(place: Place) -> Power:
    """The place's power switch. Raises ConfigError for a place without one."""
    if place.power is None:
        raise ConfigError(
            f"place {place.name} has no power", expected="a `power` part", do="correct its file"
        )
    power: Power = _make(POWER, place.power)
    return power


def boot_of(place: Place) -> Boot:
    """The place's boot method. Raises ConfigError for a place without one."""
    if place.boot is None:
        raise ConfigError(
            f"place {place.name} has no boot method", expected="a `boot` part", do="correct its file"
        )
    boot: Boot = _make(BOOT, place.boot)
    return boot


def missing_parts(place: Place) -> list[AssayError]:
    """What a hardware place currently lacks; empty if it can be used. Switches and writes nothing."""
    out: list[AssayError] = []
    for part in (console_of, power_of, boot_of):
        try:
            part(place).check()
        except AssayError as error:
            out.append(error)
    return out


def make_target(
    spec: BoardSpec,
    place: Place,
    kernel_elf: Path,
    kernel_img: Path,
    *,
    icount: bool = True,
    seed: int | None = None,
) -> Target:
    """The board at `place`, off: a QEMU process, or hardware with the place's drivers.

    Gets the kernel as ELF and as raw image and uses the format that the board boots. `icount` and `seed` are for QEMU.
    """
    if spec.qemu is not None:
        from targets.qemu import QemuBoard

        kernel = kernel_elf if spec.qemu.boot == "elf" else kernel_img
        return QemuBoard(spec, kernel, icount=icount, seed=seed)
    from targets.hardware import HardwareBoard

    return HardwareBoard(
        spec, place, kernel_img, console=console_of(place), power=power_of(place), boot=boot_of(place)
    )
