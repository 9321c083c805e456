"""Frames: COBS, CRC-32C, and an incremental decoder that accepts any input.

firmware/channel/frames.c implements the same rules in the kernel; tests compare the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from crc32c import crc32c as _crc32c

from contracts.wire.frames import MAC_SIZE, MAX_PAYLOAD, FrameFlag, FrameHeader

CRC_SIZE: Final = 4
HEADER_SIZE: Final = FrameHeader.wire_size()
BODY_MIN: Final = HEADER_SIZE + CRC_SIZE
BODY_MAX: Final = BODY_MIN + MAX_PAYLOAD + MAC_SIZE
COBS_MAX: Final = BODY_MAX + BODY_MAX // 254 + 1
_BLOCK: Final = 254
_KNOWN_FLAGS: Final = int(FrameFlag.MAC)


class FrameError(ValueError):
    """A frame that cannot be encoded: its payload is too long, or its MAC has the wrong size."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `mac` is empty unless the header's flags say MAC, and MAC_SIZE bytes then."""

    header: FrameHeader
    payload: bytes
    mac: bytes = b""

    @property
    def signed(self) -> bytes:
        """The bytes that the MAC covers: header and payload."""
        return self.header.pack() + self.payload


@dataclass(slots=True)
class FrameStats:
    """A decoder's counts: valid frames, and the three kinds of invalid input."""

    received: int = 0
    crc_errors: int = 0
    malformed: int = 0
    oversized: int = 0


def crc32c(data: bytes, crc: int = 0) -> int:
    """CRC-32C (RFC 3720 appendix B.4), continuing from `crc`."""
    value: int = _crc32c(data, crc)
    return value


def cobs_encode(data: bytes) -> bytes:
    """Consistent Overhead Byte Stuffing without the delimiter: the result contains no zero byte."""
    out = bytearray()
    for run in data.split(b"\0"):
        at = 0
        while len(run) - at >= _BLOCK:
            out.append(0xFF)
            out += run[at : at + _BLOCK]
            at += _BLOCK
        out.append(len(run) - at + 1)
        out += run[at:]
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """The bytes that `data` (without delimiter) encodes, or None if it is not valid COBS."""
    out = bytearray()
    at = 0
    while at < len(data):
        run = data[at]
        end = at + run
        if run == 0 or end > len(data):
            return None
        out += data[at + 1 : end]
        at = end
        if run != 0xFF and at < len(data):
            out.append(0)
    return bytes(out)


def encode(frame: Frame) -> bytes:
    """The frame's bytes on the wire, delimiter included. Raises FrameError."""
    if len(frame.payload) > MAX_PAYLOAD:
        raise FrameError(f"payload: expected at most {MAX_PAYLOAD} bytes, seen {len(frame.payload)}")
    wanted = MAC_SIZE if frame.header.flags & FrameFlag.MAC else 0
    if len(frame.mac) != wanted:
        raise FrameError(
            f"MAC: expected {wanted} bytes for flags {frame.header.flags}, seen {len(frame.mac)}"
        )
    body = frame.signed + frame.mac
    return cobs_encode(body + crc32c(body).to_bytes(CRC_SIZE, "little")) + b"\0"


class FrameDecoder:
    """Takes bytes, returns valid frames. Counts and drops anything else; resynchronises at the next zero byte."""

    def __init__(self) -> None:
        self.stats = FrameStats()
        self._partial = bytearray()
        self._discarding = False

    @property
    def in_frame(self) -> int:
        """Number of bytes of an incomplete frame."""
        return len(self._partial)

    def push(self, data: bytes) -> Iterator[Frame]:
        """Feed bytes; yield the frames that they complete."""
        *ended, rest = data.split(b"\0")
        for piece in ended:
            self._gather(piece)
            judge = bool(self._partial) and not self._discarding
            raw = bytes(self._partial)
            self._partial.clear()
            self._discarding = False
            if judge and (frame := self._parse(raw)) is not None:
                yield frame
        self._gather(rest)

    def _gather(self, piece: bytes) -> None:
        room = COBS_MAX - len(self._partial)
        if len(piece) > room and not self._discarding:
            self._discarding = True
            self.stats.oversized += 1
        self._partial += piece[:room]

    def _parse(self, raw: bytes) -> Frame | None:
        body = cobs_decode(raw)
        if body is None or len(body) < BODY_MIN:
            self.stats.malformed += 1
            return None
        checked, crc = body[:-CRC_SIZE], body[-CRC_SIZE:]
        if crc32c(checked) != int.from_bytes(crc, "little"):
            self.stats.crc_errors += 1
            return None
        header = FrameHeader.unpack(checked[:HEADER_SIZE])
        mac_size = MAC_SIZE if header.flags & FrameFlag.MAC else 0
        payload_size = len(checked) - HEADER_SIZE - mac_size
        if header.flags & ~_KNOWN_FLAGS or not 0 <= payload_size <= MAX_PAYLOAD:
            self.stats.malformed += 1
            return None
        self.stats.received += 1
        end = HEADER_SIZE + payload_size
        return Frame(header, checked[HEADER_SIZE:end], checked[end:])
