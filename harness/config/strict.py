"""YAML files checked against strict models: each mistake with file, line, column and the nearest valid value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, StringMark
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.reader import ReaderError

from contracts.errors import ConfigError, did_you_mean
from contracts.plain_file import read_plain

ModelT = TypeVar("ModelT", bound=BaseModel)

FILE_MAX: Final = 128 << 10
"""Bytes of one file."""
_LEVELS_MAX: Final = 32
_BRACKETS_MAX: Final = 128  # also counts those in quotes and comments
_VALUES_MAX: Final = 10_000
_DIGITS_MAX: Final = 18
_FLOAT_MAX: Final = 40
_ERRORS_MAX: Final = 100
_SEEN_MAX: Final = 200
_BOOLS: Final = ("true", "false", "yes", "no", "on", "off", "y", "n")
_SCALARS: Final = tuple(
    f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "merge")
)


def load_yaml(path: Path, model: type[ModelT]) -> ModelT:
    """Read `path` and validate it. Raises ConfigError if it is missing, not YAML, or does not match `model`."""
    document = _document(path)
    try:
        return model.model_validate(_plain(document))
    except ValidationError as error:
        # A misspelt key is also a missing key: the former message says more.
        first = min(error.errors(), key=lambda detail: detail["type"] != "extra_forbidden")
        raise _explained(path, document, model, first, error.error_count()) from error


def every_error(path: Path, model: type[BaseModel]) -> list[ConfigError]:
    """All mistakes in a file, in line order; empty if `load_yaml` accepts it."""
    try:
        document = _document(path)
    except ConfigError as error:
        return [error]
    try:
        model.model_validate(_plain(document))
    except ValidationError as error:
        details = error.errors()
        strays = {detail["loc"][:-1] for detail in details if detail["type"] == "extra_forbidden"}
        # If a key is missing, an unknown key next to it is most likely a misspelling of it.
        told = [d for d in details if d["type"] != "missing" or d["loc"][:-1] not in strays]
        told.sort(key=lambda detail: _line_and_column(document, detail))
        return [_explained(path, document, model, detail, 1) for detail in told[:_ERRORS_MAX]]
    return []


def keys_of(path: Path) -> set[str]:
    """The top-level keys of a file; empty for a file that `load_yaml` rejects."""
    try:
        document = _document(path)
    except ConfigError:
        return set()
    return {str(key) for key in document} if isinstance(document, CommentedMap) else set()


def explained_at(
    path: Path, loc: Sequence[int | str], model: type[BaseModel], detail: ErrorDetails
) -> ConfigError:
    """The error for a part of `path`, at `loc`, that was validated separately against `model`."""
    return _explained(path, _document(path), model, detail, 1, tuple(loc))


def place_of(path: Path, *loc: int | str) -> str:
    """`FILE:LINE:COLUMN` of the value at `loc`, for a check that a model cannot make."""
    return f"{path}{_position(_document(path), loc, of_key=False)}"


def _document(path: Path) -> Any:
    """The file as ruamel reads it. Raises ConfigError if it is missing, not YAML, or exceeds the limits of a file."""
    try:
        text = read_plain(path, FILE_MAX).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"{path} cannot be read", expected="a YAML file", seen=str(error), do="check the path"
        ) from error
    document, wrong = _parsed(text)
    if wrong is not None:
        at = ":".join(str(number) for number in wrong.place)
        raise ConfigError(
            f"{path}{at and ':' + at} is not YAML",
            expected="YAML 1.2 of moderate size",
            seen=wrong.why,
            do="correct that line",
        )
    return document


@dataclass(frozen=True, slots=True)
class _Wrong:
    """Why a text is not YAML within the limits; `place` is line and column if known."""

    place: tuple[int, ...]
    why: str


@lru_cache(maxsize=64)
def _parsed(text: str) -> tuple[Any, _Wrong | None]:
    """A text parsed by ruamel, cached because the parser is slow. Callers must not modify the result."""
    parser = YAML(typ="rt")
    parser.Composer = _Bounded
    try:
        _look_at_brackets(text)
        return parser.load(text), None
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = (mark.line + 1, mark.column + 1) if mark else ()
        return None, _Wrong(place, str(error.problem or error)[:_SEEN_MAX])
    except ReaderError as error:  # a character that YAML does not allow
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        return None, _Wrong(place, f"the character {error.character!r}")
    except Exception as error:  # noqa: BLE001 - any exception of the parser is a mistake in the text
        at = parser.reader
        return None, _Wrong((at.line + 1, at.column + 1), f"{type(error).__name__}: {error}"[:_SEEN_MAX])


def _look_at_brackets(text: str) -> None:
    """Refuse deep nesting at once: the scanner's time is quadratic in the number of open brackets on a line."""
    depth = 0
    for found in re.finditer(r"[\[{]|[\]}]", text):
        depth += 1 if found[0] in "[{" else -1
        if depth > _BRACKETS_MAX:
            before = text[: found.start()]
            mark = StringMark("", 0, before.count("\n"), len(before) - before.rfind("\n") - 1, None, 0)
            raise _beyond(mark, f"more than {_LEVELS_MAX} levels")


