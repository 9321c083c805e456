"""`assay build` and `assay console`: a board's kernel image, and its channel, live."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import BoardOption, KeyOption, LabOption, Variant, VariantOption, out
from harness.terminal.output import keep_going


def build(
    board: BoardOption = None,
    lab: LabOption = None,
    variant: VariantOption = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Cross-build each chosen board's kernel.

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
    board: Annotated[str, typer.Argument(metavar="BOARD", help="One board kind.")],
    lab: LabOption = None,
    variant: VariantOption = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Boot a board and watch its channel.

    Frames, events and log are shown as they come, and a few commands can be typed. Ctrl-C ends it.
    """
    from harness.boards.rack import rack
    from harness.boards.registry import select_one
    from harness.config.keys import load_key
    from harness.kernel.board_kernel import kernel_for
    from harness.terminal.console import run_console

    keep_going()
    image = kernel_for(select_one(board, lab=lab or None), variant.value, key=key)
    with rack([select_one(board, lab=lab or None)], lab=lab or None) as found:
        raise typer.Exit(run_console(found.specs[0], image, load_key(key)))
