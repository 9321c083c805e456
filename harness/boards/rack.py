"""A simulator for board types without places: starts for a session and ends with it."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from contracts.board import BoardSpec, Place
from contracts.errors import ConfigError, InfraError, SetupError
from contracts.root import ROOT
from harness.boards.registry import BOARDS, LAB_VARIABLE, lab_files, load_lab
from harness.lease import quarantine
from harness.machine.interrupt import INTERRUPTED, interruptible
from targets.qemu import qemu_program

START_S: Final = 20.0
STOP_S: Final = 10.0
_SUN_PATH_MAX: Final = 107  # bytes of a UNIX socket's path, unix(7)


@dataclass(frozen=True, slots=True)
class RackSpecs:
    """Board types, with places from the simulator where needed, and the lab files in their order."""

    specs: list[BoardSpec]
    labs: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator: its lab file, and its process."""

    lab_file: Path
    process: subprocess.Popen[bytes]


def needs_rack(spec: BoardSpec) -> bool:
    """Whether this board type needs a simulator."""
    return spec.sim is not None and not spec.places


@contextlib.contextmanager
def rack(
    specs: Sequence[BoardSpec],
    *,
    lab: Path | Sequence[Path] | None = None,
    seed: int = 1,
    icount: bool = True,
) -> Iterator[RackSpecs]:
    """Yield `specs` with the places of a simulator, which runs in this context and only if a board type needs it.

    Processes that are started in this context find the lab files in `ASSAY_LAB`. Raises InfraError if the simulator
    does not start.
    """
    labs = tuple(path.resolve() for path in lab_files(lab))
    wanted = [spec for spec in specs if needs_rack(spec)]
    with contextlib.ExitStack() as stack:
        if wanted:
            _need_qemu()
            labs += (stack.enter_context(simulator(wanted, seed=seed, icount=icount)).lab_file,)
        if labs:
            stack.enter_context(_variable(LAB_VARIABLE, os.pathsep.join(map(str, labs))))
        places = load_lab(labs[-1], BOARDS) if wanted else {}
        stack.callback(_forget, [place for spec in wanted for place in places[spec.kind]])
        yield RackSpecs(
            [replace(spec, places=places[spec.kind]) if spec in wanted else spec for spec in specs], labs
        )


def _forget(places: Sequence[Place]) -> None:
    """Lift what quarantines there are of boards that are gone for good with their simulator."""
    for place in places:
        with contextlib.suppress(InfraError):
            quarantine.lift(place)


def _need_qemu() -> None:
    try:
        qemu_program()
    except SetupError as error:
        raise InfraError(
            f"no simulator without QEMU: {error.what}", expected=error.expected, seen=error.seen, do=error.do
        ) from error


@contextlib.contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextlib.contextmanager
def simulator(
    specs: Sequence[BoardSpec],
    *,
    instances: int | None = None,
    folder: Path | None = None,
    seed: int = 1,
    icount: bool = True,
) -> Iterator[Simulator]:
    """Run a simulator of `specs` (each with a `sim` part) and yield it when its lab file exists.

    It ends with this context, or with this process, however that ends. `folder` is kept afterwards; without one, a
    temporary folder is used and removed.
    """
    own = folder is None
    home = _home(folder)
    wanted = {
        "folder": str(home),
        "temporary": own,
        "icount": icount,
        "seed": seed,
        "boards": [
            {"kind": spec.kind, "instances": instances or spec.sim_instances, "qemu": asdict(spec.sim)}
            for spec in specs
            if spec.sim is not None
        ],
    }
    try:
        with (home / "rack.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "targets.sim"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,  # Ctrl-C goes to the session, which ends the simulator last
            )
        try:
            yield Simulator(_ready(process, json.dumps(wanted), home), process)
        finally:
            _end(process)
    finally:
        if own:
            shutil.rmtree(home, ignore_errors=True)


def _home(folder: Path | None) -> Path:
    """The folder of a simulator; the path of its control socket must be short enough for the kernel."""
    parents = (None, "/tmp") if folder is None else ()  # noqa: S108 - TMPDIR may be too deep for a socket
    for parent in parents:
        home = Path(tempfile.mkdtemp(prefix="assay-sim-", dir=parent))
        if len(os.fsencode(home / "control")) <= _SUN_PATH_MAX:
            return home
        home.rmdir()
    if folder is None or len(os.fsencode(folder.resolve() / "control")) > _SUN_PATH_MAX:
        raise ConfigError(
            "the path of the simulator's folder is too long for a UNIX socket",
            expected=f"at most {_SUN_PATH_MAX} bytes including `/control`",
            seen=str(folder or tempfile.gettempdir()),
            do="name another with --folder",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the simulator's folder {folder} cannot be created",
            expected="a folder that exists or can be created",
            seen=error.strerror or str(error),
            do="name another with --folder",
        ) from error
    return folder.resolve()


def _ready(process: subprocess.Popen[bytes], wanted: str, home: Path) -> Path:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.write(wanted.encode() + b"\n")
        process.stdin.flush()
    end_s = time.monotonic() + START_S
    said = b""
    while not said.endswith(b"\n") and time.monotonic() < end_s:
        if select.select([process.stdout], [], [], 0.1)[0]:
            piece = os.read(process.stdout.fileno(), 4096)
            if not piece:
                break
            said += piece
    word, _, path = said.decode("utf-8", "replace").strip().partition(" ")
    if word != "ready":
        trace = (home / "rack.log").read_text("utf-8", "replace").strip()[-2000:]
        raise InfraError(
            "the simulator does not start",
            expected=f"`python -m targets.sim` ready within {START_S:g} s",
            seen=trace or "no message",
            do="check whether the machine is overloaded or its temporary folder is full",
        )
    return Path(path)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_S)
    process.stdout.close()


def hold(running: Simulator) -> int:
    """Wait for an interruption and return 130. Raises InfraError if the simulator ends before that."""
    asked = threading.Event()
    with interruptible(asked):
        while not asked.wait(0.2):
            code = running.process.poll()
            if code is not None:
                raise InfraError(
                    "the simulator ended",
                    expected="a simulator that runs until Ctrl-C",
                    seen=f"exit code {code}",
                    do=f"see {running.lab_file.parent / 'rack.log'}",
                )
    return INTERRUPTED


def request(lab_file: Path, text: str, *, timeout_s: float = 10.0) -> str:
    """Send `NAME plug|unplug|cut|switch work|...` to the simulator of `lab_file`; its answer. Raises InfraError."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_s)
            link.connect(str(lab_file.parent / "control"))
            link.sendall(text.encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                piece = link.recv(4096)
                if not piece:
                    break
                answer += piece
    except OSError as error:
        raise InfraError(
            f"the simulator does not answer {text!r}", expected="a running simulator", seen=str(error)
        ) from error
    word, _, rest = answer.decode("utf-8", "replace").strip().partition(" ")
    if word != "ok":
        raise InfraError(f"the simulator refused {text!r}", seen=rest or "no answer")
    return rest
