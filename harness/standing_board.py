"""A board that stays on over many tests: pristine for each, and powered on again when one of them has killed it."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from types import TracebackType
from typing import Final, Self

from contracts.board import BoardSpec
from contracts.errors import AssayError
from harness.board import Board, open_board
from harness.build import KernelImage
from harness.channel.frames import Frame
from harness.channel.transcript import message_name
from harness.keys import LabKey

FRAMES_KEPT: Final = 24
_PAYLOAD_SHOWN: Final = 24


class StandingBoard:
    """One board of `spec` with `image`, on while the context lasts. Raises what `open_board` does."""

    def __init__(self, spec: BoardSpec, key: LabKey, image: KernelImage, seed: int) -> None:
        self.spec = spec
        self._frames: deque[tuple[float, str, Frame]] = deque(maxlen=FRAMES_KEPT)
        self._stack = contextlib.ExitStack()
        self._opened = open_board(spec, key, image, transcript=None, seed=seed, watch=self._note)
        self._board: Board | None = None

    def __enter__(self) -> Self:
        self._board = self._stack.enter_context(self._opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def board(self) -> Board:
        """The board, in whatever state it is."""
        assert self._board is not None, "use it as a context manager"
        return self._board

    def _note(self, direction: str, frame: Frame) -> None:
        self._frames.append((time.monotonic(), direction, frame))

    def renew(self) -> AssayError | None:
        """Bring the board to its pristine state; returns what had ended it when it had to be powered on again."""
        ended: AssayError | None = None
        try:
            self.board.pristine()
        except AssayError as error:
            ended = error
            self.board.power_cycle()
        self._frames.clear()
        return ended

    def last_frames(self) -> str:
        """The last frames since `renew`, one a line, with seconds before now."""
        now = time.monotonic()
        return "\n".join(
            f"{at - now:9.3f} s {direction} {message_name(frame)} seq {frame.header.sequence}, "
            f"{len(frame.payload)} bytes {frame.payload[:_PAYLOAD_SHOWN].hex()}"
            for at, direction, frame in list(self._frames)
        )
