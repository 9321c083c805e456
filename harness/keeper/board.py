"""A kept board with the interface of any other: its client, its power, its registers, through its keeper."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from contracts.board import BoardSpec, Place
from contracts.errors import AssayError
from contracts.wire.session import HelloResponse
from harness.boards.board import Board
from harness.channel.client import ChannelClient
from harness.channel.link import Watch
from harness.config.keys import load_key
from harness.keeper.client import ANSWER_S, KeeperLink, KeptClient
from harness.keeper.server import TURN_S
from harness.keeper.wire import image_document, image_of
from harness.kernel.build import KernelImage
from harness.lease import Lease
from targets.protocols import Port

POWER_S: Final = 60.0
"""A switch, a golden image and a kernel of a hardware board take at most this long, in addition to its boot timeout."""


class KeptLease(Lease):
    """The keeper's lease, as seen by an attached process. Releasing it does nothing."""

    def __init__(self, spec: BoardSpec, place: Place, epoch: int) -> None:
        self.spec = spec
        self.place = place
        self.epoch = epoch
        self.on_lost = None

    @property
    def lost(self) -> bool:
        """The keeper detects that and exits."""
        return False

    def check(self) -> None:
        """Nothing to check: the keeper answers while it holds the place."""

    def check_now(self) -> None:
        """The same as `check`."""

    def release(self) -> None:
        """The keeper keeps the place."""


class KeptTarget:
    """The board behind a keeper: a `targets.protocols.Target` that starts and ends nothing by itself."""

    def __init__(self, link: KeeperLink, about: dict[str, Any]) -> None:
        self._link = link
        self._about = about

    @property
    def console_url(self) -> str:
        """Where the board's line is; the keeper has it open."""
        return str(self._about["console"])

    @property
    def pid(self) -> int:
        """Process id of the board, 0 if it is not a process."""
        return int(self._about["board_pid"])

    def start(self) -> None:
        """Does nothing: the board runs."""

    def open_console(self) -> Port:
        """Never called: the keeper holds the line."""
        raise NotImplementedError("a kept board's line is the keeper's")

    def go(self) -> None:
        """Does nothing: the board runs."""

    def stop(self) -> None:
        """Does nothing: the board stays up."""

    def leave_on(self) -> None:
        """Does nothing: the board stays up."""

    def registers(self) -> str:
        """Registers of every core. Raises InfraError if they are not available."""
        return str(self._link.call("registers", timeout_s=TURN_S + ANSWER_S)["text"])

    def exit_error(self, wait_s: float = 0.0) -> AssayError | None:  # noqa: ARG002 - a Target
        """What the keeper found at its last check, or None."""
        try:
            self._link.call("alive", timeout_s=TURN_S + ANSWER_S)
        except AssayError as error:
            return error
        return None

    def console_users(self) -> str:
        """Empty: the keeper, which has the console open, checks this."""
        return ""

    def processes(self) -> Sequence[int]:
        """The board itself, if it is a process of this machine."""
        return [self.pid] if self.pid else []

    def run_delay_s(self) -> float:
        """The keeper judges late answers."""
        return 0.0

    def __enter__(self) -> KeptTarget:
        return self

    def __exit__(self, *exception: object) -> None:
        """Does nothing: the board stays up."""


class KeptBoard(Board):
    """A board that is up. `power_on` attaches, `power_off` detaches; `power_cycle` and `boot` are the keeper's own."""

    def __init__(self, link: KeeperLink, spec: BoardSpec, about: dict[str, Any], watch: Watch | None) -> None:
        place = next((p for p in spec.places if p.identity == about["identity"]), Place(about["place"]))
        super().__init__(
            spec,
            load_key(Path(about["key"]) if about["key"] else None),
            image_of(about["image"]),
            KeptTarget(link, about),
            lease=KeptLease(spec, place, int(about["epoch"])),
            watch=watch,
        )
        self.link = link
        self._about = about

    @property
    def client(self) -> ChannelClient:
        """The debug channel, through the keeper. Raises ConfigError while its power is off."""
        if self._client is None:
            self.power_on()
        assert self._client is not None
        return self._client

    @property
    def kept_image(self) -> KernelImage:
        """The kernel that the board was brought up with."""
        return image_of(self._about["kept"])

    @property
    def hello_known(self) -> bool:
        """Whether the board's power is on, as last reported by the keeper."""
        return bool(self._about["hello"])

    def check_alive(self) -> None:
        """Raise the error that ended the board, if any. Sends nothing to it."""
        self.link.call("alive", timeout_s=TURN_S + ANSWER_S)

    def power_on(self) -> None:
        """Attach to the board; boot it if its power is off. Raises the errors of a boot."""
        self._attach(self.link.call("about"))

    def power_off(self) -> None:
        """Detach: the board stays up."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def switch_off(self) -> None:
        """Switch the supply off; the keeper keeps the lease."""
        self.power_off()
        self.link.call("off", timeout_s=TURN_S + POWER_S)

    def power_cycle(self) -> None:
        """Switch off, and on again with the current kernel."""
        self.boot(None)

    def boot(self, image: KernelImage | None) -> None:
        """Power-cycle with `image`, or with the current one."""
        self.power_off()
        self._attach(
            self.link.call(
                "boot",
                timeout_s=TURN_S + POWER_S + 2 * self.spec.boot_timeout_s,
                image=None if image is None else image_document(image),
            )
        )

    def _attach(self, about: dict[str, Any]) -> None:
        self._about = about
        self.image = image_of(about["image"])
        self.target = KeptTarget(self.link, about)
        if not about["hello"]:
            self.link.call("alive", timeout_s=TURN_S + ANSWER_S)  # raises the reason if not
        self._hello = HelloResponse.unpack(bytes.fromhex(about["hello"]))
        self._client = KeptClient(
            self.link,
            name=self.spec.kind,
            timeout_s=self.spec.request_timeout_s,
            watch=self._watch,
            hello=self._hello,
        )

    def pristine(self) -> None:
        """Back to the state after boot, by a channel command."""
        self.client.pristine()
        self.client.events.clear()

    def crash_record(self) -> str:
        """What the keeper knows about the kernel's end."""
        return str(self.link.call("crash", timeout_s=TURN_S + POWER_S)["text"])


@contextlib.contextmanager
def attached(
    socket: Path,
    spec: BoardSpec,
    *,
    watch: Watch | None = None,
    told: Callable[[str], None] = lambda _text: None,
) -> Iterator[KeptBoard]:
    """The board whose keeper listens at `socket`. It may be off: requests to its kernel then fail with that message."""
    link = KeeperLink(socket, told)
    try:
        about = link.call("about")
        if not any(place.identity == about["identity"] for place in spec.places):
            spec = replace(spec, places=(Place(about["place"], console=about["console"]),))
        board = KeptBoard(link, spec, about, watch)
        try:
            yield board
        finally:
            board.power_off()
    finally:
        link.close()
