"""Shortens tracebacks: an AssayError describes itself, so the lab's own frames are hidden."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Final

import pytest

from contracts.errors import AssayError
from contracts.root import ROOT

_OURS: Final = tuple(ROOT / name for name in ("assay_lab", "contracts", "harness", "targets", "ai"))
_OTHERS: Final = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib"))


def end_at_the_test(error: pytest.ExceptionInfo[BaseException]) -> None:
    """Remove the lab's own frames below the test's last line, or below the fixture that failed before it.

    Other errors keep all frames: they may be bugs in the lab's code. `--full-trace` shows everything.
    """
    if not isinstance(error.value, AssayError):
        return
    whose = [_whose(Path(frame.f_code.co_filename)) for frame, _, _ in _frames(error.tb)]
    if "test" in whose:
        end = len(whose) - whose[::-1].index("test")
    elif "others" in whose:
        end = len(whose) - whose[::-1].index("others") + 1
    else:
        return
    short: TracebackType | None = None
    for frame, lasti, lineno in reversed(
        list(_frames(error.tb))[:end]
    ):  # a copy: a debugger keeps the whole traceback
        short = TracebackType(short, frame, lasti, lineno)
    if short is not None:
        error.traceback = type(error.traceback)(short)


def _frames(raw: TracebackType | None) -> Iterator[tuple[FrameType, int, int]]:
    while raw is not None:
        yield raw.tb_frame, raw.tb_lasti, raw.tb_lineno
        raw = raw.tb_next


def _whose(path: Path) -> str:
    if any(path.is_relative_to(folder) for folder in _OURS):
        return "ours"
    return "others" if any(path.is_relative_to(folder) for folder in _OTHERS) else "test"
