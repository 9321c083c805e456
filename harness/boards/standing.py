"""A process's board: one lease for many tests, reset before each, rebooted for another image or after a crash."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from contracts.board import BoardSpec
from contracts.errors import AssayError, BuildError, InfraError
from harness.boards.board import Board, open_board
from harness.channel.frames import Frame
from harness.channel.transcript import Transcript, message_name
from harness.config.keys import LabKey
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.lease import DEFAULT_TIMEOUT_S, Lease, LeaseLost, acquire

FRAMES_KEPT: Final = 24
_PAYLOAD_SHOWN: Final = 24

Variant = Literal["release", "testing"]


class StandingBoard:
    """The board of one process, leased on first use. A context manager: releases the board at the end.

    `purpose` is shown in the lease; `waiting` is called with the reason for a wait. `avoid` holds the names of
    places to avoid while another one is free.
    """

    def __init__(
        self,
        key: LabKey,
        seed: int = 1,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        purpose: str = "",
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self.avoid: frozenset[str] = frozenset()
        self.lease: Lease | None = None
        self._key = key
        self._seed = seed
        self._timeout_s = timeout_s
        self._purpose = purpose
        self._waiting = waiting
        self._images: dict[tuple[str, Variant], KernelImage | BuildError] = {}
        self._stack = contextlib.ExitStack()
        self._board: Board | None = None
        self._last: Board | None = None
        self._variant: Variant | None = None
        self._frames: deque[tuple[float, str, Frame]] = deque(maxlen=FRAMES_KEPT)
        self._transcript: Transcript | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drop()

    @property
    def board(self) -> Board | None:
        """The last board, in any state, also one that never booted; None after it is released."""
        return self._last

    @property
    def keeps(self) -> bool:
        """Whether the board stays up after this process: a test does not boot such a board by itself."""
        return False

    @property
    def kind(self) -> str:
        """The leased board type; empty if none."""
        return self.lease.spec.kind if self.lease else ""

    def claim(self, spec: BoardSpec) -> Lease:
        """Hold a place of `spec`: keep the current one, else release another type's place and lease a free one.

        Raises InfraError if none becomes free in time.
        """
        if self.lease is not None and self.lease.spec.kind == spec.kind:
            try:
                self.lease.check()
            except LeaseLost:
                self.drop()  # taken by force between two tests: lease another one
            else:
                return self.lease
        self.drop()
        if self.avoid:
            with contextlib.suppress(
                InfraError
            ):  # all others are in use: reusing one of these is better than waiting
                self.lease = acquire(spec, timeout_s=0, purpose=self._purpose, without=self.avoid)
                return self.lease
        self.lease = acquire(spec, timeout_s=self._timeout_s, purpose=self._purpose, waiting=self._waiting)
        return self.lease

    def ready(self, spec: BoardSpec, variant: Variant) -> tuple[Board, AssayError | None]:
        """A running board with this image, reset; and the error that ended it, if it was found dead.

        Raises BuildError before anything is leased, then what `acquire` and `open_board` raise.
        """
        image = self._image(spec, variant)
        lease = self.claim(spec)
        ended: AssayError | None = None
        board = self._board
        if board is not None and self._variant == variant:
            try:
                board.pristine()
            except AssayError as error:
                ended, board = error, None
        else:
            board = None
        return board or self._boot(lease, image, variant), ended

    def fresh(self, spec: BoardSpec, variant: Variant) -> Board:
        """A board that was powered on for this call. Raises what `ready` raises."""
        image = self._image(spec, variant)
        return self._boot(self.claim(spec), image, variant)

    def off(self) -> None:
        """Power the board off and keep the lease. May be called twice. Raises InfraError if power off fails."""
        self._board, self._variant = None, None
        self._stack.close()

    def drop(self) -> None:
        """Power off and release the place. May be called twice. Raises InfraError if power off fails."""
        try:
            self.off()
        finally:
            self._last = None
            lease, self.lease = self.lease, None
            if lease is not None:
                lease.release()

    def _image(self, spec: BoardSpec, variant: Variant) -> KernelImage:
        key = (spec.kind, variant)
        if key not in self._images:
            try:
                self._images[key] = kernel_for(spec, variant)
            except BuildError as error:  # it would also fail for the next test
                self._images[key] = error
        image = self._images[key]
        if isinstance(image, BuildError):
            raise image
        return image

    def _boot(self, lease: Lease, image: KernelImage, variant: Variant) -> Board:
        with contextlib.suppress(InfraError):  # a failed power off shows up at the next boot
            self.off()
        self._last = None
        self._stack = contextlib.ExitStack()
        opened = open_board(
            lease.spec, self._key, image, lease=lease, seed=self._seed, watch=self._note, made=self._made
        )
        self._board = self._stack.enter_context(opened)
        self._variant = variant
        return self._board

    def _made(self, board: Board) -> None:
        self._last = board

    def listen(self, path: Path | None) -> None:
        """Clear the last frames and write new ones to `path`. Raises InfraError if it cannot be written."""
        self._frames.clear()
        self.hush()
        if path is not None:
            self._transcript = Transcript(path)

    def hush(self) -> None:
        """End the transcript. Raises InfraError if a frame could not be written."""
        transcript, self._transcript = self._transcript, None
        if transcript is not None:
            transcript.close()

    def _note(self, direction: str, frame: Frame) -> None:
        self._frames.append((time.monotonic(), direction, frame))
        transcript = self._transcript
        if transcript is not None:
            transcript.record(direction, frame)

    def last_frames(self) -> str:
        """The last frames since `listen`, one per line, with seconds relative to now."""
        now = time.monotonic()
        return "\n".join(
            f"{at - now:9.3f} s {direction} {message_name(frame)} seq {frame.header.sequence}, "
            f"{len(frame.payload)} bytes {frame.payload[:_PAYLOAD_SHOWN].hex()}"
            for at, direction, frame in list(self._frames)
        )
