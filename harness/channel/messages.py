"""Every message of the debug channel and every structure of an extension image, declared once.

The C header `assay_messages.h` is generated from this module at build time (`python -m harness.channel.header`).

A frame is COBS(header | payload | [mac] | crc) 0x00. `crc` is CRC-32C (RFC 3720 appendix B.4) over all before it.
`mac` (16 bytes, present when FLAG_MAC is set) is BLAKE2b-128 keyed with the session key over header | payload.
A response's payload begins with `ResponseHeader`; when its status is not OK, text follows instead of the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Annotated, Any, ClassVar, Final, Generic, TypeVar

from contracts.telemetry import HISTOGRAM_BUCKETS, TOP_ENTRIES
from harness.channel.schema import U8, U16, U32, U64, Array, Blob, Record, Rest, Text

PROTOCOL_VERSION: Final = 1
ABI_VERSION: Final = 1
MAX_PAYLOAD: Final = 1024
CREDITS: Final = 8
MAC_SIZE: Final = 16
NONCE_SIZE: Final = 16
IMAGE_MAGIC: Final = 0x54584241  # "ABXT"
IMAGE_MAX: Final = 64 * 1024
TRACE_MAX: Final = 256 * 1024
MAX_MAPS: Final = 8
MAX_SLOTS: Final = 4096
SIGNATURE_SIZE: Final = 64

Q = TypeVar("Q", bound=Record)
R = TypeVar("R", bound=Record)


class FrameKind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    RESPONSE = 2
    EVENT = 3


class FrameFlag(IntFlag):
    """Bits of the header's `flags`."""

    MAC = 1


class Status(IntEnum):
    """How a request ended. Anything but OK is followed by text: expected, seen."""

    OK = 0
    UNKNOWN_MESSAGE = 1
    BAD_LENGTH = 2
    BAD_ARGUMENT = 3
    NO_SESSION = 4
    BAD_MAC = 5
    STALE_SEQUENCE = 6
    STALE_EPOCH = 7
    BAD_STATE = 8
    NO_MEMORY = 9
    BAD_IMAGE = 10
    BAD_VERSION = 11
    BAD_SIGNATURE = 12
    REFUSED_KIND = 13
    VERIFY_REFUSED = 14
    JIT_FAILED = 15
    CONTAINED = 16
    INTERNAL = 17


class BoardFlag(IntFlag):
    """Facts that the hello answer states of a kernel."""

    TESTING = 1
    DEVELOPMENT_KEY = 2
    INSTRUCTION_COUNTER = 4


class BlobKind(IntEnum):
    """What an upload is for. Each kind has one buffer in the kernel."""

    IMAGE = 1
    WORKLOAD = 2
    TRIAL = 3


class ImageKind(IntEnum):
    """What an extension image holds."""

    BPF = 1
    WASM = 2


class ImageFlag(IntFlag):
    """Image flags. Release kernels refuse every one of them."""

    TESTING = 1
    SKIP_VERIFY = 2
    PLANT_FAULT = 4
    PLANT_OVERRUN = 8


class RunMode(IntEnum):
    """How RUN and TRIAL execute a program."""

    JIT = 0
    INTERPRET = 1


class RollbackCause(IntEnum):
    """Why a configuration was taken back."""

    REQUEST = 0
    FAULT = 1
    OVERRUN = 2
    PRISTINE = 3


class Provocation(IntEnum):
    """Ways to hurt a testing kernel, for the tests of its fault handling."""

    DATA_ABORT = 1
    UNDEFINED = 2
    STACK_OVERFLOW = 3
    HANG = 4
    PANIC = 5
    FLOOD = 6
    FLOOD_OF_FRAMES = 7
    MID_FRAME = 8


@dataclass(frozen=True, slots=True)
class FrameHeader(Record):
    """Leads every frame. `sequence` rises by at least one a request; a response carries its request's."""

    C_NAME: ClassVar[str] = "frame_header"
    kind: U8
    flags: U8
    message: U16
    sequence: U32
    session: U32


@dataclass(frozen=True, slots=True)
class ResponseHeader(Record):
    """Leads every response. `credits` is how many more request frames the host may have under way."""

    C_NAME: ClassVar[str] = "response_header"
    status: U16
    credits: U16


@dataclass(frozen=True, slots=True)
class Empty(Record):
    """A body without fields."""

    C_NAME: ClassVar[str] = "empty"


# --- session -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HelloRequest(Record):
    """Who asks. Starts nothing by itself."""

    C_NAME: ClassVar[str] = "hello_request"
    protocol: U16
    reserved: U16
    host_nonce: Annotated[bytes, Blob(NONCE_SIZE)]