class _Bounded(Composer):
    """ruamel's composer with limits: levels, values (an alias counts as its expansion), plain numbers."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self._open: list[str] = []
        self._sizes: dict[str, int] = {}
        self._level = 0
        self._count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        name = event.anchor or ""
        is_alias = isinstance(event, AliasEvent)
        if is_alias and name in self._open:
            raise _beyond(event.start_mark, f"{name!r} contains itself")
        self._count += self._sizes.get(name, 1) if is_alias else 1
        if self._count > _VALUES_MAX:
            raise _beyond(event.start_mark, f"more than {_VALUES_MAX:,} values, with aliases expanded")
        if self._level >= _LEVELS_MAX:
            raise _beyond(event.start_mark, f"more than {_LEVELS_MAX} levels")
        before = self._count
        self._level += 1
        if name and not is_alias:
            self._open.append(name)
        node = super().compose_node(parent, index)
        if name and not is_alias:
            self._open.pop()
            self._sizes[name] = self._count - before + 1
        self._level -= 1
        return node

    def compose_scalar_node(self, anchor: Any) -> Any:
        node = super().compose_scalar_node(anchor)
        tag = str(node.tag)
        if tag not in _SCALARS:
            raise _beyond(node.start_mark, f"a value of type {tag.rpartition(':')[2]!r}: put it in quotes")
        if tag.endswith(":bool") and node.value.lower() not in _BOOLS:
            raise _beyond(node.start_mark, f"{node.value[:40]!r}, which is neither true nor false")
        if tag.endswith((":int", ":float")) and not _is_moderate(node.value):
            raise _beyond(node.start_mark, f"a number out of bounds: {node.value[:40]}")
        return node


def _is_moderate(number: str) -> bool:
    """Whether a number in the file has at most 18 digits, or is finite if it is not an integer."""
    plain = number.replace("_", "").lstrip("+-").lower()
    if (plain.isalnum() and "e" not in plain.removeprefix("0x")) or plain.startswith("0x"):
        return len(plain) <= _DIGITS_MAX
    try:
        return len(plain) <= _FLOAT_MAX and math.isfinite(float(plain))
    except ValueError:  # .inf and .nan
        return False


def _beyond(mark: Any, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=mark)


def _line_and_column(document: Any, detail: ErrorDetails) -> tuple[int, ...]:
    at = _position(document, detail["loc"], of_key=detail["type"] == "extra_forbidden")
    return tuple(int(number) for number in at.split(":")[1:])


def _plain(node: Any) -> Any:
    """ruamel's containers as plain ones (a strict model accepts only dict and list)."""
    if isinstance(node, dict):
        return {str(key): _plain(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_plain(value) for value in node]
    if isinstance(node, bool) or node is None:
        return node
    for base in (int, float, str):
        if isinstance(node, base):
            return base(node)
    return node


def _position(document: Any, loc: Sequence[int | str], *, of_key: bool) -> str:
    """`:line:column` of the deepest part of `loc` in the file: its value, or (`of_key`) its key."""
    node, at = document, ":1:1"
    for depth, step in enumerate(loc, start=1):
        try:
            if isinstance(node, CommentedMap) and step in node:
                line, column = node.lc.key(step) if of_key and depth == len(loc) else node.lc.value(step)
            elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
                line, column = node.lc.item(step)
            else:
                break
        except (KeyError, TypeError, AttributeError):
            break
        at = f":{line + 1}:{column + 1}"
        node = node[step]
    return at


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Names that the model knows where `loc` ends, for a suggestion."""
    current: Any = model
    for step in loc:
        if isinstance(step, int) or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        field = next((f for name, f in current.model_fields.items() if step in (name, f.alias)), None)
        if field is None:
            break
        current = _model_in(field.annotation) or current
    return [field.alias or name for name, field in current.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        found = _model_in(inner)
        if found is not None:
            return found
    return None


def _explained(
    path: Path,
    document: Any,
    model: type[BaseModel],
    detail: ErrorDetails,
    count: int,
    lead: tuple[int | str, ...] = (),
) -> ConfigError:
    loc = [step for step in detail["loc"] if not (isinstance(step, str) and step.startswith("function-"))]
    where = ".".join(str(step) for step in (*lead, *loc)) or "the file"
    at = f"{path}{_position(document, (*lead, *loc), of_key=detail['type'] == 'extra_forbidden')}"
    more = f" ({count - 1} more after this one)" if count > 1 else ""
    if detail["type"] == "extra_forbidden":
        known = _fields_at(model, loc[:-1])
        return ConfigError(
            f"{at}: unknown key {str(loc[-1])[:_SEEN_MAX]!r}{did_you_mean(str(loc[-1]), known)}{more}",
            expected=f"one of {', '.join(known)}",
            seen=str(loc[-1])[:_SEEN_MAX],
            do="correct or remove the key",
        )
    if detail["type"] in ("literal_error", "enum"):
        allowed = str(detail.get("ctx", {}).get("expected", ""))
        choices = re.findall(r"'([^']*)'", allowed) or [allowed]
        hint = did_you_mean(str(detail["input"]), choices)
        return ConfigError(
            f"{at}: invalid value for {where}{hint}{more}",
            expected=f"one of {', '.join(choices)}",
            seen=repr(detail["input"])[:_SEEN_MAX],
            do="correct the value",
        )
    if not (lead or loc) and not isinstance(document, dict):
        return ConfigError(
            f"{path} has no keys",
            expected=f"a mapping with {', '.join(_fields_at(model, ()))}",
            seen="an empty file" if document is None else repr(document)[:_SEEN_MAX],
            do="see docs/boards.md or docs/budgets.md; `assay config schema` describes each key",
        )
    seen = "nothing" if detail["type"] == "missing" else repr(detail["input"])[:_SEEN_MAX]
    return ConfigError(
        f"{at}: {where}: {detail['msg']}{more}", expected=detail["msg"], seen=seen, do="correct the value"
    )
