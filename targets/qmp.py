"""QMP, as much of it as a board needs: one command at a time over a UNIX socket, no event loop."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any, Final

from contracts.errors import BoardLost, InfraError

_CHUNK: Final = 65536


class Qmp:
    """A QMP connection (docs/interop/qmp-spec in QEMU). Raises BoardLost when QEMU is gone."""

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._buffer = b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
            self._receive(time.monotonic() + timeout_s)  # the greeting
            self.execute("qmp_capabilities")
        except OSError as error:
            self._socket.close()
            raise BoardLost(
                "QEMU's control socket cannot be opened",
                expected="a listening QMP socket",
                seen=str(error),
                do="look at QEMU's own message",
            ) from error
        except BaseException:
            self._socket.close()
            raise

    def _receive(self, end_s: float) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, end_s - time.monotonic()))
            try:
                piece = self._socket.recv(_CHUNK)
            except TimeoutError as error:
                raise InfraError(
                    "QEMU does not answer on its control socket",
                    expected=f"an answer within {self._timeout_s:g} s",
                    seen="nothing",
                    do="see whether the machine is overloaded",
                ) from error
            except OSError as error:
                raise BoardLost("QEMU's control socket broke", seen=str(error)) from error
            if not piece:
                raise BoardLost("QEMU closed its control socket", expected="a running QEMU", seen="end of file")
            self._buffer += piece
        line, self._buffer = self._buffer.split(b"\n", 1)
        message: dict[str, Any] = json.loads(line)
        return message

    def execute(self, command: str, **arguments: object) -> Any:
        """Run a command and return its `return`. Events in between are dropped. Raises InfraError if refused."""
        request = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        end_s = time.monotonic() + self._timeout_s
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(json.dumps(request).encode())
        except OSError as error:
            raise BoardLost("QEMU's control socket broke", seen=str(error)) from error
        while True:
            answer = self._receive(end_s)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise InfraError(f"QEMU refused {command}", seen=str(answer["error"].get("desc", "")))

    def close(self) -> None:
        """Close; may be called twice."""
        self._socket.close()
