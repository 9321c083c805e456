"""Opening a console: any pyserial URL, a device or pty path, or `unix://PATH`."""

from __future__ import annotations

import time
from typing import Final, Protocol

import serial

from contracts.errors import BoardLost

_HANDLERS: Final = "targets.urlhandlers"


class Port(Protocol):
    """What the lab uses of a pyserial port. Reads and writes raise OSError (SerialException) on a lost line."""

    @property
    def in_waiting(self) -> int:
        """Bytes that a read would get at once."""
        ...

    def read(self, size: int = 1) -> bytes:
        """Up to `size` bytes within the port's read timeout."""
        ...

    def write(self, data: bytes) -> int | None:
        """Send all bytes within the port's write timeout."""
        ...

    def close(self) -> None:
        """Close; may be called twice."""
        ...


def open_port(
    url: str,
    *,
    baud: int = 115200,
    read_timeout_s: float = 0.2,
    write_timeout_s: float = 10.0,
    wait_s: float = 0.0,
) -> Port:
    """Open a console. Tries again for `wait_s` seconds while nobody listens yet. Raises BoardLost."""
    if _HANDLERS not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.append(_HANDLERS)
    end = time.monotonic() + wait_s
    while True:
        try:
            port: Port = serial.serial_for_url(
                url, baudrate=baud, timeout=read_timeout_s, write_timeout=write_timeout_s
            )
        except (OSError, ValueError) as error:
            if time.monotonic() >= end:
                raise BoardLost(
                    f"console {url} cannot be opened",
                    expected="a device, a pty or a listening UNIX socket",
                    seen=str(error),
                    do="check that the board runs and that nobody else holds its console",
                ) from error
            time.sleep(0.01)
        else:
            return port
