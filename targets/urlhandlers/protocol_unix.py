"""`unix://PATH` for pyserial: a UNIX stream socket as a serial port (pyserial has no such scheme)."""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import time
from typing import Any

from serial.serialutil import PortNotOpenError, SerialBase, SerialException

SCHEME = "unix://"


class Serial(SerialBase):  # type: ignore[misc]  # pyserial ships no types
    """A serial port on a UNIX socket. Line settings are accepted and ignored.

    If the peer closes, a read raises SerialException, as for a USB adapter that is unplugged.
    """

    is_open: bool = False
    _socket: socket.socket | None = None

    def open(self) -> None:
        """Connect. Raises SerialException if there is no listener."""
        path = self.portstr
        if not path or not path.startswith(SCHEME):
            raise SerialException(f"expected: {SCHEME}PATH, seen: {path!r}")
        if self.is_open:
            raise SerialException("port is already open")
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.setblocking(False)  # connect(2) would block for ever on a listener that does not accept
        try:
            link.connect(path[len(SCHEME) :])
        except OSError as error:
            link.close()
            raise SerialException(f"could not open port {path}: {error}") from error
        self._socket = link
        self.is_open = True

    def close(self) -> None:
        """Close; wakes a waiting reader. Does nothing if already closed."""
        link, self._socket = self._socket, None
        self.is_open = False
        if link is None:
            return
        try:
            link.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer closed first
        finally:
            link.close()

    def _open_socket(self) -> socket.socket:
        if self._socket is None:
            raise PortNotOpenError
        return self._socket

    @property
    def in_waiting(self) -> int:
        """Number of bytes that a read would return at once."""
        raw = fcntl.ioctl(self._open_socket(), termios.FIONREAD, struct.pack("I", 0))
        count: int = struct.unpack("I", raw)[0]
        return count

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes that arrive within the port's timeout (None: wait for all)."""
        link = self._open_socket()
        out = bytearray()
        end = None if self._timeout is None else time.monotonic() + self._timeout
        while len(out) < size:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                if not select.select([link], [], [], left)[0]:
                    break
                piece = link.recv(size - len(out))
            except (OSError, ValueError) as error:
                raise SerialException(f"read of {self.portstr} failed: {error}") from error
            if not piece:
                raise SerialException(f"{self.portstr}: the other end closed the connection")
            out += piece
        return bytes(out)

    def write(self, data: Any) -> int:
        """Send all of `data`. Raises SerialException, also on a write timeout."""
        link = self._open_socket()
        view = memoryview(bytes(data))
        end = None if self._write_timeout is None else time.monotonic() + self._write_timeout
        while view:
            left = None if end is None else max(0.0, end - time.monotonic())
            try:
                if not select.select([], [link], [], left)[1]:
                    raise SerialException(f"write to {self.portstr} timed out with {len(view)} bytes to go")
                view = view[link.send(view) :]
            except (OSError, ValueError) as error:
                if isinstance(error, SerialException):
                    raise
                raise SerialException(f"write to {self.portstr} failed: {error}") from error
        return len(data)

    def flush(self) -> None:
        """Does nothing: output is not buffered."""

    def reset_input_buffer(self) -> None:
        """Drop received bytes."""
        link = self._open_socket()
        while select.select([link], [], [], 0)[0] and link.recv(4096):
            pass

    def reset_output_buffer(self) -> None:
        """Does nothing: output is not buffered."""

    def cancel_read(self) -> None:
        """Wake a reader: it sees the connection closed."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RD)

    def _reconfigure_port(self) -> None:
        """Does nothing: a socket has no line settings."""

    def _update_dtr_state(self) -> None:
        """No such line."""

    def _update_rts_state(self) -> None:
        """No such line."""

    def _update_break_state(self) -> None:
        """No such line."""

    def fileno(self) -> int:
        """The socket's descriptor, for select."""
        return self._open_socket().fileno()
