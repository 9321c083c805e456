"""Frames: the headers of frames and responses, and the definition of a message.

A frame is COBS(header | payload | [mac] | crc) 0x00. `crc` is CRC-32C (RFC 3720 appendix B.4) over all before it.
`mac` (16 bytes, present when FLAG_MAC is set) is BLAKE2b-128 keyed with the session key over header | payload.
A response's payload begins with `ResponseHeader`; when its status is not OK, text follows instead of the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar, Final, Generic, TypeVar

from contracts.wire.schema import U8, U16, U32, Record

PROTOCOL_VERSION: Final = 1
MAX_PAYLOAD: Final = 1024
CREDITS: Final = 8
MAC_SIZE: Final = 16
Q = TypeVar("Q", bound=Record)
R = TypeVar("R", bound=Record)


class FrameKind(IntEnum):
    """The type of a frame."""

    REQUEST = 1
    RESPONSE = 2
    EVENT = 3


class FrameFlag(IntFlag):
    """Bits of the header's `flags`."""

    MAC = 1


class Status(IntEnum):
    """The result of a request. Every status except OK is followed by text: expected, seen."""

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


@dataclass(frozen=True, slots=True)
class FrameHeader(Record):
    """Header of every frame. `sequence` rises by at least one per request; a response repeats its request's."""

    C_NAME: ClassVar[str] = "frame_header"
    kind: U8
    flags: U8
    message: U16
    sequence: U32
    session: U32


@dataclass(frozen=True, slots=True)
class ResponseHeader(Record):
    """Header of every response. `credits` is how many more request frames the host may send before a response."""

    C_NAME: ClassVar[str] = "response_header"
    status: U16
    credits: U16


@dataclass(frozen=True, slots=True)
class Empty(Record):
    """A body without fields."""

    C_NAME: ClassVar[str] = "empty"


@dataclass(frozen=True, slots=True)
class Message(Generic[Q, R]):
    """One request and its response. `authenticated`: it changes state and needs a session, a MAC and freshness."""

    name: str
    number: int
    request: type[Q]
    response: type[R]
    authenticated: bool
