"""A board with only the kernel base: probe.c answers each one-byte command with a line."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pytest

from contracts.board import BoardSpec
from contracts.errors import BoardLost
from harness.kernel.build import KernelImage, build_kernel

PROBE: Final = Path(__file__).with_name("probe.c")
TIMEOUT_S: Final = 20.0
QUIET_S: Final = 0.3


class ProbeBoard:
    """A QEMU with the probe kernel; `ask` sends a command and returns its line of words."""

    def __init__(
        self, spec: BoardSpec, image: KernelImage, folder: Path, *, icount: bool, extra: tuple[str, ...]
    ) -> None:
        assert spec.qemu is not None
        path = folder / "uart"
        kernel = image.elf if spec.qemu.boot == "elf" else image.img
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "--",
            "qemu-system-aarch64",
            "-machine",
            spec.qemu.machine,
        ]
        command += [
            "-m",
            f"{spec.qemu.memory_mib}M",
            "-smp",
            str(spec.qemu.cores),
            "-nodefaults",
            "-display",
            "none",
        ]
        command += ["-cpu", spec.qemu.cpu] if spec.qemu.cpu else []
        command += ["-icount", "shift=0,sleep=off"] if icount else []
        command += [
            "-serial",
            f"unix:{path},server=on,wait=on",
            "-kernel",
            str(kernel),
            *spec.qemu.extra,
            *extra,
        ]
        self._log = (folder / "qemu.log").open("w+b")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        self._socket = socket.socket(socket.AF_UNIX)
        self._received = b""
        end = time.monotonic() + TIMEOUT_S
        while True:
            try:
                self._socket.connect(str(path))
                break
            except OSError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    self.stop()
                    raise BoardLost("QEMU opened no UART", seen=(folder / "qemu.log").read_text()) from error
                time.sleep(0.01)
        self.greeting = self.line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End QEMU."""
        self._process.kill()
        self._process.wait(TIMEOUT_S)
        self._socket.close()
        self._log.close()

    def line(self) -> dict[str, str]:
        """The next line, `name key value key value ...`, as a mapping with the name under "name"."""
        self._socket.settimeout(TIMEOUT_S)
        while b"\n" not in self._received:
            data = self._socket.recv(4096)
            if not data:
                raise BoardLost("the board closed its UART", seen=repr(self._received))
            self._received += data
        line, self._received = self._received.split(b"\n", 1)
        words = line.decode().split()
        return {"name": words[0], **dict(zip(words[1::2], words[2::2], strict=False))}

    def ask(self, command: str) -> dict[str, str]:
        """Send a one-letter command; its answer."""
        self._socket.sendall(command.encode())
        return self.line()

    def send(self, data: bytes) -> None:
        """Send bytes that are not answered by a line."""
        self._socket.sendall(data)

    def text_until_quiet(self) -> str:
        """The bytes until the line has been quiet for a while; waits longer for the first byte."""
        received, self._received = self._received, b""
        self._socket.settimeout(TIMEOUT_S)
        try:
            while data := self._socket.recv(4096):
                received += data
                self._socket.settimeout(QUIET_S)
        except TimeoutError:
            pass
        return received.decode()

    def exit_code(self) -> int:
        """Wait for the board to power itself off; QEMU's exit code."""
        return self._process.wait(TIMEOUT_S)


Start = Callable[..., ProbeBoard]


@pytest.fixture
def start(board_spec: BoardSpec, tmp_path: Path) -> Iterator[Start]:
    """Starts probe boards of the board type under test: `start(icount=False, extra=("-machine", ...))`."""
    image = build_kernel(board_spec.firmware, probe=PROBE)
    with ExitStack() as stack:

        def open_one(*, icount: bool = True, extra: tuple[str, ...] = ()) -> ProbeBoard:
            folder = tmp_path / str(len(list(tmp_path.iterdir())))
            folder.mkdir()
            return stack.enter_context(ProbeBoard(board_spec, image, folder, icount=icount, extra=extra))

        yield open_one
