"""Opening a serial line: any pyserial URL, a device or pty path, or `unix://PATH`."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final

import serial

from contracts.errors import BoardLost, Cause
from targets.protocols import Port

__all__ = ["Port", "open_port", "wake"]

_HANDLERS: Final = "targets.urlhandlers"


def open_port(
    url: str,
    *,
    baud: int = 115200,
    read_timeout_s: float = 0.2,
    write_timeout_s: float | None = 10.0,
    wait_s: float = 0.0,
    exclusive: bool = False,
) -> Port:
    """Open a line. Retries for `wait_s` seconds while there is no listener. Raises BoardLost.

    `exclusive` locks a device (flock(2)), so that a second exclusive open is refused.
    """
    if _HANDLERS not in serial.protocol_handler_packages:
        serial.protocol_handler_packages.append(_HANDLERS)
    end = time.monotonic() + wait_s
    while True:
        try:
            port: Port = serial.serial_for_url(
                url,
                baudrate=baud,
                timeout=read_timeout_s,
                write_timeout=write_timeout_s,
                exclusive=True if exclusive else None,
            )
        except (OSError, ValueError) as error:
            if time.monotonic() >= end:
                raise BoardLost(
                    f"console {url} cannot be opened",
                    expected="a device, a pty or a listening socket",
                    seen=str(error),
                    do="check that the board runs and that no other process holds its console",
                    cause=Cause.LAB,
                ) from error
            time.sleep(0.01)
        else:
            return port


def wake(port: Port) -> None:
    """End a read that waits in another thread; if the port cannot do that, the read ends with its timeout."""
    cancel = getattr(port, "cancel_read", None)
    if cancel is not None:
        with suppress(OSError):  # the other end closed first
            cancel()