@dataclass(frozen=True, slots=True)
class HelloResponse(Record):
    """What the kernel is and how it may be spoken to."""

    C_NAME: ClassVar[str] = "hello_response"
    protocol: U16
    abi: U16
    max_payload: U16
    credits: U16
    flags: U32
    cores: U32
    counter_hz: U64
    epoch: U32
    image_max: U32
    trace_max: U32
    reserved: U32
    board_nonce: Annotated[bytes, Blob(NONCE_SIZE)]
    build_id: Annotated[bytes, Blob(20)]
    board: Annotated[str, Text(16)]


@dataclass(frozen=True, slots=True)
class OpenRequest(Record):
    """Open an authenticated session. Session key = BLAKE2b-256(key = channel key, host_nonce | board_nonce | epoch).

    `proof` is BLAKE2b-128 keyed with the session key over the text "assay open". An epoch below
    the board's is refused (STALE_EPOCH); a higher one ends the older session.
    """

    C_NAME: ClassVar[str] = "open_request"
    host_nonce: Annotated[bytes, Blob(NONCE_SIZE)]
    epoch: U32
    proof: Annotated[bytes, Blob(MAC_SIZE)]


@dataclass(frozen=True, slots=True)
class OpenResponse(Record):
    """The session number that state-changing requests carry."""

    C_NAME: ClassVar[str] = "open_response"
    session: U32


@dataclass(frozen=True, slots=True)
class Echo(Record):
    """Any bytes; they come back."""

    C_NAME: ClassVar[str] = "echo"
    data: Rest


@dataclass(frozen=True, slots=True)
class StatusResponse(Record):
    """The kernel's health: configuration, containment, frame statistics, pools in bytes."""

    C_NAME: ClassVar[str] = "status_response"
    generation: U32
    rollback_depth: U32
    loaded_programs: U32
    deployed_programs: U32
    invocations: U64
    faults_contained: U32
    overruns_contained: U32
    rollbacks: U32
    watch_remaining: U32
    frames_received: U32
    frames_sent: U32
    crc_errors: U32
    malformed: U32
    oversized: U32
    duplicates: U32
    overruns: U32
    events_dropped: U32
    map_pool_used: U32
    map_pool_size: U32
    code_pool_used: U32
    code_pool_size: U32
    measure_overhead: U32
    online_cores: U32


# --- telemetry ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopSourceRecord(Record):
    """See contracts.telemetry.TopSource."""

    C_NAME: ClassVar[str] = "top_source"
    saddr: U32
    packets: U32
    distinct_ports: U32


@dataclass(frozen=True, slots=True)
class TopPortRecord(Record):
    """See contracts.telemetry.TopPort."""

    C_NAME: ClassVar[str] = "top_port"
    dport: U32
    packets: U32


@dataclass(frozen=True, slots=True)
class TelemetryResponse(Record):
    """See contracts.telemetry.Telemetry. Unused top entries have packets == 0."""

    C_NAME: ClassVar[str] = "telemetry_response"
    rx_packets: U64
    rx_bytes: U64
    rx_malformed: U64
    ipv4: U64
    tcp: U64
    udp: U64
    icmp: U64
    other: U64
    tcp_syn: U64
    verdict_aborted: U64
    verdict_drop: U64
    verdict_pass: U64
    verdict_tx: U64
    size_hist: Annotated[tuple[U32, ...], Array(HISTOGRAM_BUCKETS)]
    gap_hist: Annotated[tuple[U32, ...], Array(HISTOGRAM_BUCKETS)]
    top_sources: Annotated[tuple[TopSourceRecord, ...], Array(TOP_ENTRIES)]
    top_ports: Annotated[tuple[TopPortRecord, ...], Array(TOP_ENTRIES)]


# --- uploads -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlobBeginRequest(Record):
    """Announce an upload of `size` bytes whose CRC-32C is `crc`. Replaces an earlier one of the same kind."""

    C_NAME: ClassVar[str] = "blob_begin_request"
    kind: U32
    size: U32
    crc: U32


@dataclass(frozen=True, slots=True)
class BlobWriteRequest(Record):
    """Bytes at an offset; writes may come in any order."""

    C_NAME: ClassVar[str] = "blob_write_request"
    kind: U32
    offset: U32
    data: Rest


@dataclass(frozen=True, slots=True)
class BlobEndRequest(Record):
    """The upload is whole: check its CRC. Refused (BAD_STATE) if it does not match."""

    C_NAME: ClassVar[str] = "blob_end_request"
    kind: U32


@dataclass(frozen=True, slots=True)
class TraceRecord(Record):
    """One packet of a WORKLOAD or TRIAL upload; the frame follows, padded with zeros to 8 bytes."""

    C_NAME: ClassVar[str] = "trace_record"
    arrival_ns: U64
    length: U32
    reserved: U32


# --- extension image ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImageMap(Record):
    """One map of an image. `init_offset`/`init_size`: its initial value within the image's read-only data."""

    C_NAME: ClassVar[str] = "image_map"
    name: Annotated[str, Text(16)]
    type: U32
    key_size: U32
    value_size: U32
    max_entries: U32
    flags: U32
    init_offset: U32
    init_size: U32
    reserved: U32


