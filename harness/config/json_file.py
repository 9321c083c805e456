"""External JSON: limited in size, depth and numbers; mistakes are reported with file and location."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.errors import ConfigError
from contracts.plain_file import read_plain

FILE_MAX: Final = 64 << 20
"""Bytes of one file, or of one line of a JSON-lines file."""
_VALUES_MAX: Final = 8_000_000
_DEPTH_MAX: Final = 64
_WHOLE_MAX: Final = 1 << 63
_DIGITS_MAX: Final = 20


class _Wrong(ValueError):
    """A mistake in a document, without its file."""


def read_json(
    path: Path,
    *,
    lenient: bool = False,
    expected: str = "a JSON file of a finished run",
    do: str = "run it again",
) -> Any:
    """The document in a file: at most FILE_MAX bytes, 64 levels, integers below 2**63, finite numbers.

    A text that is not Unicode (half of a surrogate pair) gets replacement characters. `lenient`: a number out of bounds
    is None, and the last of equal keys counts. Raises ConfigError, with the location in the file, for a document that
    is missing, unreadable or invalid.
    """
    try:
        return parse_json(read_plain(path, FILE_MAX), lenient=lenient)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read", expected=expected, seen=str(error), do=do) from error
    except ConfigError as error:
        seen = f"{error.seen} instead of {error.expected}"
        raise ConfigError(error.what, expected=expected, seen=seen, do=do) from error


def parse_json(data: bytes, *, lenient: bool = False) -> Any:
    """The document in `data`, like `read_json`. Raises ValueError with the mistake and its location."""
    if data.count(b",") + data.count(b"[") + data.count(b"{") > _VALUES_MAX:
        raise _Wrong(f"more than {_VALUES_MAX:,} values")
    try:
        document = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=None if lenient else _without_repetition,
            parse_constant=lambda _word: math.inf,
            parse_int=_whole,
        )
    except RecursionError:
        raise _Wrong("lists or objects that are nested too deeply") from None
    return _checked(document, lenient=lenient)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise _Wrong(f"the key {_unicode(twice[:80])!r} twice in one object")
    return made


def _whole(digits: str) -> int:
    """An integer, or one out of bounds: Python refuses to convert very many digits."""
    return int(digits) if len(digits) <= _DIGITS_MAX else _WHOLE_MAX


_Place = tuple[Any, Any] | None  # the location of the container, and the key or index in it


def _checked(document: Any, *, lenient: bool) -> Any:
    """The document with its numbers, depth and texts checked, value by value."""
    root = [document]
    waiting: list[tuple[Any, int, _Place]] = [(root, 0, None)]
    while waiting:
        container, depth, place = waiting.pop()
        for key, value in container.items() if type(container) is dict else enumerate(container):
            kind = type(value)
            if kind is dict or kind is list:
                if depth >= _DEPTH_MAX:
                    raise _Wrong(f"{_shown((place, key))[:80]}: more than {_DEPTH_MAX} levels")
                waiting.append((value, depth + 1, (place, key)))
            elif kind is str:
                if not value.isascii():
                    container[key] = _unicode(value)
            elif kind in _OUT_OF_BOUNDS and (wrong := _OUT_OF_BOUNDS[kind](value)):
                if not lenient:
                    raise _Wrong(f"{_shown((place, key))}: {wrong}")
                container[key] = None
        if type(container) is dict and not all(map(str.isascii, container)):
            for key in [key for key in container if _unicode(key) is not key]:
                container[_unicode(key)] = container.pop(key)
    return root[0]


_OUT_OF_BOUNDS: Final[Mapping[type, Callable[[Any], str]]] = {
    int: lambda whole: "" if -_WHOLE_MAX <= whole < _WHOLE_MAX else "an integer of more than 64 bits",
    float: lambda number: "" if math.isfinite(number) else "not a finite number",
}


def _unicode(text: str) -> str:
    """The text itself, or a version that can be written as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("utf-8")
    return text


def _shown(place: _Place) -> str:
    """A readable location: `boards.0.stages.3.value`."""
    steps: list[str] = []
    while place is not None:
        place, key = place
        steps.append(_unicode(str(key)[:80]))
    return ".".join(reversed(steps[:-1])) or "the file"
