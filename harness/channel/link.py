"""A link: frames over a console port. One thread reads; any thread may send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from harness.channel.frames import Frame, FrameDecoder, FrameStats, encode
from harness.channel.transcript import Transcript
from targets.serial import Port, wake

_READ_MAX: Final = 65536
_JOIN_S: Final = 5.0


# Sees every frame: ">" to the board or "<" from it. Also called from the reader thread.
Watch = Callable[[str, Frame], None]


class LinkClosedError(OSError):
    """The link is closed, or was lost while sending."""


class Link:
    """Frames over `port`.

    `on_frame` and `on_lost(reason)` are called from the reader thread; `on_lost` at most once and never after `close`.
    Owns the port: `close` closes it.
    """

    def __init__(
        self,
        port: Port,
        *,
        on_frame: Callable[[Frame], None],
        on_lost: Callable[[str], None],
        transcript: Transcript | None = None,
        watch: Watch | None = None,
    ) -> None:
        self._port = port
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._transcript = transcript
        self._watch = watch
        self._decoder = FrameDecoder()
        self._closing = threading.Event()
        self._dropped = threading.Event()
        self._close_lock = threading.Lock()
        self._closed = False
        self._send_lock = threading.Lock()
        self.bytes_received = 0
        self.last_byte_s = float("-inf")  # monotonic
        self._reader = threading.Thread(target=self._read, name="channel-reader", daemon=True)
        self._reader.start()

    @property
    def stats(self) -> FrameStats:
        """The decoder's counts so far."""
        return self._decoder.stats

    @property
    def in_frame(self) -> int:
        """Number of bytes of an incomplete frame."""
        return self._decoder.in_frame

    def send(self, frame: Frame) -> None:
        """Send one frame. Raises LinkClosedError, and FrameError for a frame that cannot be encoded."""
        wire = encode(frame)
        self._note(">", frame)
        # The leading delimiter ends an incomplete frame on the board.
        self.send_raw(b"\0" + wire)

    def _note(self, direction: str, frame: Frame) -> None:
        if self._transcript is not None:
            self._transcript.record(direction, frame)
        if self._watch is not None:
            self._watch(direction, frame)

    def send_raw(self, data: bytes) -> None:
        """Send raw bytes (for tests of damaged input). Raises LinkClosedError."""
        if self._closing.is_set() or self._dropped.is_set():
            raise LinkClosedError("the link is closed")
        try:
            with self._send_lock:
                self._port.write(data)
        except OSError as error:
            raise LinkClosedError(str(error)) from error

    def _read(self) -> None:
        reason = ""
        try:
            while not (self._closing.is_set() or self._dropped.is_set()):
                data = self._port.read(1)
                if not data:
                    continue
                waiting = self._port.in_waiting
                if waiting:
                    data += self._port.read(min(waiting, _READ_MAX))
                self.bytes_received += len(data)
                self.last_byte_s = time.monotonic()
                for frame in self._decoder.push(data):
                    self._note("<", frame)
                    self._on_frame(frame)
        except OSError as error:
            reason = str(error)
        finally:  # however the reader ended: no caller may wait for its frames in vain
            self._close_port()
            if not self._closing.is_set():
                self._on_lost(reason or "the reader ended")

    def drop(self) -> None:
        """Release the line at once, from any thread; the reader reports it as lost. Call `close` afterwards."""
        self._dropped.set()
        wake(self._port)

    def _close_port(self) -> None:
        """Close the port once. Never during a read: another file may get its descriptor's number."""
        with self._close_lock:
            if not self._closed:
                self._closed = True
                self._port.close()

    def close(self) -> None:
        """Close port and transcript and end the reader; may be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        wake(self._port)
        if threading.current_thread() is not self._reader:
            self._reader.join(_JOIN_S)
            self._close_port()  # the reader has closed it already, unless its call does not return
        if self._transcript is not None:
            self._transcript.close()
