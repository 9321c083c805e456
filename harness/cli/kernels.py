"""`assay build` and `assay console`: a board's kernel image, and its live channel."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from harness.cli.options import (
    BoardArgument,
    BoardOption,
    KeyOption,
    LabOption,
    Variant,
    VariantOption,
    out,
    tell,
)
from harness.terminal.output import keep_going

if TYPE_CHECKING:
    from harness.boards.board import Board
    from harness.channel.link import Watch


def build(
    board: BoardOption = None,
    lab: LabOption = None,
    variant: VariantOption = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Cross-build the kernel of each selected board.

    The same source and key give the same bytes.
    """
    from harness.boards.registry import select
    from harness.kernel.board_kernel import kernel_for

    keep_going()
    for spec in select(board or [], lab=lab or None):
        image = kernel_for(spec, variant.value, key=key)
        out.print(
            f"{spec.kind}: {image.img} {image.size} bytes, build id {image.build_id.hex()}", soft_wrap=True
        )


def console(
    board: BoardArgument,
    lab: LabOption = None,
    variant: VariantOption = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Watch a board's channel.

    Prints frames, events and log lines as they arrive, and accepts a few commands. Ctrl-C exits. A board that is up
    (`assay up`) stays up; otherwise one is booted for the length of the command.
    """
    from harness.keeper.use import hand_board
    from harness.terminal.console import converse

    @contextlib.contextmanager
    def opening(watch: Watch) -> Iterator[Board]:
        with hand_board(board, lab=lab, key=key, variant=variant.value, watch=watch, told=tell) as hand:
            yield hand.board

    keep_going()
    raise typer.Exit(converse(opening, board))
