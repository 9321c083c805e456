"""Messages for live code: load, run, trial, deploy, replay, roll back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final

from contracts.wire.frames import Empty, Message
from contracts.wire.schema import U32, U64, Record, Rest


class RunMode(IntEnum):
    """How RUN and TRIAL execute a program."""

    JIT = 0
    INTERPRET = 1


class Provocation(IntEnum):
    """Faults that a testing kernel can provoke, to test fault handling."""

    DATA_ABORT = 1
    UNDEFINED = 2
    STACK_OVERFLOW = 3
    HANG = 4
    PANIC = 5
    FLOOD = 6
    FLOOD_OF_FRAMES = 7
    MID_FRAME = 8


@dataclass(frozen=True, slots=True)
class LoadResponse(Record):
    """A program is loaded: unsealed, verified and JITed. Counts are instructions (`virtual` ns) of each stage.

    `wcet` is the verifier's bound in eBPF instructions (helpers at their declared cost).
    """

    C_NAME: ClassVar[str] = "load_response"
    handle: U32
    slots: U32
    map_count: U32
    code_bytes: U32
    unseal_instructions: U64
    verify_instructions: U64
    jit_instructions: U64
    wcet: U64
    bound_ns: U64
    processed: U32
    peak_states: U32
    stack_bytes: U32
    reserved: U32
    code_va: U64
    unseal_ns: U64 = 0
    verify_ns: U64 = 0
    jit_ns: U64 = 0


@dataclass(frozen=True, slots=True)
class HandleRequest(Record):
    """Names a loaded program."""

    C_NAME: ClassVar[str] = "handle_request"
    handle: U32


@dataclass(frozen=True, slots=True)
class ReadRequest(Record):
    """Read bytes from an offset: of a program's code, or of the results of the last trial or replay."""

    C_NAME: ClassVar[str] = "read_request"
    handle: U32
    offset: U32


@dataclass(frozen=True, slots=True)
class ReadResponse(Record):
    """As many of the `total` bytes as fit."""

    C_NAME: ClassVar[str] = "read_response"
    total: U32
    data: Rest


@dataclass(frozen=True, slots=True)
class RunRequest(Record):
    """Run a `test` program `repeat` times, each on a fresh copy of `memory` (exactly its `test_mem_size` bytes)."""

    C_NAME: ClassVar[str] = "run_request"
    handle: U32
    mode: U32
    repeat: U32
    memory: Rest


@dataclass(frozen=True, slots=True)
class RunResponse(Record):
    """The last run's r0 and memory; instructions per call over all runs, dispatch included, overhead subtracted."""

    C_NAME: ClassVar[str] = "run_response"
    r0: U64
    instructions_min: U64
    instructions_max: U64
    instructions_total: U64
    ns_min: U64
    ns_max: U64
    ns_total: U64
    memory: Rest


@dataclass(frozen=True, slots=True)
class TrialRequest(Record):
    """Dry-run a program over the TRIAL upload, with its own maps, which are cleared first."""

    C_NAME: ClassVar[str] = "trial_request"
    handle: U32
    mode: U32


@dataclass(frozen=True, slots=True)
class TrialResponse(Record):
    """Number of invocations and their cost; RESULTS returns a `ResultRecord` for each."""

    C_NAME: ClassVar[str] = "trial_response"
    invocations: U32
    contained: U32
    instructions_max: U64
    instructions_total: U64
    trial_instructions: U64
    ns_max: U64 = 0
    ns_total: U64 = 0
    trial_ns: U64 = 0


@dataclass(frozen=True, slots=True)
class ResultRecord(Record):
    """One invocation: its verdict (r0) and the instructions of the call, overhead subtracted."""

    C_NAME: ClassVar[str] = "result_record"
    verdict: U32
    instructions: U32


