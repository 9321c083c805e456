"""The part of QEMU's monitor that a board needs: one command at a time over a UNIX socket.

The human monitor, not QMP: a QMP socket adds a thread to QEMU that every byte on the UART wakes (31 wake-ups per
64-byte round trip, measured), which costs a third of the channel's speed.
"""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path
from typing import Final

from contracts.errors import BoardLost, InfraError

_CHUNK: Final = 65536
_PROMPT: Final = b"(qemu) "
_ESCAPES: Final = re.compile(rb"\x1b\[[0-9;]*[A-Za-z]")  # the monitor edits lines as on a terminal


class Monitor:
    """A connection to QEMU's monitor. Raises BoardLost if QEMU is gone."""

    def __init__(self, path: Path, *, timeout_s: float = 5.0) -> None:
        self._timeout_s = timeout_s
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
            self._until_prompt()  # the banner
        except OSError as error:
            self._socket.close()
            raise BoardLost(
                "QEMU's monitor cannot be opened",
                expected="a listening monitor socket",
                seen=str(error),
                do="see QEMU's own message",
            ) from error
        except BaseException:
            self._socket.close()
            raise

    def _until_prompt(self) -> bytes:
        end_s = time.monotonic() + self._timeout_s
        out = b""
        while not out.endswith(_PROMPT):
            self._socket.settimeout(max(0.001, end_s - time.monotonic()))
            try:
                piece = self._socket.recv(_CHUNK)
            except TimeoutError as error:
                raise InfraError(
                    "QEMU's monitor does not answer",
                    expected=f"its prompt within {self._timeout_s:g} s",
                    seen=repr(out[-200:]),
                    do="check whether the machine is overloaded",
                ) from error
            except OSError as error:
                raise BoardLost(
                    "QEMU's monitor failed", expected="a running QEMU", seen=str(error)
                ) from error
            if not piece:
                raise BoardLost("QEMU closed its monitor", expected="a running QEMU", seen="end of file")
            out += piece
        return out.removesuffix(_PROMPT)

    def execute(self, command: str) -> str:
        """Run one command line and return its output. Raises InfraError if QEMU refuses it."""
        try:
            self._socket.settimeout(self._timeout_s)
            self._socket.sendall(command.encode() + b"\n")
        except OSError as error:
            raise BoardLost("QEMU's monitor failed", expected="a running QEMU", seen=str(error)) from error
        text = _ESCAPES.sub(b"", self._until_prompt()).decode("utf-8", "replace").replace("\r\n", "\n")
        printed = text.partition("\n")[2]  # the first line is the command's echo
        if printed.startswith(("Error:", "unknown command:")):
            raise InfraError(f"QEMU refused `{command}`", seen=printed.strip())
        return printed

    def close(self) -> None:
        """Close; may be called twice."""
        self._socket.close()
