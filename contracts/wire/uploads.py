"""Messages that upload data to the kernel: extension images and traces."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final

from contracts.wire.frames import Empty, Message
from contracts.wire.schema import U32, U64, Record, Rest

TRACE_MAX: Final = 256 * 1024


class BlobKind(IntEnum):
    """The purpose of an upload. The kernel has one buffer for each."""

    IMAGE = 1
    WORKLOAD = 2
    TRIAL = 3


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
    """The upload is complete: check its CRC. Refused (BAD_STATE) if it does not match."""

    C_NAME: ClassVar[str] = "blob_end_request"
    kind: U32


@dataclass(frozen=True, slots=True)
class TraceRecord(Record):
    """One packet of a WORKLOAD or TRIAL upload; the frame follows, padded with zeros to 8 bytes."""

    C_NAME: ClassVar[str] = "trace_record"
    arrival_ns: U64
    length: U32
    reserved: U32


BLOB_BEGIN: Final = Message("BLOB_BEGIN", 0x10, BlobBeginRequest, Empty, True)
BLOB_WRITE: Final = Message("BLOB_WRITE", 0x11, BlobWriteRequest, Empty, True)
BLOB_END: Final = Message("BLOB_END", 0x12, BlobEndRequest, Empty, True)

MESSAGES: Final[tuple[Message[Any, Any], ...]] = (
    BLOB_BEGIN,
    BLOB_WRITE,
    BLOB_END,
)