@dataclass(frozen=True, slots=True)
class MapReadRequest(Record):
    """Read a loaded program's map from entry number `cursor` (0 at first). `trial` != 0: the trial's own maps."""

    C_NAME: ClassVar[str] = "map_read_request"
    handle: U32
    map_index: U32
    cursor: U32
    trial: U32


@dataclass(frozen=True, slots=True)
class MapReadResponse(Record):
    """`count` entries of key | value (map's own sizes, unpadded); `next` is the next cursor, 0 at the end."""

    C_NAME: ClassVar[str] = "map_read_response"
    key_size: U32
    value_size: U32
    count: U32
    next: U32
    data: Rest


@dataclass(frozen=True, slots=True)
class DeployRequest(Record):
    """Deploy a loaded program on its hook. It is watched for `watch_invocations` calls, then committed."""

    C_NAME: ClassVar[str] = "deploy_request"
    handle: U32
    watch_invocations: U32


@dataclass(frozen=True, slots=True)
class SwapResponse(Record):
    """A configuration swap (deploy or rollback): new generation, instructions of the swap, overhead subtracted."""

    C_NAME: ClassVar[str] = "swap_response"
    generation: U32
    rollback_depth: U32
    swap_instructions: U64
    swap_ns: U64 = 0


@dataclass(frozen=True, slots=True)
class ReplayRequest(Record):
    """Replay the WORKLOAD upload through the live hooks. Calls `timer` every `timer_period_ns` virtual ns (0: never)."""

    C_NAME: ClassVar[str] = "replay_request"
    timer_period_ns: U64


@dataclass(frozen=True, slots=True)
class ReplayResponse(Record):
    """Result of a replay. `program_invocations` counts calls of deployed code and `instructions_*` their cost."""

    C_NAME: ClassVar[str] = "replay_response"
    packets: U32
    program_invocations: U32
    timer_invocations: U32
    rollbacks: U32
    contained: U32
    committed: U32
    generation: U32
    reserved: U32
    instructions_max: U64
    instructions_total: U64
    replay_instructions: U64
    virtual_ns: U64
    ns_max: U64 = 0
    ns_total: U64 = 0
    replay_ns: U64 = 0


@dataclass(frozen=True, slots=True)
class ProvokeRequest(Record):
    """Provoke a fault in a testing kernel (`Provocation`). Release kernels do not have this message."""

    C_NAME: ClassVar[str] = "provoke_request"
    what: U32


LOAD: Final = Message("LOAD", 0x20, Empty, LoadResponse, True)
UNLOAD: Final = Message("UNLOAD", 0x21, HandleRequest, Empty, True)
READ_CODE: Final = Message("READ_CODE", 0x22, ReadRequest, ReadResponse, False)
RUN: Final = Message("RUN", 0x23, RunRequest, RunResponse, True)
TRIAL: Final = Message("TRIAL", 0x24, TrialRequest, TrialResponse, True)
RESULTS: Final = Message("RESULTS", 0x25, ReadRequest, ReadResponse, False)
MAP_READ: Final = Message("MAP_READ", 0x26, MapReadRequest, MapReadResponse, False)
DEPLOY: Final = Message("DEPLOY", 0x30, DeployRequest, SwapResponse, True)
ROLLBACK: Final = Message("ROLLBACK", 0x31, Empty, SwapResponse, True)
REPLAY: Final = Message("REPLAY", 0x32, ReplayRequest, ReplayResponse, True)
PRISTINE: Final = Message("PRISTINE", 0x33, Empty, Empty, True)
POWER_OFF: Final = Message("POWER_OFF", 0x34, Empty, Empty, True)
PROVOKE: Final = Message("PROVOKE", 0x3F, ProvokeRequest, Empty, True)

MESSAGES: Final[tuple[Message[Any, Any], ...]] = (
    LOAD,
    UNLOAD,
    READ_CODE,
    RUN,
    TRIAL,
    RESULTS,
    MAP_READ,
    DEPLOY,
    ROLLBACK,
    REPLAY,
    PRISTINE,
    POWER_OFF,
    PROVOKE,
)
