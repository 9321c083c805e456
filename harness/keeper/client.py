"""A kept board's channel for commands: requests go through the keeper, and all frames come back from it."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from contracts.errors import AssayError, BoardLost, InfraError, KernelError
from contracts.wire.frames import FrameKind, Message
from contracts.wire.schema import Record, RecordError
from contracts.wire.session import HelloResponse
from contracts.wire.uploads import BlobKind
from harness.channel.client import ChannelClient
from harness.channel.frames import FrameDecoder, encode
from harness.channel.link import Watch
from harness.keeper.server import TURN_S
from harness.keeper.wire import Lines, error_of, peer_pid, short_path

Q = TypeVar("Q", bound=Record)
R = TypeVar("R", bound=Record)

ANSWER_S: Final = 5.0
"""A keeper answers requests that need no board within this time."""

_POLL_S: Final = 0.2
_SLACK_S: Final = 30.0  # triage of a silent board boots a golden image, and then this one again


def connect(path: Path) -> Lines:
    """A connection to the keeper with the socket `path`. Raises OSError if it does not listen."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        link.settimeout(ANSWER_S)
        with short_path(path) as short:
            link.connect(short)
    except BaseException:
        link.close()
        raise
    return Lines(link)


class KeeperLink:
    """A connection to one keeper: `call` is a request with its answer. Safe to use from several threads."""

    def __init__(self, path: Path, told: Callable[[str], None] = lambda _text: None) -> None:
        self.path = path
        self.told = told
        self._lock = threading.Lock()
        try:
            self._lines = connect(path)
        except OSError as error:
            raise self._gone(error) from error

    @property
    def pid(self) -> int:
        """The keeper's process."""
        return peer_pid(self._lines.link)

    def call(self, op: str, *, timeout_s: float = ANSWER_S, **arguments: Any) -> dict[str, Any]:
        """Request `op`. Raises what the keeper raised, BoardLost if it is gone, InfraError if it does not answer."""
        with self._lock:
            try:
                self._lines.link.settimeout(timeout_s)
                self._lines.send({"op": op, **arguments})
                while (answer := self._lines.receive()) is not None and "told" in answer:
                    self.told(str(answer["told"]))
            except TimeoutError as error:
                raise InfraError(
                    f"the keeper of this board does not answer `{op}`",
                    expected=f"an answer within {timeout_s:g} s",
                    seen=f"nothing from pid {self.pid}: it was stopped or hangs",
                    do="`assay down` ends it and releases the board",
                ) from error
            except OSError as error:
                raise self._gone(error) from error
        if answer is None:
            raise self._gone(OSError("it hung up"))
        if "error" in answer:
            raise error_of(answer["error"])
        result = answer["ok"]
        assert isinstance(result, dict)
        return result

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Use the board exclusively inside: for requests that belong together."""
        self.call("turn", timeout_s=TURN_S + ANSWER_S)
        try:
            yield
        finally:
            with contextlib.suppress(
                AssayError
            ):  # a keeper that is gone, or closed the connection, has given it to others
                self.call("done")

    def close(self) -> None:
        """Close the connection; may be called twice. The board stays up."""
        self._lines.close()

    def _gone(self, error: OSError) -> BoardLost:
        return BoardLost(
            f"the keeper of {self.path.stem} is gone",
            expected="the process that `assay up` started, until `assay down`",
            seen=str(error),
            do="`assay up` the board again",
        )


class _Tap:
    """A port on which the board's events arrive as the keeper receives them; it does not send.

    `watch` is given every frame in both directions, those of other commands included.
    """

    def __init__(self, path: Path, watch: Watch | None) -> None:
        self._lines = connect(path)
        self._watch = watch
        self._decoder = FrameDecoder()
        self._waiting = b""
        self._lines.send({"op": "watch"})
        self._lines.receive()
        self._lines.link.settimeout(_POLL_S)

    @property
    def in_waiting(self) -> int:
        """Bytes that a read returns at once."""
        return len(self._waiting)

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes of events, within a short time. Raises OSError if the keeper is gone."""
        if not self._waiting:
            try:
                line = self._lines.receive()
            except TimeoutError:
                return b""
            if line is None:
                raise OSError("the keeper hung up")
            for frame in self._decoder.push(bytes.fromhex(str(line["frame"]))):
                if self._watch is not None:
                    self._watch(str(line["dir"]), frame)
                if line["dir"] == "<" and frame.header.kind == FrameKind.EVENT:
                    self._waiting += encode(frame)
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return data

    def write(self, data: bytes) -> int | None:
        """Not supported: the keeper sends requests."""
        raise OSError(f"{len(data)} bytes for a line that only listens")

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()


class KeptClient(ChannelClient):
    """The commands of a kept board's kernel. The keeper handles sequences, session and repetition; events go to all."""

    def __init__(
        self,
        keeper: KeeperLink,
        *,
        name: str,
        timeout_s: float,
        watch: Watch | None = None,
        hello: HelloResponse,
    ) -> None:
        self._keeper = keeper
        self._hello_known = hello
        self._asked_name = ""
        try:
            tap = _Tap(keeper.path, watch)
        except OSError as error:
            raise BoardLost(
                f"the keeper of {name} is gone", seen=str(error), do="`assay up` the board again"
            ) from error
        super().__init__(tap, name=name, timeout_s=timeout_s, explain=self._tell_gone)

    def _tell_gone(self, error: AssayError) -> AssayError:
        if not isinstance(error, BoardLost):
            return error
        return BoardLost(
            f"the keeper of {self.name} is gone",
            expected="the process that `assay up` started, until `assay down`",
            seen=error.seen,
            do="`assay up` the board again",
        )

    @property
    def asked_last(self) -> str:
        """Our last request, as readable text."""
        return self._asked_name

    def request(self, message: Message[Q, R], request: Q, timeout_s: float | None = None) -> R:
        """Send a request through the keeper and return the response."""
        self._asked_name = message.name
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        answer = self._keeper.call(
            "request",
            timeout_s=2 * limit_s + TURN_S + _SLACK_S,
            message=message.number,
            data=request.pack().hex(),
            limit_s=timeout_s,
        )
        return self._record(message.name, message.response, answer["body"])

    def _record(self, name: str, response: type[R], body: str) -> R:
        try:
            return response.unpack(bytes.fromhex(body))
        except RecordError as error:
            raise KernelError(
                f"the keeper of {self.name} answered {name} with another record",
                expected=f"{response.wire_size()} bytes",
                seen=str(error),
                do="`assay down` and `assay up` the board again: its keeper is of another version",
            ) from error

    def hello(self, timeout_s: float | None = None) -> HelloResponse:
        """Query the kernel's identity."""
        answer = self._keeper.call("hello", timeout_s=self.timeout_s + TURN_S + _SLACK_S, limit_s=timeout_s)
        return self._record("HELLO", HelloResponse, answer["body"])

    def open_session(self, channel_key: bytes, epoch: int = 0) -> HelloResponse:  # noqa: ARG002 - it has one
        """The hello of the keeper's session, which all attached processes share."""
        return self._hello_known

    def upload(
        self, kind: BlobKind, data: bytes, *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Upload `data` through the keeper; `progress` is called only at the end."""
        self._keeper.call(
            "upload", timeout_s=2 * self.timeout_s + TURN_S + _SLACK_S, kind=int(kind), data=data.hex()
        )
        if progress is not None:
            progress(len(data), len(data))

    def send_raw(self, data: bytes) -> None:
        """Send bytes without framing through the keeper."""
        self._keeper.call("raw", timeout_s=TURN_S + ANSWER_S, data=data.hex())
