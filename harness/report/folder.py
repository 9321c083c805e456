"""A run's folder, read file by file and linked, within the size limit of one page."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from contracts.errors import ConfigError
from contracts.plain_file import open_plain, read_plain, tail_plain
from harness.config.json_file import FILE_MAX
from harness.report.fields import json_lines
from harness.report.view import Listing

LISTING_CHARS: Final = 200_000
ALL_LISTINGS_CHARS: Final = 1_500_000
"""Limit for all listings of one page, in characters; further ones are only links."""
_TAIL_BYTES: Final = 1 << 20


def plain_name(name: str) -> bool:
    """True if a name from a record (a board type, a part of a path) stays below the run's folder."""
    return bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", name))


@dataclass(slots=True)
class Room:
    """The remaining number of characters for listings on the page."""

    left: int = ALL_LISTINGS_CHARS


@dataclass(frozen=True, slots=True)
class Reader:
    """One run's folder, read and linked to."""

    folder: Path
    base: str
    room: Room

    def href(self, *names: str) -> str:
        """A link from the page to a file of the run."""
        return "/".join([*([self.base] if self.base else []), *(quote(name, safe="") for name in names)])

    def listing(self, title: str, board: str, situation: str, name: str) -> Listing | None:
        """A text file, truncated to the remaining space. None if it is missing or unreadable."""
        path = self.folder / board / situation / name
        try:
            with os.fdopen(open_plain(path), "rb") as file:
                raw = file.read(LISTING_CHARS * 4)
                size = os.fstat(file.fileno()).st_size
        except (OSError, ConfigError):
            return None
        href = self.href(board, situation, name)
        text = raw.decode("utf-8", errors="replace")
        allowed = min(LISTING_CHARS, self.room.left)
        kept = text
        if len(text) > allowed or size > len(raw):
            kept = text[:allowed]
            kept = kept[: kept.rfind("\n") + 1] or kept
        self.room.left -= len(kept)
        cut = text.count("\n") - kept.count("\n") if len(kept) < len(text) else 0
        return Listing(title, kept, href, max(cut, int(len(kept) < len(text))))

    def lines(self, *names: str) -> tuple[list[Mapping[str, object]], int] | None:
        """A JSON-lines file and the number of damaged lines; None if it cannot be read."""
        try:
            return json_lines(read_plain(self.folder.joinpath(*names), FILE_MAX))
        except (OSError, ConfigError):
            return None

    def tail(self, *names: str) -> tuple[list[Mapping[str, object]], int] | None:
        """Like `lines`, for the end of a file that may be large."""
        try:
            data, size = tail_plain(self.folder.joinpath(*names), _TAIL_BYTES)
        except (OSError, ConfigError):
            return None
        if size > _TAIL_BYTES:
            data = data.partition(b"\n")[2]
        return json_lines(data)
