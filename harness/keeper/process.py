"""The keeper: a process that leases a board, boots it, and serves it on a socket until `assay down` or a signal.

Standard input: one line of JSON (`Wanted`). Standard output: JSON lines for `assay up`: `{"told": TEXT}` any number of
times, then `{"ready": ABOUT}` or `{"error": ERROR}`. The kernel ends QEMU with this process, and frees the lease.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, Final

from contracts.board import BoardSpec
from contracts.errors import AssayError, InfraError
from harness.boards.board import Board, open_board
from harness.boards.rack import rack
from harness.boards.registry import select_one
from harness.config.keys import LabKey, load_key
from harness.keeper.programs import Programs
from harness.keeper.server import Server, Told, Watchers
from harness.keeper.wire import SUFFIX, error_document, image_document, image_of, short_path
from harness.kernel.build import KernelImage
from harness.lease import Lease, acquire
from harness.lease.files import PlaceFiles, utc_now

PURPOSE: Final = "assay up"
_LOOK_S: Final = 0.5
_BACKLOG: Final = 64


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `assay up` requests. `places`: names of the acceptable places (empty: any of the board type)."""

    kind: str
    image: dict[str, Any]
    places: list[str] = field(default_factory=list)
    labs: list[str] = field(default_factory=list)
    key: str | None = None
    seed: int = 1
    icount: bool = True
    wait_s: float = 60.0

    def document(self) -> dict[str, Any]:
        """The JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Job:
    """A job that the main thread does for a connection: QEMU dies with the thread that started it."""

    do: Callable[[], None]
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class Keeper:
    """One leased board that is kept up. Created and run by the main thread; the server's threads send it jobs."""

    def __init__(self, wanted: Wanted, spec: BoardSpec, lease: Lease, key: LabKey) -> None:
        self.spec = spec
        self.lease = lease
        self.programs = Programs()
        self.watchers = Watchers()
        self._wanted = wanted
        self._key = key
        self._since = utc_now()
        self._image = image_of(wanted.image)
        self._kept_image = self._image
        self._board: Board | None = None
        self._stack = contextlib.ExitStack()
        self._jobs: queue.Queue[_Job] = queue.Queue()
        self._ending = threading.Event()
        self._why = ""

    @property
    def board(self) -> Board | None:
        """The board while its power is on."""
        return self._board

    def about(self) -> dict[str, Any]:
        """The information for attaching processes. Sends nothing to the board."""
        board = self._board
        return {
            "kind": self.spec.kind,
            "place": self.lease.place.name,
            "identity": self.lease.place.identity,
            "console": board.target.console_url if board is not None else self.lease.place.console,
            "pid": os.getpid(),
            "board_pid": board.target.pid if board is not None else 0,
            "epoch": self.lease.epoch,
            "since": self._since,
            "power": "off" if board is None else "on",
            "why": self._why,
            "labs": self._wanted.labs,
            "key": self._wanted.key,
            "image": image_document(self._image),
            "kept": image_document(self._kept_image),
            "hello": board.hello.pack().hex() if board is not None else "",
        }

    # --- jobs of connections, done by the main thread -----------------------------------------------------------

    def boot(self, image: KernelImage | None, told: Told) -> None:
        """Power-cycle with `image`, or with the current one. Raises the errors of a boot."""
        self._have_done(lambda: self._boot(image or self._image, told))

    def off(self, told: Told) -> None:
        """Switch the board off and keep its lease."""
        told("power off")
        self._have_done(self._off)

    def end(self) -> None:
        """End the process soon, from any thread."""
        self._ending.set()

    def _have_done(self, do: Callable[[], None]) -> None:
        job = _Job(do)
        self._jobs.put(job)
        while not job.done.wait(_LOOK_S):
            if self._ending.is_set():
                raise InfraError("the keeper of this board is ending", do="`assay up` it again")
        if job.error is not None:
            raise job.error

    # --- the main thread ----------------------------------------------------------------------------------------

    def start(self, told: Told) -> None:
        """The first boot. Raises its errors."""
        self._boot(self._image, told)

    def _boot(self, image: KernelImage, told: Told) -> None:
        self._off()
        self._image = image
        stack = contextlib.ExitStack()
        opened = open_board(
            self.spec,
            self._key,
            image,
            lease=self.lease,
            seed=self._wanted.seed,
            icount=self._wanted.icount,
            watch=self.watchers.tell,
            told=told,
        )
        try:
            board = stack.enter_context(opened)
        except AssayError as error:
            self._why = error.what
            raise
        self._stack = stack
        board.client.on_event(self.programs.event)
        self._board = board

    def _off(self) -> None:
        self._board = None
        self._why = ""
        self.programs.clear()
        stack, self._stack = self._stack, contextlib.ExitStack()
        stack.close()

    def serve(self) -> None:
        """Do jobs until the end; then power off. Raises InfraError if the board does not switch off."""
        try:
            while not self._ending.is_set() and not self.lease.lost:
                try:
                    job = self._jobs.get(timeout=_LOOK_S)
                except queue.Empty:
                    continue
                try:
                    job.do()
                except BaseException as error:  # noqa: BLE001 - belongs to the connection that asked
                    job.error = error
                finally:
                    job.done.set()
        finally:
            self._ending.set()
            self._off()


