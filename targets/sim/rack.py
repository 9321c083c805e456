"""A rack of simulated boards: one loop that moves the bytes of all lines and serves a control socket."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from targets.sim import switch
from targets.sim.machine import BACKLOG_MAX, SimBoard

LAB_FILE: Final = "lab.yaml"
CONTROL: Final = "control"
_REQUEST_MAX: Final = 1024
_SWITCH_VERBS: Final = ("on", "off", "state")


class _Client:
    """One connection to the control socket: one request per line, answered with `ok TEXT` or `error TEXT`."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.waiting = b""


def _remove_stale(path: Path) -> None:
    """Remove the socket of a killed rack; a socket with a server stays and cannot be bound again."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()


class Rack:
    """Boards of several types in `folder`, with a lab file that names them.

    A context manager; `serve` moves bytes until it is stopped. Needs the main thread, for signals.
    """

    def __init__(
        self, folder: Path, boards: Sequence[tuple[str, SimBoard]], lifeline: int | None = None
    ) -> None:
        self.folder = folder
        self.boards = {board.name: board for _, board in boards}
        self.lab_file = folder / LAB_FILE
        self._kinds = [kind for kind, _ in boards]
        self._lifeline = lifeline
        self._clients: dict[int, _Client] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        _remove_stale(folder / CONTROL)
        self._listener.bind(str(folder / CONTROL))
        self._listener.listen(64)
        self._listener.setblocking(False)
        self._poll = select.poll()
        self._masks: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._write_lab()

    def _write_lab(self) -> None:
        program = [sys.executable, "-I", "-S", str(Path(switch.__file__).resolve())]
        entries: dict[str, str] = {}
        for kind, board in zip(self._kinds, self.boards.values(), strict=True):
            entries[kind] = entries.get(kind, "") + board.lab_entry(self.folder / CONTROL, program)
        text = "# A simulator's boards, for `--lab`; they exist while it runs.\nschema: 1\nplaces:\n"
        text += "".join(f"  {kind}:\n{places}" for kind, places in entries.items())
        partial = self.lab_file.with_suffix(".partial")
        partial.write_text(text)
        partial.replace(self.lab_file)

    def __enter__(self) -> Rack:
        return self

    def __exit__(self, *exception: object) -> None:
        for board in self.boards.values():
            board.close()
        for client in list(self._clients.values()):
            client.link.close()
        self._listener.close()
        for fd in (self._wake_read, self._wake_write):
            os.close(fd)

    # --- the loop -----------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Serve until SIGINT, SIGTERM or SIGHUP, or until the other end of the lifeline pipe is closed."""
        with self._signals():
            while True:
                self._register()
                for fd, event in self._poll.poll():
                    if fd == self._wake_read or (fd == self._lifeline and self._lifeline_ended()):
                        return
                    if fd == self._listener.fileno():
                        self._accept()
                    elif fd in self._clients:
                        self._serve_client(self._clients[fd])
                    else:
                        self._move(fd, event)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        def wake(_number: int, _frame: FrameType | None) -> None:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_write, b"x")

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        previous = {number: signal.signal(number, wake) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _lifeline_ended(self) -> bool:
        assert self._lifeline is not None
        try:
            return not os.read(self._lifeline, 64)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _wanted(self) -> dict[int, int]:
        """What to wait for on each descriptor."""
        wanted = {self._wake_read: select.POLLIN, self._listener.fileno(): select.POLLIN}
        if self._lifeline is not None:
            wanted[self._lifeline] = select.POLLIN
        wanted |= dict.fromkeys(self._clients, select.POLLIN)
        for board in self.boards.values():
            if board.line.plugged:
                read = select.POLLIN if len(board.to_board) < BACKLOG_MAX else 0
                wanted[board.line.master] = read | (select.POLLOUT if board.to_host else 0)
            if board.uart is not None:
                read = select.POLLIN if len(board.to_host) < BACKLOG_MAX else 0
                wanted[board.uart.fileno()] = read | (select.POLLOUT if board.to_board else 0)
        return wanted

    def _register(self) -> None:
        wanted = self._wanted()
        for fd in self._masks.keys() - wanted.keys():
            self._poll.unregister(fd)
        for fd, mask in wanted.items():
            if self._masks.get(fd) != mask:
                self._poll.register(fd, mask)
        self._masks = wanted

    def _move(self, fd: int, event: int) -> None:
        for board in self.boards.values():
            if board.uart is not None and fd == board.uart.fileno():
                if event & select.POLLOUT:
                    board.flush_to_board()
                if event & ~select.POLLOUT:
                    board.from_board()
                return
            if fd == board.line.master:
                if event & select.POLLOUT:
                    board.flush_to_host()
                if event & select.POLLIN:
                    board.from_host()
                return

    # --- the control socket -------------------------------------------------------------------------------------

    def _accept(self) -> None:
        try:
            link, _ = self._listener.accept()
        except OSError:
            return
        link.setblocking(False)
        self._clients[link.fileno()] = _Client(link)

    def _serve_client(self, client: _Client) -> None:
        try:
            data = client.link.recv(_REQUEST_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.waiting += data
        while b"\n" in client.waiting:
            line, client.waiting = client.waiting.split(b"\n", 1)
            answer = self._answer(line.decode("utf-8", "replace"))
            if answer is not None:
                with contextlib.suppress(OSError):
                    client.link.sendall(f"{answer}\n".encode())
        if not data or len(client.waiting) > _REQUEST_MAX:
            del self._clients[client.link.fileno()]
            client.link.close()

    def _answer(self, request: str) -> str | None:
        """The answer to a request; None for a power program that should hang."""
        name, _, verb = request.strip().partition(" ")
        board = self.boards.get(name)
        if board is None:
            return f"error no board {name!r}: {', '.join(self.boards)}"
        if verb in _SWITCH_VERBS and board.switch == "hang":
            return None
        if verb in _SWITCH_VERBS and board.switch == "fail":
            return "error the relay does not answer"
        try:
            return f"ok {board.obey(verb)}"
        except (ValueError, OSError) as error:
            return f"error {error}"
