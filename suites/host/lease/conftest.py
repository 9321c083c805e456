"""Leases in the test's own folder, and real processes that hold them."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contracts.board import BoardSpec, Place
from contracts.root import ROOT

HOLDER = Path(__file__).with_name("holder.py")

MakeSpec = Callable[..., BoardSpec]


class Holder:
    """A process that acquires a lease; `said` returns its output lines."""

    def __init__(self, job: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HOLDER), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        )
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):
            for line in self.process.stdout:
                self._lines.put(line)

    def said(self) -> dict[str, Any]:
        """Its next line."""
        line: dict[str, Any] = json.loads(self._lines.get(timeout=30))
        return line

    def ask(self, word: str) -> dict[str, Any]:
        """Send it a command and return its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        return self.said()

    def kill(self) -> None:
        """Kill it like `kill -9`."""
        self.process.kill()
        self.process.wait(30)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def close(self) -> None:
        """End it in any state."""
        self.signal(signal.SIGCONT)
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


StartHolder = Callable[..., Holder]


@pytest.fixture(autouse=True)
def leases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the leases."""
    folder = tmp_path / "leases"
    folder.mkdir()
    monkeypatch.setenv("ASSAY_LEASES", str(folder))
    monkeypatch.delenv("ASSAY_USER", raising=False)
    return folder


@pytest.fixture
def make_spec() -> MakeSpec:
    """A board type with that many boards, never powered on: `make_spec(2)`, `make_spec(consoles=[...])`."""

    def make(count: int = 1, kind: str = "bench", consoles: Sequence[str] = ()) -> BoardSpec:
        where = list(consoles) or [""] * count
        places = tuple(Place(f"{kind}-{number}", console) for number, console in enumerate(where))
        return BoardSpec(kind, kind, (), places, "unix", 115200, 10.0, 5.0)

    return make


@pytest.fixture
def start_holder() -> Iterator[StartHolder]:
    """Start a process that acquires a lease: `start_holder(spec)`; it prints a line when it has the lease."""
    started: list[Holder] = []

    def start(
        spec: BoardSpec | None = None, environment: Mapping[str, str] | None = None, **job: Any
    ) -> Holder:
        if spec is not None:
            job = {"kind": spec.kind, "places": [[p.name, p.console] for p in spec.places], **job}
        started.append(Holder(job, environment))
        return started[-1]

    yield start
    for holder in started:
        holder.close()
