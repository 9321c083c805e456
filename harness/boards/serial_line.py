"""A raw console: the output of a board or a device, and `expect`, without Assay's protocol on the line."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from contracts.board import BoardSpec
from contracts.errors import AssayError, BoardLost
from harness.kernel.build import KernelImage
from harness.lease import Lease
from targets.drivers import console_of, make_target, power_of
from targets.protocols import Port
from targets.serial import open_port

TIMEOUT_S: Final = 10.0
KEPT: Final = 1 << 20
"""Received bytes kept for `expect` and for messages; the log has everything."""

_SHOWN: Final = 1500
_READ_MAX: Final = 65536

Pattern = str | bytes | re.Pattern[bytes]


class NotReceived(AssayError):
    """The expected text did not arrive on a console: the test fails, and the message shows what arrived instead."""


class SerialLine:
    """One open line. `log`, if given, gets every byte that arrives. Created by `raw_console` or `open_line`."""

    def __init__(self, port: Port, name: str, log: Path | None = None) -> None:
        self.name = name
        self.log = log
        self.power_cycle: Callable[[], None] = self._no_switch
        self._port = port
        self._before = b""  # consumed by a match, kept for messages
        self._waiting = b""
        self._total = 0

    @property
    def received(self) -> bytes:
        """The text that was read and not yet matched."""
        return self._waiting

    def write(self, data: str | bytes) -> None:
        """Send text (UTF-8) or bytes. Raises BoardLost if the line is lost."""
        with self._line():
            self._port.write(data.encode() if isinstance(data, str) else data)

    def send_line(self, text: str, end: str = "\r") -> None:
        """Send a line, like a terminal."""
        self.write(text + end)

    def read(self, seconds: float) -> bytes:
        """Return everything that arrives within `seconds`, including what arrived before."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._receive()
        data, self._waiting = self._waiting, b""
        self._before = (self._before + data)[-_SHOWN:]
        return data

    def expect(self, pattern: Pattern, timeout_s: float = TIMEOUT_S) -> re.Match[bytes]:
        """Wait for a regular expression (text is read as UTF-8) and return its match; the rest is kept for the next call.

        Raises NotReceived with what was received instead, BoardLost for a line that is gone.
        """
        __tracebackhide__ = True
        wanted = _compiled(pattern)
        began_s = time.monotonic()
        while True:
            found = wanted.search(self._waiting)
            if found is not None:
                self._before = (self._before + self._waiting[: found.end()])[-_SHOWN:]
                self._waiting = self._waiting[found.end() :]
                return found
            if time.monotonic() - began_s >= timeout_s:
                raise self._not_received(wanted, timeout_s)
            self._receive()

    def close(self) -> None:
        """Close the line; may be called twice."""
        self._port.close()

    def _receive(self) -> None:
        with self._line():
            data = self._port.read(1)
            if data and self._port.in_waiting:
                data += self._port.read(min(self._port.in_waiting, _READ_MAX))
        if not data:
            return
        self._total += len(data)
        self._waiting = (self._waiting + data)[-KEPT:]
        if self.log is not None:
            with self.log.open("ab") as stream:
                stream.write(data)

    def _not_received(self, wanted: re.Pattern[bytes], timeout_s: float) -> NotReceived:
        came = self._waiting[-_SHOWN:]
        seen = f"{len(self._waiting)} bytes since the last match: {_readable(came)}" if came else "nothing"
        if not came and self._before:
            seen += f" since the last match, which ended: {_readable(self._before[-200:])}"
        elif not came and not self._total:
            seen += " at all on this line so far"
        where = f"; all of it is in {self.log}" if self.log is not None and self._total else ""
        return NotReceived(
            f"{self.name} did not send the expected text",
            expected=f"{wanted.pattern!r} within {timeout_s:g} s",
            seen=seen,
            do=f"compare the two; if nothing was received, check power, wiring and baud rate{where}",
        )

    @contextlib.contextmanager
    def _line(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BoardLost(
                f"the console of {self.name} is lost",
                expected="a line that stays open",
                seen=str(error),
                do="check the adapter's cable and its hub",
            ) from error

    def _no_switch(self) -> None:
        raise BoardLost(
            f"{self.name} has no power switch here",
            expected="a board of the lab",
            seen="a line that was opened by its name",
        )


def _compiled(pattern: Pattern) -> re.Pattern[bytes]:
    if isinstance(pattern, re.Pattern):
        return pattern
    return re.compile(pattern.encode() if isinstance(pattern, str) else pattern, re.DOTALL)


def _readable(data: bytes) -> str:
    """Bytes as text with line breaks; unprintable ones as `\\x1b`."""
    text = data.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    return "".join(char if char.isprintable() or char == "\n" else repr(char)[1:-1] for char in text)


@contextlib.contextmanager
def open_line(url: str, *, baud: int = 115_200, log: Path | None = None) -> Iterator[SerialLine]:
    """A device of this machine or a pyserial URL, for one holder. Raises BoardLost if it cannot be opened."""
    port = open_port(url, baud=baud, exclusive="://" not in url, read_timeout_s=0.05)
    line = SerialLine(port, url, log)
    try:
        yield line
    finally:
        line.close()


@contextlib.contextmanager
def raw_console(
    spec: BoardSpec, lease: Lease, image: KernelImage | None, *, log: Path | None = None
) -> Iterator[SerialLine]:
    """The line of a leased board, which is switched on with whatever it boots, and switched off afterwards.

    Nothing is written to the boot medium of a hardware board. A QEMU needs a kernel: `image`. Raises InfraError.
    """
    with contextlib.ExitStack() as stack:
        if spec.qemu is not None:
            assert image is not None
            target = stack.enter_context(make_target(spec, lease.place, image.elf, image.img))
            line = SerialLine(target.open_console(), lease.place.name, log)
            stack.callback(line.close)
            target.go()
            yield line
            return
        power = power_of(lease.place)
        console = console_of(lease.place)
        power.off()
        stack.callback(power.off)
        line = SerialLine(console.open(spec.baud), lease.place.name, log)
        stack.callback(line.close)

        def cycle() -> None:
            power.off()
            power.on()

        line.power_cycle = cycle
        power.on()
        yield line
