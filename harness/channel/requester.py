"""Requests and responses: sequences, MACs, credits, retransmission, events, and the error for a silent board."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from contracts.errors import (
    AssayError,
    BoardLost,
    Cause,
    ChannelError,
    KernelError,
    KernelFault,
    RequestRefused,
)
from contracts.wire.events import EVENTS, Event, FaultEvent, LogEvent
from contracts.wire.frames import (
    CREDITS,
    MAX_PAYLOAD,
    PROTOCOL_VERSION,
    FrameFlag,
    FrameHeader,
    FrameKind,
    Message,
    ResponseHeader,
    Status,
)
from contracts.wire.live import DEPLOY, LOAD, REPLAY, ROLLBACK, RUN, TRIAL
from contracts.wire.schema import Record, RecordError
from contracts.wire.session import HELLO, NONCE_SIZE, OPEN, HelloRequest, HelloResponse
from contracts.wire.uploads import (
    BLOB_BEGIN,
    BLOB_END,
    BLOB_WRITE,
    BlobBeginRequest,
    BlobEndRequest,
    BlobKind,
    BlobWriteRequest,
)
from harness.channel.faults import fault_error
from harness.channel.frames import Frame, FrameStats
from harness.channel.link import Link, LinkClosedError, Watch
from harness.channel.session import SessionKey
from harness.channel.transcript import Transcript, message_name, status_name
from targets.serial import Port

Q = TypeVar("Q", bound=Record)
R = TypeVar("R", bound=Record)

FIRST_RETRY_S: Final = 0.25
GRACE_S: Final = 1.0
LOOK_S: Final = 1.0
EVENTS_KEPT: Final = 4096
_LEAD: Final = ResponseHeader.wire_size()
_WRITE_MAX: Final = MAX_PAYLOAD - BlobWriteRequest.wire_size()

# Measured commands: the host is silent while one runs, so it is repeated only after its time-out.
LONG: Final = frozenset(message.number for message in (LOAD, RUN, TRIAL, DEPLOY, ROLLBACK, REPLAY))


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """An unsolicited message: its number, its record, and its arrival time (host's monotonic clock, seconds)."""

    event: Event
    record: Record
    received_s: float


class Silent(ChannelError):
    """The response or event did not arrive in time.

    `heard` bytes arrived in the `waited_s` seconds, the last of them `idle_s` seconds before the end; `in_frame` bytes
    of them belong to an incomplete frame. `event`: the wait was for an event, so the kernel may still answer requests.
    """

    def __init__(
        self, what: str, *, expected: str = "", seen: str = "", do: str = "", cause: Cause | None = None
    ) -> None:
        super().__init__(what, expected=expected, seen=seen, do=do, cause=cause)
        self.heard = 0
        self.waited_s = 0.0
        self.idle_s = float("inf")
        self.in_frame = 0
        self.event = False
        self.awaited: int | None = None  # number of the event that a caller waits for


@dataclass(slots=True)
class _Pending:
    """A request without a response yet."""

    message: Message[Record, Record]
    frame: Frame
    sent_s: float
    payload: bytes | None = None


class Requester:
    """One conversation with a board over `port`, which it owns.

    Requests may come from any thread, one at a time. Every request ends with its response or one of:
    RequestRefused (the kernel refused), KernelFault (the kernel died), KernelError (the answer violates the schema),
    Silent (no valid answer before the timeout), BoardLost (the link closed). `explain` may replace any of them except
    KernelError by a more specific error (whether QEMU still runs, who took the board). `lost_s` returns the seconds
    since a moment (monotonic) that were lost because this process or the board's was stopped: a timeout is extended by
    them, up to twice its length.
    """

    def __init__(
        self,
        port: Port,
        *,
        name: str,
        timeout_s: float,
        transcript: Path | None = None,
        on_event: Callable[[ReceivedEvent], None] | None = None,
        explain: Callable[[AssayError], AssayError] | None = None,
        watch: Watch | None = None,
        lost_s: Callable[[float], float] | None = None,
    ) -> None:
        self.name = name
        self.timeout_s = timeout_s
        self.events: deque[ReceivedEvent] = deque(maxlen=EVENTS_KEPT)
        self.log: deque[str] = deque(maxlen=EVENTS_KEPT)
        self.stray_frames = 0
        self.retransmissions = 0
        self._callbacks: list[Callable[[ReceivedEvent], None]] = [on_event] if on_event else []
        self._explain = explain
        self._lost_s = lost_s or (lambda _began_s: 0.0)
        self._transcript = Transcript(transcript) if transcript else None
        self._turn = threading.RLock()
        self._changed = threading.Condition()
        self._pending: dict[int, _Pending] = {}
        self._asked: Frame | None = None
        self._fault: KernelFault | None = None
        self._lost: str | None = None
        self._credits = CREDITS
        self._sequence = secrets.randbelow(
            1 << 24
        )  # so that late answers to another client are not mistaken for ours
        self._session = 0
        self._session_key: SessionKey | None = None
        self._link = Link(
            port, on_frame=self._received, on_lost=self._link_lost, transcript=self._transcript, watch=watch
        )

    # --- incoming frames (reader thread) ---------------------------------------------------------------------------

    def _received(self, frame: Frame) -> None:
        if frame.header.kind == FrameKind.RESPONSE:
            with self._changed:
                pending = self._pending.get(frame.header.sequence)
                if pending is None or pending.frame.header.message != frame.header.message:
                    self.stray_frames += 1
                else:
                    pending.payload = frame.payload
                    self._changed.notify_all()
        elif frame.header.kind == FrameKind.EVENT and frame.header.message in EVENTS:
            self._event(Event(frame.header.message), frame.payload)
        else:
            self.stray_frames += 1

    def _event(self, number: Event, payload: bytes) -> None:
        try:
            record = EVENTS[number].unpack(payload)
        except RecordError:
            self.stray_frames += 1
            return
        received = ReceivedEvent(number, record, time.monotonic())
        with self._changed:
            self.events.append(received)
            if isinstance(record, LogEvent):
                self.log.append(record.text.decode("utf-8", "replace"))
            if isinstance(record, FaultEvent) and self._fault is None:
                self._fault = fault_error(record)
            self._changed.notify_all()
        for callback in self._callbacks:
            callback(received)

    def _link_lost(self, reason: str) -> None:
        with self._changed:
            self._lost = reason
            self._changed.notify_all()

    # --- requests -----------------------------------------------------------------------------------------------

    @property
    def asked_last(self) -> str:
        """A description of the last request; empty before the first."""
        if self._asked is None:
            return ""
        sequence, size = self._asked.header.sequence, len(self._asked.payload)
        return f"{message_name(self._asked)}, sequence {sequence}, {size} bytes"

    @property
    def frame_stats(self) -> FrameStats:
        """The counts of the host's decoder."""
        return self._link.stats

    @property
    def fault(self) -> KernelFault | None:
        """The fault that killed the kernel, if any."""
        return self._fault

    def request(self, message: Message[Q, R], request: Q, timeout_s: float | None = None) -> R:
        """Send `request` and return its response. Raises as the class describes; `timeout_s` None: the board's."""
        with self._turn:
            body = self._body(self._begin(message, request), timeout_s)
        try:
            return message.response.unpack(body)
        except RecordError as error:
            raise KernelError(
                f"board {self.name} answered {message.name} with the wrong record",
                expected=f"{message.response.wire_size()} bytes",
                seen=str(error),
                do="build kernel and host from the same tree",
            ) from error

    def _begin(self, message: Message[Q, R], request: Q) -> _Pending:
        """Send a request without waiting for its response."""
        self.check_alive()
        self._sequence += 1
        flags = FrameFlag.MAC if message.authenticated and self._session_key else FrameFlag(0)
        header = FrameHeader(FrameKind.REQUEST, flags, message.number, self._sequence, self._session)
        frame = Frame(header, request.pack())
        if flags and self._session_key:
            frame = Frame(header, frame.payload, self._session_key.mac(frame.signed))
        self._asked = frame
        pending = _Pending(message, frame, time.monotonic())  # type: ignore[arg-type]  # a request of its own type
        with self._changed:
            self._pending[self._sequence] = pending
        self._send(frame)
        return pending

    def _send(self, frame: Frame) -> None:
        try:
            self._link.send(frame)
        except LinkClosedError as error:
            with self._changed:
                self._lost = self._lost or str(error)
            self.check_alive()

    def check_alive(self) -> None:
        """Raise the error that ended this conversation, if it has ended."""
        if self._transcript is not None:
            self._transcript.check()
        if self._fault is not None:
            raise self._explained(self._fault)
        if self._lost is not None:
            raise self._explained(
                BoardLost(
                    f"the link to board {self.name} is lost",
                    expected="a console that stays open",
                    seen=self._lost,
                    do="check the board's process and cable; then start it again",
                )
            )

    def _explained(self, error: AssayError) -> AssayError:
        return self._explain(error) if self._explain else error

    def _wait(self, pending: _Pending, until_s: float) -> bool:
        """Wait for the response until `until_s` (monotonic). False if it is still missing."""
        with self._changed:
            while pending.payload is None and self._fault is None and self._lost is None:
                left = until_s - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        if pending.payload is None:
            self.check_alive()
        return True

    def _answered(self, pending: _Pending, timeout_s: float | None) -> bool:
        """Wait for the response; send the same bytes again if the type of message allows it."""
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        end_s = pending.sent_s + limit_s
        retry_s = FIRST_RETRY_S
        if pending.message.number in LONG:
            if self._wait(pending, end_s):
                return True
            end_s = time.monotonic() + min(limit_s, GRACE_S)
            retry_s = GRACE_S
        else:
            if self._wait(pending, min(end_s, time.monotonic() + retry_s)):
                return True
        while time.monotonic() < end_s:
            self.retransmissions += 1
            self._send(pending.frame)
            retry_s *= 2
            if self._wait(pending, min(end_s, time.monotonic() + retry_s)):
                return True
        granted_s = 0.0
        while (more_s := min(self._lost_s(pending.sent_s), limit_s) - granted_s) > 0:
            granted_s += more_s
            if self._wait(pending, time.monotonic() + more_s):
                return True
        return False

    def _body(self, pending: _Pending, timeout_s: float | None) -> bytes:
        """The response's body, if its status is OK."""
        received = self._link.bytes_received
        try:
            answered = self._answered(pending, timeout_s)
        finally:
            with self._changed:
                self._pending.pop(pending.frame.header.sequence, None)
        if not answered or pending.payload is None:
            raise self._explained(self._silence(pending, timeout_s, self._link.bytes_received - received))
        return self._open_response(pending.message.name, pending.payload)

    def _silence(self, pending: _Pending, timeout_s: float | None, heard: int) -> Silent:
        stats = self._link.stats
        waited_s = time.monotonic() - pending.sent_s
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        seen = f"no bytes for {waited_s:.2f} s"
        if heard:
            seen = (
                f"{heard} bytes in {waited_s:.2f} s, but not the response ({stats.crc_errors} CRC errors, "
                f"{stats.malformed} malformed and {stats.oversized} oversized frames so far)"
            )
        where = f"; the transcript is {self._transcript.path}" if self._transcript else ""
        silence = Silent(
            f"board {self.name} does not answer {pending.message.name}",
            expected=f"a response to sequence {pending.frame.header.sequence} within {limit_s:g} s",
            seen=seen,
            do=f"power-cycle the board, or raise request_timeout_s in the board file if it is only slow{where}",
        )
        return self._measured(silence, heard, waited_s)

    def _measured(self, silence: Silent, heard: int, waited_s: float) -> Silent:
        silence.heard = heard
        silence.waited_s = waited_s
        silence.idle_s = time.monotonic() - self._link.last_byte_s
        silence.in_frame = self._link.in_frame
        return silence

    def _open_response(self, name: str, payload: bytes) -> bytes:
        if len(payload) < _LEAD:
            raise KernelError(
                f"the kernel's answer to {name} is not a response",
                expected=f"{_LEAD} bytes or more",
                seen=f"{len(payload)} bytes",
                do="build kernel and host from the same tree",
            )
        lead = ResponseHeader.unpack(payload[:_LEAD])
        self._credits = max(1, lead.credits)
        if lead.status != Status.OK:
            text = payload[_LEAD:].decode("utf-8", "replace")
            status = status_name(lead.status)
            refused = RequestRefused(
                f"board {self.name} refused {name}: {status}", status=status, detail=text
            )
            raise self._explained(refused)
        return payload[_LEAD:]

    # --- session ------------------------------------------------------------------------------------------------

    def hello(self, timeout_s: float | None = None) -> HelloResponse:
        """Identify the kernel. Raises KernelError if it uses another protocol version."""
        return self._hello(secrets.token_bytes(NONCE_SIZE), timeout_s)

    def _hello(self, host_nonce: bytes, timeout_s: float | None) -> HelloResponse:
        answer = self.request(HELLO, HelloRequest(PROTOCOL_VERSION, 0, host_nonce), timeout_s)
        if answer.protocol != PROTOCOL_VERSION or answer.max_payload != MAX_PAYLOAD:
            raise KernelError(
                f"board {self.name} uses another channel protocol",
                expected=f"protocol {PROTOCOL_VERSION} with payloads of {MAX_PAYLOAD} bytes",
                seen=f"protocol {answer.protocol} with payloads of {answer.max_payload} bytes",
                do="build kernel and host from the same tree",
            )
        return answer

    def open_session(self, channel_key: bytes, epoch: int = 0) -> HelloResponse:
        """Open an authenticated session and return the hello that it is based on.

        Raises RequestRefused: BAD_MAC if the kernel has another channel key, STALE_EPOCH if a later holder has opened
        a session.
        """
        with self._turn:
            host_nonce = secrets.token_bytes(NONCE_SIZE)
            hello = self._hello(host_nonce, None)
            key = SessionKey.derive(channel_key, host_nonce, hello.board_nonce, epoch)
            self._session = 0
            self._session_key = None
            self._session = self.request(OPEN, key.open_request()).session
            self._session_key = key
            return hello

    # --- uploads ------------------------------------------------------------------------------------------------

    def upload(
        self, kind: BlobKind, data: bytes, *, progress: Callable[[int, int], None] | None = None
    ) -> None:
        """Upload `data` into the kernel's buffer of `kind`, with as many writes in flight as the kernel grants credits.

        `progress(done, total)` is called in bytes as writes are acknowledged.
        """
        from harness.channel.frames import crc32c

        with self._turn:
            self.request(BLOB_BEGIN, BlobBeginRequest(kind, len(data), crc32c(data)))
            flight: deque[tuple[_Pending, int]] = deque()
            try:
                for offset in range(0, len(data), _WRITE_MAX):
                    while len(flight) >= min(self._credits, CREDITS):
                        self._land(flight, len(data), progress)
                    piece = data[offset : offset + _WRITE_MAX]
                    write = BlobWriteRequest(kind, offset, piece)
                    flight.append((self._begin(BLOB_WRITE, write), offset + len(piece)))
                while flight:
                    self._land(flight, len(data), progress)
            finally:
                with self._changed:
                    for pending, _ in flight:
                        self._pending.pop(pending.frame.header.sequence, None)
            self.request(BLOB_END, BlobEndRequest(kind))

    def _land(
        self,
        flight: deque[tuple[_Pending, int]],
        total: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        pending, done = flight.popleft()
        self._body(pending, None)
        if progress is not None:
            progress(done, total)

    # --- events -------------------------------------------------------------------------------------------------

    def on_event(self, callback: Callable[[ReceivedEvent], None]) -> None:
        """Call `callback` for every event from now on, from the reader thread."""
        self._callbacks.append(callback)

    def wait_event(
        self,
        event: Event,
        timeout_s: float | None = None,
        *,
        look: Callable[[], AssayError | None] | None = None,
    ) -> ReceivedEvent:
        """Wait for an event of that number; remove the oldest from `events` and return it. Raises Silent if none comes.

        `look` is asked every second whether the board is still there; what it returns is raised.
        """
        limit_s = self.timeout_s if timeout_s is None else timeout_s
        began_s = time.monotonic()
        end_s = began_s + limit_s
        received = self._link.bytes_received
        look_s = time.monotonic() + LOOK_S
        while True:
            with self._changed:
                for kept in self.events:
                    if kept.event == event:
                        self.events.remove(kept)
                        return kept
                now_s = time.monotonic()
                if now_s >= end_s:  # lost time extends the timeout, up to twice its length
                    end_s = began_s + limit_s + min(self._lost_s(began_s), limit_s)
                if now_s >= end_s or self._lost is not None or self._fault is not None:
                    break
                self._changed.wait(min(end_s, look_s) - now_s if look is not None else end_s - now_s)
            if look is not None and time.monotonic() >= look_s:
                gone = look()  # outside the lock: it may ask a switch, which takes its time
                if gone is not None:
                    raise gone
                look_s = time.monotonic() + LOOK_S
        self.check_alive()
        heard = self._link.bytes_received - received
        stats = self._link.stats
        silence = Silent(
            f"board {self.name} sent no {event.name} event",
            expected=f"one within {limit_s:g} s",
            seen=f"{heard} bytes, {len(self.events)} other events, {stats.crc_errors} CRC errors so far",
            do="see the transcript for what happened instead",
        )
        silence.event = True
        silence.awaited = event
        raise self._explained(self._measured(silence, heard, limit_s))

    # --- lifetime -----------------------------------------------------------------------------------------------

    def send_raw(self, data: bytes) -> None:
        """Send raw bytes without framing: for tests of damaged input."""
        self._link.send_raw(data)

    def drop(self) -> None:
        """Release the line at once, from any thread: a pending request ends as on a lost link. Close it later."""
        self._link.drop()

    def close(self) -> None:
        """Close the link; may be called twice."""
        self._link.close()
