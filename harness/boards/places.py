"""Places from board and lab files: find each place's drivers, check its options, make paths absolute."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from contracts.board import DriverSpec, Place
from contracts.errors import ConfigError
from harness.boards.files import DriverPart, PlacePart
from harness.config.strict import explained_at, place_of
from targets.drivers import (
    BOOT,
    CONSOLE,
    POWER,
    find_driver,
    is_file_driver,
    located_driver,
    split_console,
)
from targets.options import FOLDERS

_GROUPS: Final = {"power": POWER, "boot": BOOT}
_Loc = tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Common:
    """What the places of a board type share, and the file that defines it."""

    path: Path
    power: DriverPart | None = None
    boot: DriverPart | None = None

    def part(self, name: str) -> DriverPart | None:
        """`power` or `boot`."""
        return self.power if name == "power" else self.boot


@dataclass(frozen=True, slots=True)
class _Option:
    """An option's value and its location."""

    value: Any
    path: Path
    loc: _Loc


def places_of(path: Path, loc: _Loc, parts: Sequence[PlacePart], common: Common) -> tuple[Place, ...]:
    """The places that `path` lists at `loc`. Raises ConfigError with the location of the mistake."""
    check_common(common)
    places: list[Place] = []
    for number, part in enumerate(parts):
        at = (*loc, number)
        place = _place(path, at, part, common)
        for other in places:
            if place.name == other.name:
                raise ConfigError(
                    f"{place_of(path, *at, 'name')}: two places have the name {place.name}",
                    expected="a name for each",
                    seen=place.name,
                    do="rename one of them",
                )
            if place.identity == other.identity:
                raise ConfigError(
                    f"{place_of(path, *at, 'console')}: {other.name} and {place.name} have the same console",
                    expected="a separate console for each board",
                    seen=place.console,
                    do="correct one of them",
                )
        places.append(place)
    return tuple(places)


def check_common(common: Common) -> None:
    """Check what a board type gives its places: it may be incomplete, but not wrong. Raises ConfigError."""
    for name in _GROUPS:
        part = common.part(name)
        if part is not None and part.driver is not None:
            options = _options(common.path, (name,), part)
            _driver(name, part.driver, common.path, (name,), options, whole=False)


def _place(path: Path, loc: _Loc, part: PlacePart, common: Common) -> Place:
    if part.console is None:
        raise ConfigError(
            f"{place_of(path, *loc)}: place {part.name} has no console",
            expected="the path of its serial device, or DRIVER://ADDRESS",
            seen="no `console`",
            do="add one: `ls /dev/serial/by-id`",
        )
    return Place(
        name=part.name,
        console=_console(path, (*loc, "console"), part.console),
        power=_merged(path, loc, "power", part.power, common),
        boot=_merged(path, loc, "boot", part.boot, common),
        probe=part.probe,
    )


def _console(path: Path, loc: _Loc, console: str) -> str:
    driver, address = split_console(console)
    if "://" not in console:
        return str(path.resolve().parent / Path(address).expanduser())
    driver = located_driver(driver, path.resolve().parent)
    find_driver(CONSOLE, driver, f"{place_of(path, *loc)}: ")
    return f"{driver}://{address}"


def _merged(path: Path, loc: _Loc, name: str, part: DriverPart | None, common: Common) -> DriverSpec:
    """The place's own options override those of the board type, unless it names another driver."""
    kind = common.part(name)
    if (part is None or part.driver is None) and (kind is None or kind.driver is None):
        raise ConfigError(
            f"{place_of(path, *loc)}: this place has no `{name}` driver",
            expected=f"`{name}: {{driver: ...}}` here or in the board file",
            seen="neither",
            do="add one; see docs/boards.md",
        )
    own = {} if part is None else _options(path, (*loc, name), part)
    if part is not None and part.driver is not None:
        driver, named_in, named_at = part.driver, path, (*loc, name)
    else:
        assert kind is not None
        assert kind.driver is not None
        driver, named_in, named_at = kind.driver, common.path, (name,)
    if kind is not None and _same(kind.driver, common.path, driver, named_in):
        own = _options(common.path, (name,), kind) | own
    at = (path, (*loc, name)) if part is not None else (path, loc)
    return _driver(name, driver, named_in, named_at, own, whole=True, missing_at=at)


def _same(first: str | None, first_in: Path, second: str, second_in: Path) -> bool:
    return first is not None and located_driver(first, first_in.resolve().parent) == located_driver(
        second, second_in.resolve().parent
    )


def _options(path: Path, loc: _Loc, part: DriverPart) -> dict[str, _Option]:
    return {key: _Option(value, path, (*loc, key)) for key, value in (part.model_extra or {}).items()}


def _driver(
    name: str,
    driver: str,
    path: Path,
    loc: _Loc,
    options: dict[str, _Option],
    *,
    whole: bool,
    missing_at: tuple[Path, _Loc] | None = None,
) -> DriverSpec:
    """The driver named at `loc` of `path` with `options`; if not `whole`, more options may come from elsewhere."""
    folder = path.resolve().parent
    found = find_driver(_GROUPS[name], located_driver(driver, folder), f"{place_of(path, *loc, 'driver')}: ")
    context = {FOLDERS: {key: option.path.resolve().parent for key, option in options.items()}}
    try:
        model = found.Options.model_validate(
            {key: option.value for key, option in options.items()}, context=context
        )
    except ValidationError as error:
        details = [detail for detail in error.errors() if whole or detail["type"] != "missing"]
        details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
        for detail in details:
            key = detail["loc"][0] if detail["loc"] else ""
            if key in options:
                where, lead = options[str(key)].path, options[str(key)].loc[:-1]
            else:
                where, lead = missing_at or (path, loc)
            raise explained_at(where, lead, found.Options, detail) from error
        return DriverSpec(driver)
    return DriverSpec(
        located_driver(driver, folder) if is_file_driver(driver) else driver,
        model.model_dump(mode="json", exclude_unset=True),
    )
