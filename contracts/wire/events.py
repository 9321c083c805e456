"""Events: unsolicited messages from the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated, ClassVar, Final

from contracts.wire.schema import U32, U64, Array, Record, Rest


class RollbackCause(IntEnum):
    """Why a configuration was rolled back."""

    REQUEST = 0
    FAULT = 1
    OVERRUN = 2
    PRISTINE = 3


@dataclass(frozen=True, slots=True)
class LogEvent(Record):
    """A line of text from the kernel or from `bpf_trace_printk`."""

    C_NAME: ClassVar[str] = "log_event"
    level: U32
    text: Rest


@dataclass(frozen=True, slots=True)
class RollbackEvent(Record):
    """A configuration was rolled back. `rollback_instructions`: from the fault or the timer to the store-release.

    `contain_instructions`: from there until the hook's caller gets the default verdict.
    """

    C_NAME: ClassVar[str] = "rollback_event"
    cause: U32
    generation: U32
    handle: U32
    esr: U32
    code_offset: U32
    reserved: U32
    fault_address: U64
    rollback_instructions: U64
    contain_instructions: U64
    rollback_ns: U64 = 0
    contain_ns: U64 = 0


@dataclass(frozen=True, slots=True)
class CommitEvent(Record):
    """A deployed configuration passed its watch window."""

    C_NAME: ClassVar[str] = "commit_event"
    generation: U32
    invocations: U32


@dataclass(frozen=True, slots=True)
class FaultEvent(Record):
    """The kernel died. Registers as ARM DDI 0487 names them; `text` says what ESR means."""

    C_NAME: ClassVar[str] = "fault_event"
    core: U32
    vector: U32
    esr: U64
    far: U64
    elr: U64
    spsr: U64
    sp: U64
    x: Annotated[tuple[U64, ...], Array(31)]
    backtrace: Annotated[tuple[U64, ...], Array(16)]
    text: Rest


class Event(IntEnum):
    """Unsolicited messages."""

    LOG = 0x80
    ROLLBACK = 0x81
    COMMIT = 0x82
    FAULT = 0x83


EVENTS: Final[dict[Event, type[Record]]] = {
    Event.LOG: LogEvent,
    Event.ROLLBACK: RollbackEvent,
    Event.COMMIT: CommitEvent,
    Event.FAULT: FaultEvent,
}
