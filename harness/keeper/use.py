"""A board for a command: the one that is up, else one that is taken for the length of the command."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from contracts.wire.live import SwapResponse
from harness.boards.board import Board, open_board
from harness.boards.rack import rack
from harness.channel.link import Watch
from harness.config.keys import load_key
from harness.keeper.board import KeptBoard, attached
from harness.keeper.find import meant, up_for
from harness.keeper.programs import KnownProgram, Programs
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage, Variant
from harness.lease import acquire


@dataclass(frozen=True, slots=True)
class HandBoard:
    """A board in the hands of one command, and what is known of the programs on it. `kept`: it stays up afterwards."""

    board: Board
    _programs: Programs

    @property
    def kept(self) -> KeptBoard | None:
        """The board as its keeper has it; None for one that was taken for this command alone."""
        return self.board if isinstance(self.board, KeptBoard) else None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """No other command gets in between while this lasts."""
        with contextlib.ExitStack() as stack:
            if isinstance(self.board, KeptBoard):
                stack.enter_context(self.board.link.turn())
            yield

    def programs(self) -> list[dict[str, Any]]:
        """The programs that were loaded by hand, by handle, each with its `state`."""
        if isinstance(self.board, KeptBoard):
            return list(self.board.link.call("programs")["programs"])
        return self._programs.documents()

    def add(self, program: KnownProgram) -> None:
        """A program was loaded."""
        if isinstance(self.board, KeptBoard):
            self.board.link.call("program", program=program.document())
        else:
            self._programs.add(program)

    def deploy(self, handle: int, watch_invocations: int) -> SwapResponse:
        """Put a loaded program on its hook."""
        swap = self.board.client.deploy(handle, watch_invocations)
        self._programs.deployed(handle, swap.generation)
        return swap


@contextlib.contextmanager
def hand_board(
    name: str,
    *,
    lab: Sequence[Path] | None = None,
    key: Path | None = None,
    variant: Variant = "release",
    image: KernelImage | None = None,
    watch: Watch | None = None,
    told: Callable[[str], None] = lambda _text: None,
    wait_s: float = 60.0,
    only_up: bool = False,
) -> Iterator[HandBoard]:
    """BOARD for one command. Raises ConfigError for a name that means none, and what `open_board` raises.

    `key`, `variant` and `image` are for a board that is not up: one that is has its own. `told` is told what happens.
    `only_up`: a board that was just booted has nothing of what the command is about; ConfigError then.
    """
    spec = meant(name, lab)
    up = up_for(name, spec)
    if up is not None:
        with attached(up.socket, spec, watch=watch, told=told) as kept:
            yield HandBoard(kept, Programs())
        return
    if only_up:
        raise ConfigError(
            f"{name} is not up",
            expected="a board that `assay up` keeps, with programs on it",
            seen="none",
            do=f"`assay up {name}`, then `assay bpf load FILE.c --board {name}`",
        )
    kernel = image or kernel_for(spec, variant, key=key)
    told(f"{name} is not up: a board is taken for this command alone (`assay up {name}` keeps one)")
    with contextlib.ExitStack() as stack:
        spec = stack.enter_context(rack([spec], lab=lab)).specs[0]
        lease = stack.enter_context(
            acquire(
                spec, timeout_s=wait_s, purpose="by hand", waiting=lambda why: told(f"waiting: {why}"),
                places=list(spec.places),
            )
        )  # fmt: skip
        board = stack.enter_context(open_board(spec, load_key(key), kernel, lease=lease, watch=watch))
        programs = Programs()
        board.client.on_event(programs.event)
        yield HandBoard(board, programs)
