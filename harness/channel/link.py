"""A link: a console port with frames on it. One thread reads; anybody may send."""

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


# Sees every frame: ">" to the board or "<" from it. Called from the reader thread too.
Watch = Callable[[str, Frame], None]


class LinkClosedError(OSError):
    """The link is closed, or was lost while sending."""


class Link:
    """Frames over `port`.

    `on_frame` and `on_lost(reason)` are called from the reader thread, `on_lost` once, and never after `close`.
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
        """What the decoder has seen so far."""
        return self._decoder.stats

    @property
    def in_frame(self) -> int:
        """Bytes of a frame whose end has not come."""
        return self._decoder.in_frame

    def send(self, frame: Frame) -> None:
        """Send one frame. Raises LinkClosedError, and FrameError for a frame that cannot be."""
        wire = encode(frame)
        self._note(">", frame)
        # The leading delimiter ends whatever half frame the board may still hold.
        self.send_raw(b"\0" + wire)

    def _note(self, direction: str, frame: Frame) -> None:
        if self._transcript is not None:
            self._transcript.record(direction, frame)
        if self._watch is not None:
            self._watch(direction, frame)

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are (tests of damage). Raises LinkClosedError."""
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
        finally:  # whatever ended the reader: nobody may wait for its frames in vain
            self._close_port()
            if not self._closing.is_set():
                self._on_lost(reason or "the reader ended")

    def drop(self) -> None:
        """Let go of the line at once, from any thread; the reader finds it lost. `close` is still to come."""
        self._dropped.set()
        wake(self._port)

    def _close_port(self) -> None:
        """Close the port, once. Never under a read: its descriptor's number may be another file's by then."""
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
            self._close_port()  # by now the reader has; unless what it calls does not return
        if self._transcript is not None:
            self._transcript.close()
