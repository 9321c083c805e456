"""What a test is handed: a running board with an open session, that can be made pristine or power-cycled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from contracts.board import BoardSpec
from contracts.errors import AssayError, ConfigError, KernelError
from harness.build import KernelImage
from harness.channel.client import ChannelClient
from harness.channel.messages import HelloResponse
from harness.keys import LabKey
from targets.protocols import Target
from targets.qemu import QemuBoard
from targets.serial import open_port

EXIT_WAIT_S = 0.5
"""How long a lost link waits to learn whether the board's process ended."""


@dataclass(slots=True)
class Board:
    """A board that is on. `client` speaks to its kernel, `hello` is what the kernel said of itself."""

    spec: BoardSpec
    image: KernelImage
    key: LabKey
    target: Target
    client: ChannelClient
    hello: HelloResponse
    transcript: Path | None = None
    epoch: int = 0

    def pristine(self) -> None:
        """Back to the state after boot, by a channel command; events of before are dropped."""
        self.client.pristine()
        self.client.events.clear()

    def power_cycle(self) -> None:
        """Off and on again, with a new session of the same epoch."""
        self.client.close()
        self.target.stop()
        self.client, self.hello = _power_on(
            self.target, self.spec, self.image, self.key, self.transcript, self.epoch
        )

    def crash_record(self) -> str:
        """Registers of every core as text, or why none could be had."""
        try:
            return self.target.registers()
        except AssayError as error:
            return f"no registers could be had: {error.what}"


def _target(spec: BoardSpec, image: KernelImage, *, icount: bool, seed: int) -> Target:
    if spec.qemu is None:
        raise ConfigError(f"board {spec.kind} has no driver yet", expected="a `qemu` part in its file")
    return QemuBoard(spec, image.elf if spec.qemu.boot == "elf" else image.img, icount=icount, seed=seed)


def _power_on(
    target: Target, spec: BoardSpec, image: KernelImage, key: LabKey, transcript: Path | None, epoch: int
) -> tuple[ChannelClient, HelloResponse]:
    """Start the target, connect while its cores are held, let it go, and open a session."""
    target.start()

    def explain(error: AssayError) -> AssayError:
        return target.exit_error(EXIT_WAIT_S) or error

    port = open_port(target.console_url, baud=spec.baud, wait_s=spec.boot_timeout_s)
    client = ChannelClient(
        port, name=spec.kind, timeout_s=spec.request_timeout_s, transcript=transcript, explain=explain
    )
    try:
        target.go()
        client.hello(spec.boot_timeout_s)
        hello = client.open_session(key.channel, epoch)
        if hello.build_id != image.build_id:
            raise KernelError(
                f"board {spec.kind} runs another kernel than the one built",
                expected=f"build id {image.build_id.hex()}",
                seen=hello.build_id.hex(),
                do="build again; see that the boot file is the one just built",
            )
    except BaseException:
        client.close()
        raise
    return client, hello


@contextmanager
def open_board(
    spec: BoardSpec,
    key: LabKey,
    image: KernelImage,
    *,
    transcript: Path | None = None,
    seed: int = 1,
    epoch: int = 0,
    icount: bool = True,
) -> Iterator[Board]:
    """Boot `image` on a board of `spec` and open a session; everything is ended afterwards, come what may.

    Raises InfraError when the board cannot be started or is lost, KernelError when its kernel does not boot or is
    not the one that was built. `seed` seeds QEMU's own randomness; `icount` False gives up virtual time.
    """
    target = _target(spec, image, icount=icount, seed=seed)
    try:
        client, hello = _power_on(target, spec, image, key, transcript, epoch)
        board = Board(spec, image, key, target, client, hello, transcript, epoch)
        try:
            yield board
        finally:
            with suppress(AssayError):
                board.client.close()
    finally:
        target.stop()
