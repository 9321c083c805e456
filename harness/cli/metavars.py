"""Placeholders for option values in `--help`: FILE, N, SECONDS, the words of a choice; never a Python type."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

_FOLDERS: Final = ("results", "folder", "golden")


class _Kind(Protocol):
    """Typer's type of a parameter."""

    @property
    def annotation(self) -> object: ...
    @property
    def is_choice(self) -> bool: ...
    @property
    def is_bool(self) -> bool: ...
    @property
    def choices(self) -> typing.Iterable[object] | None: ...


@runtime_checkable
class _Parameter(Protocol):
    """An option or argument of Typer."""

    name: str | None
    metavar: str | None
    is_flag: bool
    type_descriptor: _Kind


def name_values(command: object) -> None:
    """Give every option and argument of a command and its subcommands a readable metavar if it has none."""
    for parameter in getattr(command, "params", ()):
        flag = getattr(parameter, "is_flag", False)
        if parameter.metavar is None and not flag and hasattr(parameter, "type_descriptor"):
            parameter.metavar = _metavar(parameter)
        if getattr(parameter, "param_type_name", "") == "argument":
            # Typer would add the type after the name, which is sufficient.
            parameter.display_type_rich = _nothing
    for below in (getattr(command, "commands", None) or {}).values():
        name_values(below)


def _nothing(**_: object) -> None:
    return None


def _metavar(parameter: _Parameter) -> str:
    kind = parameter.type_descriptor
    if kind.is_choice:
        return "|".join(str(getattr(choice, "value", choice)) for choice in kind.choices or ())
    name = (parameter.name or "value").rstrip("_")
    inner = [part for part in typing.get_args(kind.annotation) if part is not type(None)] or [kind.annotation]
    if Path in inner:
        return "FOLDER" if name in _FOLDERS else "FILE"
    return "N" if int in inner else "SECONDS" if float in inner else name.upper().replace("_", "-")
