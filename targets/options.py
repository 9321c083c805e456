"""Common parts of drivers' options: strict models, and paths relative to the file that names them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

FOLDERS = "folders"
"""Key of the validation context: for each option the folder of the file that contains it."""


class Options(BaseModel):
    """Options of a driver: unknown keys and values of the wrong type are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _located(path: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get(FOLDERS, {}).get(info.field_name)
    path = path.expanduser()
    return Path(os.path.normpath(Path(folder) / path)) if folder is not None else path


def _program(argv: list[str], info: ValidationInfo) -> list[str]:
    if "/" not in argv[0]:
        return argv
    return [str(_located(Path(argv[0]), info)), *argv[1:]]


LocatedPath = Annotated[Path, Field(strict=False), AfterValidator(_located)]
"""A path, relative to the file that names it; `~` is the user's home."""

Command = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1), AfterValidator(_program)]
"""A program and its arguments; a program with a `/` is a path, relative to the file that names it."""

Seconds = Annotated[float, Field(gt=0, le=600)]
"""A time-out in seconds."""

Pause = Annotated[float, Field(ge=0, le=60)]
"""A wait in seconds; may be 0."""
