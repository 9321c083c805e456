"""Consoles over a socket: `unix://PATH`, `rfc2217://HOST:PORT` (RFC 2217, with line settings), `socket://HOST:PORT`."""

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
        """Whether the socket exists."""
        return self.path.is_socket()

    def check(self) -> None:
        """Raise BoardLost if there is no socket. Does not connect: the server may accept only one client."""
        if not self.present():
            raise BoardLost(
                f"the console socket {self.path} is missing",
                expected="a listening UNIX socket",
                seen="a file of another type" if self.path.exists() else "nothing",
                do="start the program that serves it, or correct `console` of this place",
                cause=Cause.LAB,
            )

    def open(self, baud: int) -> Port:
        """Connect. Raises BoardLost."""
        return open_port(f"unix://{self.path}", baud=baud)


class _Network:
    """A console on another machine, or on a port of this machine."""

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
        """True: only a connection attempt shows whether the server is there."""
        return True

    def check(self) -> None:
        """Raise BoardLost if there is no server. Connects and disconnects at once."""
        try:
            with socket.create_connection((self.host, self.port), timeout=CONNECT_S):
                pass
        except (OSError, OverflowError) as error:
            raise BoardLost(
                f"the console server {self.url} cannot be reached",
                expected=f"HOST:PORT with a server that answers within {CONNECT_S:g} s",
                seen=str(error),
                do="check the server, its network cable and its name, and `console` of this place",
                cause=Cause.LAB,
            ) from error

    def open(self, baud: int) -> Port:
        """Connect and, if the protocol supports it, configure the line. Raises BoardLost."""
        return open_port(self.url, baud=baud, write_timeout_s=self.write_timeout_s)


class Rfc2217(_Network):
    """A serial server with RFC 2217: ser2net, or an industrial device server."""

    scheme = "rfc2217"
    write_timeout_s = None  # pyserial's client does not support it


class Socket(_Network):
    """A raw TCP socket; the server has its own line settings."""

    scheme = "socket"
