"""A board as a test is handed it: powered on, its kernel checked, an authenticated session open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.board import BoardSpec
from contracts.errors import (
    AssayError,
    BoardLost,
    BuildError,
    ChannelError,
    InfraError,
    KernelError,
)
from harness.build import KernelImage
from harness.channel.client import ChannelClient
from harness.channel.link import Watch
from harness.channel.messages import Event, HelloResponse
from harness.keys import LabKey
from harness.lease import Lease, LeaseLost, acquire
from harness.symbols import Symbols
from targets.drivers import make_target
from targets.protocols import Target

_EXIT_WAIT_S = 1.0  # a closed link is often seen before the process that closed it is gone


class Board:
    """One powered-on board. Made by `open_board`; every wait in it ends with one of the errors of `contracts`.

    A kernel that does not answer while its QEMU runs is a KernelError with the cores' registers; a QEMU that was
    ended from outside is BoardLost; one that the guest ended or that aborted is a KernelError.
    """

    def __init__(
        self,
        spec: BoardSpec,
        key: LabKey,
        image: KernelImage,
        target: Target,
        *,
        lease: Lease,
        transcript: Path | None = None,
        watch: Watch | None = None,
    ) -> None:
        self.spec = spec
        self.lease = lease
        self.key = key
        self.image = image
        self.transcript = transcript
        self.epoch = lease.epoch
        self.target = target
        self._watch = watch
        self._client: ChannelClient | None = None
        self._hello: HelloResponse | None = None
        self._registers: str | None = None

    @property
    def client(self) -> ChannelClient:
        """The debug channel. Raises BoardLost while the board is off."""
        if self._client is None:
            raise BoardLost(f"board {self.spec.kind} is off", do="use it inside `open_board`")
        return self._client

    @property
    def hello(self) -> HelloResponse:
        """What the kernel said it is when it booted."""
        if self._hello is None:
            raise BoardLost(f"board {self.spec.kind} has not booted")
        return self._hello

    @property
    def pid(self) -> int:
        """Process that is the board; 0 for one that is none."""
        return self.target.pid

    def power_on(self) -> None:
        """Start the board, wait until its channel is up, check its build, open a session."""
        self._registers = None
        self.lease.check()
        self.target.start()
        port = self.target.open_console()
        self._client = ChannelClient(
            port,
            name=self.spec.kind,
            timeout_s=self.spec.request_timeout_s,
            transcript=self.transcript,
            explain=self._explain,
            watch=self._watch,
        )
        self.target.go()
        self._client.wait_event(Event.LOG, self.spec.boot_timeout_s)  # a kernel logs "ready" once it listens
        self._hello = self._client.open_session(self.key.channel, self.epoch)
        self._check_build(self._hello)

    def _check_build(self, hello: HelloResponse) -> None:
        if hello.build_id != self.image.build_id:
            raise InfraError(
                f"board {self.spec.kind} runs another kernel than the one that was built",
                expected=f"build id {self.image.build_id.hex()}",
                seen=hello.build_id.hex(),
                do="look at what the board boots from",
            )

    def power_off(self) -> None:
        """End the board, whatever state it is in. May be called twice. Raises InfraError if the transcript broke."""
        client, self._client = self._client, None
        try:
            if client is not None:
                client.close()
        finally:
            if self._is_ours():
                self.target.stop()

    def _is_ours(self) -> bool:
        """A process always is; the supply of a board that was taken by force is its new holder's."""
        if self.target.pid:
            return True
        try:
            self.lease.check()
        except LeaseLost:
            return False
        return True

    def power_cycle(self) -> None:
        """Off, and on again with a new session."""
        self.power_off()
        self.power_on()

    def pristine(self) -> None:
        """Back to the state after boot, by a channel command."""
        self.client.pristine()
        self.client.events.clear()

    def check_alive(self) -> None:
        """Raise what ended the board, if something did. Says nothing to it."""
        self.client.check_alive()

    def registers(self) -> str:
        """Registers of every core now, with kernel addresses as names. Raises InfraError where none can be had."""
        return self._named(self.target.registers())

    def crash_record(self) -> str:
        """What is known of the kernel's end: its own fault report, else the registers, or why there are none."""
        if self._client is not None and self._client.fault is not None:
            return self._named(self._client.fault.report)
        if self._registers is None:
            try:
                self._registers = self.registers()
            except InfraError as error:
                return f"no registers could be had: {error.what}"
        return self._registers

    def _named(self, text: str) -> str:
        try:
            return Symbols.of(self.image.elf).annotate(text)
        except BuildError:
            return text

    def _explain(self, error: AssayError) -> AssayError:
        """What a silent or lost board is, once its process has been looked at."""
        ended = self.target.exit_error(_EXIT_WAIT_S if isinstance(error, BoardLost) else 0.0)
        if ended is not None:
            return ended
        if not isinstance(error, ChannelError):
            return error
        try:
            self._registers = self.registers()
        except InfraError:
            return error
        return KernelError(
            f"{error.what}, though its machine runs: the kernel hangs",
            expected=error.expected,
            seen=f"{error.seen}; registers:\n{self._registers}",
            do="look PC up in the kernel's ELF; the transcript holds what was asked last",
        )


@contextmanager
def open_board(
    spec: BoardSpec,
    key: LabKey,
    image: KernelImage,
    *,
    lease: Lease | None = None,
    transcript: Path | None = None,
    seed: int = 1,
    icount: bool = True,
    watch: Watch | None = None,
) -> Iterator[Board]:
    """Boot `image` on a board of kind `spec`, hand it over, and end it afterwards, come what may.

    The board is the one of `lease`, which stays held; without one, a free board is leased for as long as this lasts.

    `transcript` is appended to, one JSON line a frame. `seed` goes to QEMU's own random numbers. Without `icount`
    the board runs faster and no figure is exact. `watch` sees every frame as it passes. Raises what `Board` does.
    """
    with contextlib.ExitStack() as stack:
        held = lease if lease is not None else stack.enter_context(acquire(spec, purpose="a board"))
        target = make_target(held.spec, held.place, image.elf, image.img, icount=icount, seed=seed)
        board = Board(spec, key, image, target, lease=held, transcript=transcript, watch=watch)
        stack.callback(board.power_off)
        board.power_on()
        yield board
