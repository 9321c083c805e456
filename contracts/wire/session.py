"""Messages of a session: hello, open, echo, status, telemetry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Annotated, Any, ClassVar, Final

from contracts.telemetry import HISTOGRAM_BUCKETS, TOP_ENTRIES
from contracts.wire.frames import MAC_SIZE, Empty, Message
from contracts.wire.schema import U16, U32, U64, Array, Blob, Record, Rest, Text

NONCE_SIZE: Final = 16


class BoardFlag(IntFlag):
    """Facts about a kernel in its hello answer."""

    TESTING = 1
    DEVELOPMENT_KEY = 2
    INSTRUCTION_COUNTER = 4
    TIME_COUNTER = 8


@dataclass(frozen=True, slots=True)
class HelloRequest(Record):
    """Identifies the host. Starts no session."""

    C_NAME: ClassVar[str] = "hello_request"
    protocol: U16
    reserved: U16
    host_nonce: Annotated[bytes, Blob(NONCE_SIZE)]


@dataclass(frozen=True, slots=True)
class HelloResponse(Record):
    """Identifies the kernel and states the limits of its channel."""

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
    """Any bytes; the kernel sends them back."""

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
    measure_overhead_ns: U32 = 0
    reserved: U32 = 0


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


HELLO: Final = Message("HELLO", 0x01, HelloRequest, HelloResponse, False)
OPEN: Final = Message("OPEN", 0x02, OpenRequest, OpenResponse, False)
ECHO: Final = Message("ECHO", 0x03, Echo, Echo, False)
STATUS: Final = Message("STATUS", 0x04, Empty, StatusResponse, False)
TELEMETRY: Final = Message("TELEMETRY", 0x05, Empty, TelemetryResponse, False)

MESSAGES: Final[tuple[Message[Any, Any], ...]] = (
    HELLO,
    OPEN,
    ECHO,
    STATUS,
    TELEMETRY,
)
