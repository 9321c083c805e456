"""The end of a channel transcript, as rows of a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from contracts.wire.frames import FrameKind
from harness.channel.describe import message_number, payload_text
from harness.report.fields import lines_damaged, number_of, text_of
from harness.report.folder import Reader
from harness.report.view import Frame

FRAMES: Final = 50

_TEXT_SHOWN: Final = 400


def last_frames(
    reader: Reader, names: tuple[str, ...], missing: list[str], count: int = FRAMES
) -> tuple[Frame, ...]:
    """The last frames of a transcript in a run's folder; adds missing or damaged parts to `missing`."""
    tail = reader.tail(*names)
    if tail is None:
        missing.append(names[-1])
        return ()
    rows, damaged = tail
    if damaged:
        missing.append(lines_damaged(names[-1], damaged))
    found: list[Frame] = []
    for row in rows[-count:]:
        frame = _frame(row)
        if found and _same(found[-1], frame):
            found[-1] = replace(found[-1], repeats=found[-1].repeats + 1)
        else:
            found.append(frame)
    return tuple(found)


def _frame(row: Mapping[str, object]) -> Frame:
    t = number_of(row.get("t"))
    return Frame(
        t=f"{t:.6f}" if t is not None else "",
        outgoing=row.get("dir") == ">",
        kind=text_of(row.get("kind")),
        message=text_of(row.get("message")),
        sequence=text_of(row.get("sequence")),
        status=text_of(row.get("status")),
        text=_decoded(text_of(row.get("kind")), text_of(row.get("message")), text_of(row.get("payload"))),
    )


def _same(before: Frame, frame: Frame) -> bool:
    """Whether two frames differ only in their time and number."""
    return replace(before, t="", sequence="", repeats=1) == replace(frame, t="", sequence="", repeats=1)


def _decoded(kind: str, message: str, payload: str) -> str:
    """The payload as in the console; as in the transcript if it cannot be decoded."""
    number = message_number(FrameKind[kind], message) if kind in FrameKind.__members__ else None
    try:
        text = "" if number is None else payload_text(FrameKind[kind], number, bytes.fromhex(payload))
    except ValueError:
        text = ""
    text = text or payload
    return text if len(text) <= _TEXT_SHOWN else f"{text[:_TEXT_SHOWN]}..."
