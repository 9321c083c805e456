"""Consoles: a device, a UNIX socket, RFC 2217 over a network; present, missing, held, lost."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import serial
import serial.rfc2217

from contracts.board import Place
from contracts.errors import BoardLost, ConfigError
from targets.console.device import Device
from targets.console.network import Rfc2217, Socket, Unix
from targets.drivers import console_of
from targets.protocols import Console


@dataclass(frozen=True)
class Pty:
    """A raw pty: `path` is the device, `far` the descriptor of the board's end."""

    path: Path
    far: int

    def say(self, data: bytes) -> None:
        """Bytes from the board."""
        os.write(self.far, data)

    def hear(self, size: int) -> bytes:
        """`size` bytes that the host sent."""
        out = b""
        while len(out) < size:
            out += os.read(self.far, size - len(out))
        return out


@pytest.fixture
def pty() -> Iterator[Pty]:
    far, near = os.openpty()
    tty.setraw(near)
    try:
        yield Pty(Path(os.ttyname(near)), far)
    finally:
        os.close(far)
        os.close(near)


class PtySerial(serial.Serial):  # type: ignore[misc]
    """A pty as the server's serial port: a pty has no modem lines."""

    cts = dsr = ri = cd = True

    def _update_dtr_state(self) -> None: ...

    def _update_rts_state(self) -> None: ...

    def _update_break_state(self) -> None: ...


@contextmanager
def rfc2217_server(device: Path) -> Iterator[tuple[str, PtySerial]]:
    """pyserial's own server for one client, after its example."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = PtySerial(str(device), timeout=0.05)
    stop = threading.Event()

    def serve() -> None:
        link, _ = listener.accept()
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sending = threading.Lock()

        class Connection:
            @staticmethod
            def write(data: bytes) -> None:
                with sending:
                    link.sendall(data)

        server = serial.rfc2217.PortManager(port, Connection())

        def to_host() -> None:
            while not stop.is_set():
                data = port.read(port.in_waiting or 1)
                if data:
                    Connection.write(b"".join(server.escape(data)))

        reader = threading.Thread(target=to_host)
        reader.start()
        try:
            while data := link.recv(1024):
                port.write(b"".join(server.filter(data)))
        except OSError:
            pass
        finally:
            stop.set()
            reader.join()
            link.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}", port
    finally:
        with socket.socket() as last:  # end a server that still waits for a connection
            last.connect_ex(listener.getsockname())
        thread.join(10)
        listener.close()
        port.close()


def exchange(console: Console, pty: Pty) -> None:
    """Bytes of every value pass unchanged in both directions."""
    every = bytes(range(256))
    port = console.open(115200)
    try:
        pty.say(every)
        got = b""
        end_s = time.monotonic() + 10
        while len(got) < 256 and time.monotonic() < end_s:
            got += port.read(256 - len(got))
        assert got == every
        port.write(every)
        assert pty.hear(256) == every
    finally:
        port.close()
        port.close()


def test_a_device_carries_every_byte(pty: Pty) -> None:
    console = Device(str(pty.path))
    console.check()
    assert console.present()
    exchange(console, pty)


def test_a_device_is_reached_through_its_link(pty: Pty, tmp_path: Path) -> None:
    link = tmp_path / "console"
    link.symlink_to(pty.path)
    exchange(console_of(Place("a", console=str(link))), pty)
    assert Place("a", console=str(link)).identity == Place("b", console=str(pty.path)).identity


def test_what_came_before_the_device_was_opened_is_dropped(pty: Pty) -> None:
    pty.say(b"an earlier life")
    port = Device(str(pty.path)).open(115200)
    pty.say(b"!")
    assert port.read(16) == b"!"
    port.close()


def test_rfc2217_carries_every_byte_and_sets_the_line(pty: Pty) -> None:
    with rfc2217_server(pty.path) as (address, port):
        console = console_of(Place("a", console=f"rfc2217://{address}"))
        assert isinstance(console, Rfc2217)
        exchange(console, pty)
        assert port.baudrate == 115200


def test_a_unix_socket_carries_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "line"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    console = console_of(Place("a", console=f"unix://{path}"))
    assert isinstance(console, Unix)
    console.check()
    port = console.open(115200)
    far, _ = listener.accept()
    port.write(b"\0\xff")
    assert far.recv(16) == b"\0\xff"
    far.sendall(b"\xff\0")
    assert port.read(2) == b"\xff\0"
    port.close()
    far.close()
    listener.close()


def test_a_unix_socket_that_takes_nobody_is_an_error_and_no_wait_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "line"
    with socket.socket(socket.AF_UNIX) as listener, contextlib.ExitStack() as waiting:
        listener.bind(str(path))
        listener.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:  # until the listener's queue is full
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
        with pytest.raises(BoardLost, match="cannot be opened"):
            console_of(Place("a", console=f"unix://{path}")).open(115200)


def test_a_missing_device_is_named_with_what_to_look_at(tmp_path: Path) -> None:
    console = Device(str(tmp_path / "ttyUSB7"))
    assert not console.present()
    with pytest.raises(BoardLost, match=r"ttyUSB7 is missing(?s:.)*cable(?s:.)*ls /dev/serial/by-id"):
        console.check()


def test_a_file_is_no_device(tmp_path: Path) -> None:
    path = tmp_path / "console"
    path.touch()
    with pytest.raises(BoardLost, match="is not a serial device"):
        Device(str(path)).check()


def test_a_device_that_somebody_holds_is_refused_and_the_holder_named(pty: Pty) -> None:
    port = Device(str(pty.path)).open(115200)
    try:
        with pytest.raises(BoardLost, match="is held"):
            Device(str(pty.path)).check()
        with pytest.raises(BoardLost, match="cannot be opened"):
            Device(str(pty.path)).open(115200)
        if child := os.fork():
            os.waitpid(child, 0)
        else:  # another process sees who it is
            try:
                Device(str(pty.path)).check()
            except BoardLost as error:
                os._exit(0 if f"pid {os.getppid()}" in error.what else 3)
            os._exit(4)
    finally:
        port.close()
    Device(str(pty.path)).check()


def test_a_check_takes_no_byte_from_the_line(pty: Pty) -> None:
    port = serial.Serial(str(pty.path), timeout=2)
    pty.say(b"kept")
    Device(str(pty.path)).check()
    assert port.read(4) == b"kept"
    port.close()


@pytest.mark.parametrize("driver", [Rfc2217, Socket])
def test_a_server_that_is_not_there_is_missing_at_once(driver: type[Rfc2217 | Socket]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    began_s = time.monotonic()
    with pytest.raises(BoardLost, match="cannot be reached"):
        driver(address).check()
    assert time.monotonic() - began_s < 1
    with pytest.raises(BoardLost, match="cannot be reached"):
        driver("no-such-host.invalid:4001?timeout=3").check()
    with pytest.raises(BoardLost, match="cannot be reached"):
        driver("localhost:serial").check()


def test_an_unknown_console_says_what_was_meant() -> None:
    with pytest.raises(ConfigError, match="did you mean 'rfc2217'"):
        console_of(Place("a", console="rfc2271://there:1"))
