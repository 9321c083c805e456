"""`assay up` and `assay down`: a board that stays up for work by hand."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import (
    BoardArgument,
    KeyOption,
    LabOption,
    Variant,
    VariantOption,
    err,
    out,
    tell,
)


def up(
    board: BoardArgument,
    lab: LabOption = None,
    variant: VariantOption = Variant.RELEASE,
    key: KeyOption = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of QEMU's random numbers.")] = 1,
    icount: Annotated[bool, typer.Option(help="Virtual time: slower, but figures repeat exactly.")] = True,
    wait: Annotated[
        float, typer.Option(min=0, max=86400, help="Seconds to wait for a board that is leased.")
    ] = 60.0,
) -> None:
    """Boot a board and keep it up for work by hand.

    A process in the background leases it and keeps its console and its session open; `console`, `bpf`, `telemetry`,
    `power`, `flash` and `pytest --keep` use it, until `assay down`. An idle board executes nothing.
    """
    from harness.keeper.board import attached
    from harness.keeper.find import meant, up_for
    from harness.keeper.process import Wanted
    from harness.keeper.start import bring_up, lab_paths
    from harness.keeper.wire import image_document
    from harness.kernel.board_kernel import kernel_for

    spec = meant(board, lab)
    found = up_for(board, spec)
    if found is not None:
        with attached(found.socket, spec, told=tell) as kept:
            if not kept.hello_known:
                tell(f"{found.place} is up but its power is off: booting it")
                kept.boot(None)
            kept.check_alive()
        out.print(f"{found.place} is up already", markup=False)
        return
    with err.status(f"building the kernel of {spec.kind}"):
        image = kernel_for(spec, variant.value, key=key)
    ready = bring_up(
        Wanted(
            kind=spec.kind,
            image=image_document(image),
            places=[place.name for place in spec.places],
            labs=lab_paths(lab),
            key=None if key is None else str(key.resolve()),
            seed=seed,
            icount=icount,
            wait_s=wait,
        ),
        tell,
    )
    out.print(
        f"{ready['place']} is up: build {ready['image']['build_id'][:8]}, kept by pid {ready['pid']}; "
        f"`assay down {ready['place']}` ends it",
        markup=False,
        soft_wrap=True,
    )


def down(board: BoardArgument, lab: LabOption = None) -> None:
    """End a board that is up: switch it off and release it.

    Also works after its keeper was killed or hangs. A board that is not up is not an error.
    """
    from harness.keeper.find import meant, up_for
    from harness.keeper.start import bring_down

    spec = meant(board, lab)
    found = up_for(board, spec, dead=True)
    if found is None:
        out.print(f"{board} is not up", markup=False)
        return
    bring_down(found, spec, tell)
    out.print(f"{found.place} is down", markup=False)
