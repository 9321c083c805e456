"""A crash shown once: the message of an error without the lines that its crash record also contains."""

from __future__ import annotations

import re
from typing import Final

_SYMBOL: Final = re.compile(r" \([A-Za-z_][\w.$]*(?:\+0x[0-9a-f]+)?\)")
_LEAST_SAME: Final = 2


def without_crash(message: str, crash: str) -> str:
    """`message` without the lines that `crash` repeats with function names; unchanged if they share few lines."""
    told = {_bare(line) for line in crash.splitlines()} - {""}
    lines = message.splitlines()
    kept = [line for line in lines if _bare(line) not in told]
    return "\n".join(kept) if len(lines) - len(kept) >= _LEAST_SAME else message


def _bare(line: str) -> str:
    return _SYMBOL.sub("", line).strip().removeprefix("seen: ")
