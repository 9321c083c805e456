"""The keeper's socket: one thread per connection, one request to the board at a time, frames to all watchers."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

from contracts.errors import AssayError, ConfigError, InfraError, MachineBusy
from contracts.wire.frames import Message
from contracts.wire.live import DEPLOY, PRISTINE, UNLOAD, DeployRequest, HandleRequest, SwapResponse
from contracts.wire.messages import MESSAGES
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board
from harness.channel.frames import Frame, encode
from harness.keeper.programs import KnownProgram, Programs
from harness.keeper.wire import Lines, error_document, image_of
from harness.kernel.build import KernelImage

TURN_S: Final = 120.0
"""How long a request waits while another command uses the board."""

_SEND_S: Final = 30.0
_BEHIND_MAX: Final = 4096  # frames that a watcher may lag before it is disconnected
_MESSAGES: Final[dict[int, Message[Any, Any]]] = {message.number: message for message in MESSAGES}

Told = Callable[[str], None]


class Kept(Protocol):
    """What the server needs from the process: the current board, and the jobs that only the main thread may do."""

    programs: Programs

    @property
    def board(self) -> Board | None: ...
    def about(self) -> dict[str, Any]: ...
    def boot(self, image: KernelImage | None, told: Told) -> None: ...
    def off(self, told: Told) -> None: ...
    def end(self) -> None: ...


class Watchers:
    """Connections that receive every frame. A slow one is disconnected: the reader never waits."""

    def __init__(self) -> None:
        self._queues: dict[Lines, queue.Queue[dict[str, Any] | None]] = {}
        self._lock = threading.Lock()

    def tell(self, direction: str, frame: Frame) -> None:
        """Send a frame to all. Also called from the board's reader thread."""
        with self._lock:
            if not self._queues:
                return
            line = {"dir": direction, "frame": encode(frame).hex()}
            for lines, waiting in list(self._queues.items()):
                try:
                    waiting.put_nowait(line)
                except queue.Full:
                    del self._queues[lines]
                    lines.close()

    def serve(self, lines: Lines) -> None:
        """Send frames to this connection until it ends. Raises OSError."""
        waiting: queue.Queue[dict[str, Any] | None] = queue.Queue(_BEHIND_MAX)
        with self._lock:
            self._queues[lines] = waiting
        try:
            lines.send({"ok": {}})
            threading.Thread(target=self._until_hung_up, args=(lines, waiting), daemon=True).start()
            while (line := waiting.get()) is not None:
                lines.send(line)
        finally:
            with self._lock:
                self._queues.pop(lines, None)

    @staticmethod
    def _until_hung_up(lines: Lines, waiting: queue.Queue[dict[str, Any] | None]) -> None:
        """A watcher sends nothing more; its end wakes the sending thread."""
        with contextlib.suppress(OSError):
            while lines.link.recv(1):
                pass
        with contextlib.suppress(queue.Full):
            waiting.put_nowait(None)


class Server:
    """Serves a listening socket for `kept` until `close`."""

    def __init__(self, listener: socket.socket, kept: Kept, watchers: Watchers) -> None:
        self._listener = listener
        self._kept = kept
        self._watchers = watchers
        self._turn = threading.RLock()
        threading.Thread(target=self._accept, name="keeper-accept", daemon=True).start()

    def close(self) -> None:
        """Accept no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(Lines(link),), name="keeper-client", daemon=True
            ).start()

    def _serve(self, lines: Lines) -> None:
        with contextlib.suppress(OSError), contextlib.closing(lines), contextlib.ExitStack() as turns:
            while (request := lines.receive()) is not None:
                lines.link.settimeout(_SEND_S)
                if request.get("op") == "watch":
                    self._watchers.serve(lines)
                    return
                lines.send(self._answer(request, lines, turns))
                lines.link.settimeout(None)

    def _answer(self, request: dict[str, Any], lines: Lines, turns: contextlib.ExitStack) -> dict[str, Any]:
        def told(text: str) -> None:
            with contextlib.suppress(OSError):
                lines.send({"told": text})

        try:
            return {"ok": self._obey(request, told, turns)}
        except AssayError as error:
            return {"error": error_document(error)}
        except (KeyError, TypeError, ValueError) as error:
            return {
                "error": error_document(
                    InfraError(
                        "the keeper does not understand a request",
                        expected="commands and keeper of one version",
                        seen=f"{request.get('op')}: {type(error).__name__}: {error}",
                        do="`assay down` and `assay up` this board again",
                    )
                )
            }

    def _obey(self, request: dict[str, Any], told: Told, turns: contextlib.ExitStack) -> dict[str, Any]:
        kept = self._kept
        match request["op"]:
            case "about":
                return kept.about()
            case "programs":
                return {"programs": kept.programs.documents()}
            case "down":
                kept.end()
                return {}
            case "turn":  # held until `done` or the end of the connection, by the connection's own thread
                turns.enter_context(self._have_turn(told))
                return {}
            case "done":
                turns.close()
                return {}
        with self._have_turn(told):
            return self._with_board(request, told)

    def _with_board(self, request: dict[str, Any], told: Told) -> dict[str, Any]:
        kept = self._kept
        match request["op"]:
            case "boot":
                kept.boot(image_of(request["image"]) if request.get("image") else None, told)
                return kept.about()
            case "off":
                kept.off(told)
                return {}
            case "program":
                kept.programs.add(KnownProgram(**request["program"]))
                return {}
            case "request":
                return {"body": self._ask(request).hex()}
            case "upload":
                self._board().client.upload(BlobKind(request["kind"]), bytes.fromhex(request["data"]))
                return {}
            case "hello":
                return {"body": self._board().client.hello(request["limit_s"]).pack().hex()}
            case "registers":
                return {"text": self._board().registers()}
            case "crash":
                return {"text": self._board().crash_record()}
            case "alive":
                self._board().check_alive()
                return {}
            case "raw":
                self._board().client.send_raw(bytes.fromhex(request["data"]))
                return {}
        raise KeyError("op")

    def _board(self) -> Board:
        board = self._kept.board
        if board is None:
            about = self._kept.about()
            raise ConfigError(
                f"{about['place']} is up, and its power is off",
                expected="a running board",
                seen=about["why"] or "switched off by `assay power off`",
                do=f"`assay power on {about['place']}`",
            )
        return board

    def _ask(self, request: dict[str, Any]) -> bytes:
        message = _MESSAGES[request["message"]]
        record = message.request.unpack(bytes.fromhex(request["data"]))
        answer = self._board().client.request(message, record, request["limit_s"])
        programs = self._kept.programs
        if message is PRISTINE:
            programs.clear()
        elif message is UNLOAD and isinstance(record, HandleRequest):
            programs.forget(record.handle)
        elif message is DEPLOY and isinstance(record, DeployRequest) and isinstance(answer, SwapResponse):
            programs.deployed(record.handle, answer.generation)
        packed: bytes = answer.pack()
        return packed

    @contextlib.contextmanager
    def _have_turn(self, told: Told) -> Iterator[None]:
        if not self._turn.acquire(timeout=1.0):
            told("waiting: another command uses the board")
            if not self._turn.acquire(timeout=TURN_S):
                raise MachineBusy(
                    "another command has the board",
                    expected=f"its end within {TURN_S:g} s",
                    seen="a load, a replay or a boot in progress",
                    do="end that command, or wait",
                )
        try:
            yield
        finally:
            self._turn.release()