@dataclass(frozen=True, slots=True)
class ImageHeader(Record):
    """Leads an extension image: header | maps | code | read-only data | signature (EdDSA over all before it).

    Sizes in bytes, all multiples of 8. `test_mem_size` is the size of r1's memory for the `test` hook.
    `reserved` must be zero. The program id is the SHA-256 of maps | code | read-only data.
    """

    C_NAME: ClassVar[str] = "image_header"
    magic: U32
    abi: U16
    kind: U8
    hook: U8
    flags: U32
    priority: U16
    map_count: U16
    code_size: U32
    rodata_size: U32
    test_mem_size: U32
    reserved: U32
    name: Annotated[str, Text(16)]
    seed: U64
    model_hash: Annotated[bytes, Blob(32)]
    prompt_hash: Annotated[bytes, Blob(32)]
    program_id: Annotated[bytes, Blob(32)]


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


@dataclass(frozen=True, slots=True)
class HandleRequest(Record):
    """Names a loaded program."""

    C_NAME: ClassVar[str] = "handle_request"
    handle: U32


@dataclass(frozen=True, slots=True)
class ReadRequest(Record):
    """Read bytes of something (a program's code; the results of the last trial or replay) from an offset."""

    C_NAME: ClassVar[str] = "read_request"
    handle: U32
    offset: U32


@dataclass(frozen=True, slots=True)
class ReadResponse(Record):
    """As many bytes as fit, of `total`."""

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
    """The last run's r0 and memory; instructions of a call over all runs, dispatch included, overhead subtracted."""

    C_NAME: ClassVar[str] = "run_response"
    r0: U64
    instructions_min: U64
    instructions_max: U64
    instructions_total: U64
    memory: Rest


@dataclass(frozen=True, slots=True)
class TrialRequest(Record):
    """Run a program dry over the TRIAL upload, with maps of its own that are cleared first."""

    C_NAME: ClassVar[str] = "trial_request"
    handle: U32
    mode: U32


@dataclass(frozen=True, slots=True)
class TrialResponse(Record):
    """How many invocations ran and their cost; RESULTS gives a `ResultRecord` for each."""

    C_NAME: ClassVar[str] = "trial_response"
    invocations: U32
    contained: U32
    instructions_max: U64
    instructions_total: U64
    trial_instructions: U64


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


# --- live --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DeployRequest(Record):
    """Put a loaded program on its hook. It is watched for `watch_invocations` calls, then committed."""

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


@dataclass(frozen=True, slots=True)
class ReplayRequest(Record):
    """Replay the WORKLOAD upload through the live hooks. `timer_period_ns` of virtual time calls `timer` (0: never)."""

    C_NAME: ClassVar[str] = "replay_request"
    timer_period_ns: U64


@dataclass(frozen=True, slots=True)
class ReplayResponse(Record):
    """What the replay did. `program_invocations` counts calls of deployed code and `instructions_*` their cost."""

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


@dataclass(frozen=True, slots=True)
class ProvokeRequest(Record):
    """Hurt a testing kernel on purpose (`Provocation`). Release kernels do not know the message."""

    C_NAME: ClassVar[str] = "provoke_request"
    what: U32


# --- events ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogEvent(Record):
    """A line of text from the kernel or from `bpf_trace_printk`."""

    C_NAME: ClassVar[str] = "log_event"
    level: U32
    text: Rest


@dataclass(frozen=True, slots=True)
class RollbackEvent(Record):
    """A configuration was taken back. `rollback_instructions`: from the fault or the timer to the store-release.

    `contain_instructions`: from there until the caller of the hook has its default verdict back.
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


@dataclass(frozen=True, slots=True)
class Message(Generic[Q, R]):
    """One request and its response. `authenticated`: it changes state, so it needs a session, a MAC and freshness."""

    name: str
    number: int
    request: type[Q]
    response: type[R]
    authenticated: bool


HELLO: Final = Message("HELLO", 0x01, HelloRequest, HelloResponse, False)
OPEN: Final = Message("OPEN", 0x02, OpenRequest, OpenResponse, False)
ECHO: Final = Message("ECHO", 0x03, Echo, Echo, False)
STATUS: Final = Message("STATUS", 0x04, Empty, StatusResponse, False)
TELEMETRY: Final = Message("TELEMETRY", 0x05, Empty, TelemetryResponse, False)
BLOB_BEGIN: Final = Message("BLOB_BEGIN", 0x10, BlobBeginRequest, Empty, True)
BLOB_WRITE: Final = Message("BLOB_WRITE", 0x11, BlobWriteRequest, Empty, True)
BLOB_END: Final = Message("BLOB_END", 0x12, BlobEndRequest, Empty, True)
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
    HELLO,
    OPEN,
    ECHO,
    STATUS,
    TELEMETRY,
    BLOB_BEGIN,
    BLOB_WRITE,
    BLOB_END,
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
