"""`assay console BOARD`: the live channel of a running board: frames, events, log, and a few commands."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, TextIO

from rich.console import Console
from rich.markup import escape

from contracts.board import BoardSpec
from contracts.errors import AssayError, InfraError, RequestRefused
from contracts.wire.frames import FrameKind, ResponseHeader
from harness.boards.board import Board, open_board
from harness.channel.describe import payload_text
from harness.channel.frames import Frame
from harness.channel.link import Watch
from harness.channel.transcript import message_name, status_name
from harness.config.keys import LabKey
from harness.kernel.build import KernelImage
from harness.machine.interrupt import INTERRUPTED

_POLL_S: Final = 0.2
HELP: Final = "status, telemetry, echo TEXT, pristine, registers, quit (or Ctrl-C)"


def describe(frame: Frame) -> str:
    """One frame as a line of text: type, message, sequence, and its decoded fields."""
    kind, payload = frame.header.kind, frame.payload
    lead = f"#{frame.header.sequence} {message_name(frame)}"
    text = payload_text(kind, frame.header.message, payload)
    if kind == FrameKind.RESPONSE and len(payload) >= ResponseHeader.wire_size():
        status = ResponseHeader.unpack(payload[: ResponseHeader.wire_size()]).status
        lead += f" {status_name(status)}{':' if status else ''}"
    return f"{lead} {text}"


class _Watcher:
    """Prints every frame of a board's channel. Also called from the reader thread: rich's console has a lock."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began = time.monotonic()

    def __call__(self, direction: str, frame: Frame) -> None:
        at = time.monotonic() - self._began
        colour = {FrameKind.EVENT: "yellow", FrameKind.REQUEST: "cyan"}.get(
            FrameKind(frame.header.kind), "green"
        )
        self._out.print(
            f"[dim]{at:9.4f}[/] [{colour}]{direction} {escape(describe(frame))}[/]",
            highlight=False,
            soft_wrap=True,
        )


def _teller(out: Console) -> Callable[[str], None]:
    return lambda why: out.print(why, highlight=False, markup=False)


def _obey(board: Board, line: str, out: Console) -> bool:
    """Execute a line; False exits the console. Prints refusals, raises for a dead board."""
    word, _, rest = line.strip().partition(" ")
    try:
        match word:
            case "":
                pass
            case "quit" | "exit" | "q":
                return False
            case "status":
                _table(board.client.status(), out)
            case "telemetry":
                _table(board.client.telemetry(), out)
            case "echo":
                out.print(repr(board.client.echo(rest.encode())), highlight=False, markup=False)
            case "pristine":
                board.pristine()
            case "registers":
                out.print(_registers(board), highlight=False, markup=False)
            case _:
                out.print(f"unknown command {word!r}; commands: {HELP}", highlight=False, markup=False)
    except RequestRefused as error:
        out.print(str(error), highlight=False, markup=False)
    return True


def _registers(board: Board) -> str:
    """Print the cores' registers, or why there are none; a lost board raises."""
    try:
        return board.registers()
    except InfraError as error:
        return str(error)


def _table(record: object, out: Console) -> None:
    for name in getattr(type(record), "__slots__", ()):
        out.print(f"  {name:20} {getattr(record, name)}", highlight=False, markup=False)


def _serve(board: Board, source: int, out: Console) -> None:
    """Lines from the descriptor `source` until quit or end of file; also checks that the board is still alive."""
    waiting = b""
    while True:
        if select.select([source], [], [], _POLL_S)[0]:
            piece = os.read(source, 4096)
            waiting += piece
            while b"\n" in waiting:
                line, waiting = waiting.split(b"\n", 1)
                if not _obey(board, line.decode("utf-8", "replace"), out):
                    return
            if not piece:
                return
        board.check_alive()


def converse(
    opening: Callable[[Watch], AbstractContextManager[Board]],
    name: str,
    *,
    source: TextIO | None = None,
    out: Console | None = None,
) -> int:
    """Print the channel of the board that `opening` gives, live, and execute commands from `source` (stdin).

    Returns 0 at end of input or on `quit`, 130 on Ctrl-C, otherwise the exit code for a lost board or a dead kernel.
    """
    out = out or Console()
    try:
        with opening(_Watcher(out)) as board:
            out.print(f"{name} is up; commands: {HELP}", highlight=False, markup=False)
            _serve(board, (source or sys.stdin).fileno(), out)
    except KeyboardInterrupt:
        out.print("interrupted", highlight=False)
        return INTERRUPTED
    except AssayError as error:
        out.print(str(error), highlight=False, markup=False)
        return error.exit_code
    return 0


def run_console(
    spec: BoardSpec,
    image: KernelImage,
    key: LabKey,
    *,
    source: TextIO | None = None,
    out: Console | None = None,
) -> int:
    """Boot `image` on a free board of `spec` and converse with it, as `converse` does."""
    out = out or Console()
    teller = _teller(out)
    return converse(
        lambda watch: open_board(spec, key, image, watch=watch, waiting=teller),
        spec.kind,
        source=source,
        out=out,
    )
