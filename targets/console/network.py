"""Consoles behind a socket: `unix://PATH`, `rfc2217://HOST:PORT` (RFC 2217: baud rate and all) and `socket://HOST:PORT`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlsplit

from contracts.errors import BoardLost, Cause
from targets.protocols import Port
from targets.serial import open_port

CONNECT_S: Final = 0.5


class Unix:
    """A console on a UNIX stream socket."""

    def __init__(self, address: str) -> None:
        self.path = Path(address)

    def present(self) -> bool:
        """Whether the socket is there."""
        return self.path.is_socket()

    def check(self) -> None:
        """Raise BoardLost when there is no socket. Does not connect: the far end may serve one client only."""
        if not self.present():
            raise BoardLost(
                f"the console socket {self.path} is missing",
                expected="a listening UNIX socket",
                seen="a file of another kind" if self.path.exists() else "nothing there",
                do="start the program that serves it, or mend the `console` of this place",
                cause=Cause.LAB,
            )

    def open(self, baud: int) -> Port:
        """Connect. Raises BoardLost."""
        return open_port(f"unix://{self.path}", baud=baud)


class _Network:
    """A console on another machine, or on this one behind a port."""

    scheme: ClassVar[str]
    write_timeout_s: ClassVar[float | None] = 10.0

    def __init__(self, address: str) -> None:
        self.url = f"{self.scheme}://{address}"
        parts = urlsplit(self.url)
        self.host = parts.hostname or ""
        try:
            self.port = parts.port or 0
        except ValueError:
            self.port = 0

    def present(self) -> bool:
        """A network's far end is known only once it is asked."""
        return True

    def check(self) -> None:
        """Raise BoardLost when nobody listens. Connects and hangs up at once."""
        try:
            with socket.create_connection((self.host, self.port), timeout=CONNECT_S):
                pass
        except (OSError, OverflowError) as error:
            raise BoardLost(
                f"the console server {self.url} cannot be reached",
                expected=f"HOST:PORT with a server that answers within {CONNECT_S:g} s",
                seen=str(error),
                do="check that the server runs, its network cable and name, and the `console` of this place",
                cause=Cause.LAB,
            ) from error

    def open(self, baud: int) -> Port:
        """Connect and, where the protocol can, set the line. Raises BoardLost."""
        return open_port(self.url, baud=baud, write_timeout_s=self.write_timeout_s)


class Rfc2217(_Network):
    """A serial server that speaks RFC 2217: ser2net, or an industrial device server."""

    scheme = "rfc2217"
    write_timeout_s = None  # pyserial's client has none


class Socket(_Network):
    """A raw TCP socket; the far end has its own line settings."""

    scheme = "socket"
