"""The programs on a board: the kernel only knows handles; this adds names, files, maps and states."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass
from typing import Any

from contracts.wire.events import CommitEvent, RollbackCause, RollbackEvent
from harness.channel.requester import ReceivedEvent


@dataclass(slots=True)
class KnownProgram:
    """One program that was loaded by hand. `obj` is its ELF object in hexadecimal, for its maps' types and its lines.

    `order` counts deployments (0: never deployed); `taken_back` is why it was rolled back, empty while it was not.
    """

    handle: int
    name: str
    hook: str
    file: str
    slots: int
    wcet: int
    program_id: str
    obj: str
    memory: int = 0
    order: int = 0
    generation: int = 0
    committed: bool = False
    taken_back: str = ""

    def document(self) -> dict[str, Any]:
        """The JSON values."""
        return asdict(self)


class Programs:
    """The programs of one board since it was powered on or made pristine. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: dict[int, KnownProgram] = {}
        self._deployed = 0
        self._lock = threading.Lock()

    def add(self, program: KnownProgram) -> None:
        """A program was loaded."""
        with self._lock:
            self._known[program.handle] = program

    def forget(self, handle: int) -> None:
        """A program was unloaded."""
        with self._lock:
            self._known.pop(handle, None)

    def clear(self) -> None:
        """The board was powered off, or made pristine."""
        with self._lock:
            self._known.clear()

    def deployed(self, handle: int, generation: int) -> None:
        """A program was put on its hook."""
        with self._lock:
            program = self._known.get(handle)
            if program is not None:
                self._deployed += 1
                program.order, program.generation = self._deployed, generation
                program.taken_back = ""

    def event(self, received: ReceivedEvent) -> None:
        """Follow a ROLLBACK or COMMIT. A requested ROLLBACK names no program: it refers to the last deployed one."""
        record = received.record
        with self._lock:
            running = [
                program for program in self._known.values() if program.order and not program.taken_back
            ]
            running.sort(key=lambda program: program.order)
            if isinstance(record, CommitEvent):
                for program in running:
                    program.committed = program.committed or program.generation == record.generation
            elif isinstance(record, RollbackEvent):
                culprit = self._known.get(record.handle) or (running[-1] if running else None)
                if culprit is not None:
                    culprit.taken_back = _cause(record.cause)

    def documents(self) -> list[dict[str, Any]]:
        """Every program, by handle, each with its `state` as text."""
        with self._lock:
            last: dict[str, int] = {}
            for program in self._known.values():
                if program.order and not program.taken_back:
                    last[program.hook] = max(last.get(program.hook, 0), program.order)
            return [
                program.document() | {"state": _state(program, last.get(program.hook, 0))}
                for program in sorted(self._known.values(), key=lambda program: program.handle)
            ]


def _cause(number: int) -> str:
    return RollbackCause(number).name.lower() if number in list(RollbackCause) else str(number)


def _state(program: KnownProgram, last: int) -> str:
    if program.taken_back:
        return f"rolled back ({program.taken_back})"
    if not program.order:
        return "loaded"
    if program.order != last:
        return "replaced"
    return "committed" if program.committed else "deployed"