@contextlib.contextmanager
def listening(lease: Lease) -> Iterator[socket.socket]:
    """The place's socket in the lease folder, for this user alone; removed afterwards. Raises InfraError."""
    path = PlaceFiles.of(lease.place).path(SUFFIX)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            path.unlink(missing_ok=True)  # left by a killed keeper, whose lease we now hold
            with short_path(path) as short:
                before = os.umask(0o177)
                try:
                    listener.bind(short)
                finally:
                    os.umask(before)
            listener.listen(_BACKLOG)
        except OSError as error:
            raise InfraError(
                f"the socket {path} cannot be created",
                expected="a lease folder that this user may write",
                seen=str(error),
                do="correct the folder, or name another one in ASSAY_LEASES",
            ) from error
        ours = path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(OSError):
                if path.stat().st_ino == ours:
                    path.unlink()


def _say(value: dict[str, Any]) -> None:
    """One line for `assay up`. Raises OSError if it is gone."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _told(text: str) -> None:
    _say({"told": text})


def _silence(lease: Lease) -> None:
    """From now on nobody reads our output: it goes to a log beside the socket."""
    log = os.open(
        PlaceFiles.of(lease.place).path("keeper.log"),
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC,
        0o600,
    )
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)


def keep(wanted: Wanted) -> int:
    """Keep a board until told to end. Returns the exit code."""
    labs = [Path(name) for name in wanted.labs]
    key = load_key(Path(wanted.key) if wanted.key else None)
    with contextlib.ExitStack() as stack:
        spec = select_one(wanted.kind, lab=labs)
        racked = stack.enter_context(rack([spec], lab=labs, seed=wanted.seed, icount=wanted.icount))
        spec = racked.specs[0]
        places = [place for place in spec.places if not wanted.places or place.name in wanted.places]
        lease = stack.enter_context(
            acquire(
                spec,
                timeout_s=wanted.wait_s,
                purpose=PURPOSE,
                waiting=lambda why: _told(f"waiting: {why}"),
                places=places,
            )
        )
        _told(f"{lease.place.name} is leased")
        keeper = Keeper(wanted, spec, lease, key)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: keeper.end())
        listener = stack.enter_context(listening(lease))
        try:
            keeper.start(_told)
            server = Server(listener, keeper, keeper.watchers)
            stack.callback(server.close)
            _say({"ready": keeper.about()})
            _silence(lease)
        except BaseException:
            keeper.end()
            keeper.serve()
            raise
        keeper.serve()
    return 0


def main() -> int:
    """Keep the board that standard input describes. Returns 0, or the exit code of an error before it was up."""
    signal.signal(signal.SIGTERM, _interrupt)  # until the board is up: `assay up` was interrupted
    try:
        return keep(Wanted(**json.loads(sys.stdin.readline())))
    except AssayError as error:
        with contextlib.suppress(OSError):
            _say({"error": error_document(error)})
        return error.exit_code
    except (KeyboardInterrupt, BrokenPipeError):
        return 130


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def wait_until_ended(pid: int, timeout_s: float) -> bool:
    """Whether a process that is not our child ends within `timeout_s`."""
    end_s = time.monotonic() + timeout_s
    while Path(f"/proc/{pid}").exists():
        with contextlib.suppress(OSError, IndexError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        if time.monotonic() >= end_s:
            return False
        time.sleep(0.02)
    return True
