"""The end of a channel transcript, as rows of a page."""

from __future__ import annotations

from typing import Final

from harness.report.fields import lines_damaged, number_of, text_of
from harness.report.folder import Reader
from harness.report.view import Frame

FRAMES: Final = 50

_PAYLOAD_SHOWN: Final = 64


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
    return tuple(
        Frame(
            t=f"{t:.6f}" if (t := number_of(row.get("t"))) is not None else "",
            outgoing=row.get("dir") == ">",
            kind=text_of(row.get("kind")),
            message=text_of(row.get("message")),
            sequence=text_of(row.get("sequence")),
            status=text_of(row.get("status")),
            payload=payload[:_PAYLOAD_SHOWN],
            payload_cut=max(0, len(payload) - _PAYLOAD_SHOWN) // 2,
        )
        for row in rows[-count:]
        for payload in [text_of(row.get("payload"))]
    )
