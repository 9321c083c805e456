"""`assay power` and `assay flash`: a board's power supply, and the kernel that it boots."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli.options import BoardArgument, KeyOption, LabOption, Variant, VariantOption, out, tell

if TYPE_CHECKING:
    from contracts.board import BoardSpec, Place
    from harness.keeper.board import KeptBoard
    from targets.protocols import Power

app = typer.Typer(help="Switch a board's power by hand, or show whether it is on.", no_args_is_help=True)


@app.command("on")
def power_on(board: BoardArgument, lab: LabOption = None) -> None:
    """Switch a board on. A board that is up boots its kernel; others boot what they have."""
    with _attached(board, lab) as kept:
        if kept is not None:
            if kept.hello_known:
                out.print(f"{kept.lease.place.name} is on already", markup=False)
                return
            kept.boot(None)
            out.print(f"{kept.lease.place.name} is on", markup=False)
            return
    with _switch(board, lab) as (place, power):
        power.on()
        out.print(f"{place.name} is on", markup=False)


@app.command("off")
def power_off(board: BoardArgument, lab: LabOption = None) -> None:
    """Switch a board off. A board that is up stays leased, for `assay power on`."""
    with _attached(board, lab) as kept:
        if kept is not None:
            kept.switch_off()
            out.print(f"{kept.lease.place.name} is off", markup=False)
            return
    with _switch(board, lab) as (place, power):
        power.off()
        out.print(f"{place.name} is off", markup=False)


@app.command("cycle")
def power_cycle(board: BoardArgument, lab: LabOption = None) -> None:
    """Switch a board off and on. A board that is up boots its kernel again and loses its programs."""
    with _attached(board, lab) as kept:
        if kept is not None:
            kept.power_cycle()
            out.print(f"{kept.lease.place.name} is on again", markup=False)
            return
    with _switch(board, lab) as (place, power):
        tell("power off")
        power.off()
        tell("power on")
        power.on()
        out.print(f"{place.name} is on again", markup=False)


@app.command("state")
def power_state(board: BoardArgument, lab: LabOption = None) -> None:
    """Print whether a board is on: `on`, `off`, or `unknown` if its switch cannot report it.

    Takes no lease and disturbs nobody. For a board type: one line per board.
    """
    from harness.keeper.find import meant, up_for

    spec = meant(board, lab)
    for place in spec.places:
        if place.power is not None:
            out.print(_line(place.name, _power_of(place).state(), len(spec.places)), markup=False)
    if not any(place.power is not None for place in spec.places):
        found = up_for(board, spec)
        state = False
        if found is not None:
            with _attached(board, lab) as kept:
                state = kept is not None and kept.hello_known
        out.print(_line(found.place if found else board, state, 1), markup=False)


def _line(name: str, state: bool | None, places: int) -> str:
    word = "unknown" if state is None else "on" if state else "off"
    return word if places == 1 else f"{name}: {word}"


def flash(
    board: BoardArgument,
    kernel: Annotated[
        Path | None,
        typer.Argument(
            metavar="[KERNEL]", help="A kernel8.img or kernel.elf. [default: built from this tree]"
        ),
    ] = None,
    lab: LabOption = None,
    variant: VariantOption = Variant.RELEASE,
    key: KeyOption = None,
) -> None:
    """Write a kernel to a board's boot medium, power-cycle the board, and check that this kernel says hello.

    A board of hardware is left on afterwards. A board that is up runs the new kernel from then on.
    """
    from harness.boards.board import open_board
    from harness.boards.rack import needs_rack, rack
    from harness.config.keys import load_key
    from harness.keeper.find import meant
    from harness.kernel.board_kernel import kernel_for
    from harness.kernel.given import given_kernel
    from harness.lease import acquire

    spec = meant(board, lab)
    with contextlib.ExitStack() as stack:
        image = given_kernel(kernel, spec.firmware) if kernel else kernel_for(spec, variant.value, key=key)
        kept = stack.enter_context(_attached(board, lab))
        if kept is not None:
            kept.boot(image)
            out.print(f"{kept.lease.place.name} runs build {image.build_id.hex()[:8]}", markup=False)
            return
        stays = spec.qemu is None and not needs_rack(spec)
        spec = stack.enter_context(rack([spec], lab=lab)).specs[0]
        lease = stack.enter_context(
            acquire(
                spec,
                purpose="assay flash",
                waiting=lambda why: tell(f"waiting: {why}"),
                places=list(spec.places),
            )
        )
        with open_board(spec, load_key(key), image, lease=lease, told=tell) as opened:
            if stays:
                opened.leave_on()
    runs = "runs" if stays else "ran"
    end = "and is left on" if stays else "and is off again: `assay up` keeps it on"
    out.print(f"{lease.place.name} {runs} build {image.build_id.hex()[:8]} {end}", markup=False)


@contextlib.contextmanager
def _attached(board: str, lab: list[Path] | None) -> Iterator[KeptBoard | None]:
    """The board if it is up, else None."""
    from harness.keeper.board import attached
    from harness.keeper.find import meant, up_for

    spec = meant(board, lab)
    found = up_for(board, spec)
    if found is None:
        yield None
        return
    with attached(found.socket, spec, told=tell) as kept:
        yield kept


@contextlib.contextmanager
def _switch(board: str, lab: list[Path] | None) -> Iterator[tuple[Place, Power]]:
    """The switch of a board that is not up, which is leased meanwhile. Raises ConfigError if it has none."""
    from contracts.errors import ConfigError
    from harness.keeper.find import meant
    from harness.lease import acquire

    spec = meant(board, lab)
    if not any(place.power is not None for place in spec.places):
        raise ConfigError(
            f"{board} has no power switch",
            expected="a hardware board, or a QEMU that is up",
            seen=_why_none(spec),
            do=f"`assay up {board}` boots one and keeps it on",
        )
    with acquire(
        spec,
        purpose="assay power",
        waiting=lambda why: tell(f"waiting: {why}"),
        places=list(spec.places),
        quarantined=True,
    ) as lease:
        yield lease.place, _power_of(lease.place)


def _why_none(spec: BoardSpec) -> str:
    return "a QEMU is on while a process runs it" if spec.places else f"{spec.kind} has no places"


def _power_of(place: Place) -> Power:
    from targets.drivers import power_of

    return power_of(place)
