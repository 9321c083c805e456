"""`assay console`: a board's live channel, and typed commands."""

from __future__ import annotations

import io
import os
import threading

from rich.console import Console

from contracts.board import REGISTERS, BoardSpec
from harness.config.keys import LabKey
from harness.kernel.build import build_kernel
from harness.terminal.console import run_console


def converse(spec: BoardSpec, key: LabKey, text: str) -> tuple[int, str]:
    """Run a console with `text` as input; returns its exit code and output."""
    reader, writer = os.pipe()
    printed = io.StringIO()
    with os.fdopen(reader) as source, os.fdopen(writer, "w") as keyboard:
        typist = threading.Thread(
            target=print, args=(text,), kwargs={"end": "", "file": keyboard, "flush": True}
        )
        typist.start()
        image = build_kernel(spec.firmware, variant="testing")
        code = run_console(spec, image, key, source=source, out=Console(file=printed, width=400))
        typist.join()
    return code, printed.getvalue()


def test_a_console_shows_frames_events_and_answers(board_spec: BoardSpec, lab_key: LabKey) -> None:
    code, printed = converse(
        board_spec, lab_key, "status\necho hello there\nstatsu\nregisters\ntelemetry\nquit\n"
    )
    assert code == 0
    assert "LOG ready" in printed
    assert f"board={board_spec.firmware}" in printed
    assert "frames_received" in printed
    assert "b'hello there'" in printed
    assert "unknown command 'statsu'" in printed
    seen = "PC=ffff8000" if REGISTERS in board_spec.capabilities else "no registers of board"
    assert seen in printed
    assert "rx_packets" in printed
