"""Captures (pcap, pcapng) as traces: Ethernet frames with the times between them, in pieces that a board can hold."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from contracts.errors import ConfigError
from contracts.plain_file import read_plain
from contracts.trace import Trace, TracePacket
from contracts.wire.uploads import TRACE_MAX, TraceRecord

FRAME_MIN: Final = 14  # an Ethernet header
FRAME_MAX: Final = 1514
CAPTURE_MAX: Final = 512 << 20
PACKETS_MAX: Final = 1_000_000
SUFFIXES: Final = (".pcap", ".pcapng", ".cap")

_ETHERNET: Final = 1  # LINKTYPE_ETHERNET, https://www.tcpdump.org/linktypes.html
_PCAPNG: Final = bytes.fromhex("0a0d0d0a")
_PCAP_HEADER, _PCAP_RECORD = 24, 16
_NS: Final = 1_000_000_000


def read_capture(path: Path) -> Trace:
    """The frames of a capture file, with arrival times since its first packet (ns).

    Frames longer than FRAME_MAX are cut to it, as a snapshot length would. A time that goes back counts as the one
    before it. Raises ConfigError for a file that cannot be read, is no capture, is not of Ethernet, or holds no frame.
    """
    import dpkt

    try:
        data = read_plain(path, CAPTURE_MAX)
        reader = dpkt.pcap.UniversalReader(io.BytesIO(data))
        if reader.datalink() != _ETHERNET:
            raise _bad(
                path,
                "frames of Ethernet",
                f"link type {reader.datalink()}",
                "capture on an Ethernet interface",
            )
        if not _is_whole(data):
            raise _bad(
                path, "a whole file", "its last record is cut off", "stop the capture before you copy it"
            )
        return Trace(tuple(_packets(path, reader)))
    except OSError as error:
        raise _bad(
            path, "a readable file", error.strerror or str(error), "check its name and rights"
        ) from error
    except (ValueError, struct.error, dpkt.Error) as error:
        raise _bad(
            path,
            "a pcap or pcapng file",
            str(error) or type(error).__name__,
            "capture it again with `tcpdump -w`",
        ) from error


def _is_whole(data: bytes) -> bool:
    """Whether the file ends exactly with its last record: the reader returns a truncated record as a short one.

    pcap: draft-ietf-opsawg-pcap section 5; pcapng: draft-ietf-opsawg-pcapng section 3.1.
    """
    if data[:4] == _PCAPNG:
        order = "<" if data[8:12] == bytes.fromhex("4d3c2b1a") else ">"
        at = 0
        while at + 12 <= len(data):
            at += max(12, int(struct.unpack_from(f"{order}I", data, at + 4)[0]))
        return at == len(data)
    order = "<" if data[:4] in (bytes.fromhex("d4c3b2a1"), bytes.fromhex("4d3cb2a1")) else ">"
    at = _PCAP_HEADER
    while at + _PCAP_RECORD <= len(data):
        at += _PCAP_RECORD + int(struct.unpack_from(f"{order}I", data, at + 8)[0])
    return at == len(data)


def _packets(path: Path, reader: Iterator[tuple[float, bytes]]) -> Iterator[TracePacket]:
    first_s: float | None = None
    last_ns = 0
    for number, (at_s, frame) in enumerate(reader):
        if number >= PACKETS_MAX:
            raise _bad(path, f"at most {PACKETS_MAX} packets", "more", "cut it with editcap")
        first_s = at_s if first_s is None else first_s
        last_ns = max(last_ns, round((at_s - first_s) * _NS))
        if len(frame) >= FRAME_MIN:
            yield TracePacket(last_ns, bytes(frame[:FRAME_MAX]))
    if first_s is None:
        raise _bad(path, "one packet or more", "none", "capture some traffic")


def _bad(path: Path, expected: str, seen: str, do: str) -> ConfigError:
    return ConfigError(f"{path} is no capture that can be replayed", expected=expected, seen=seen, do=do)


def pieces(trace: Trace) -> list[Trace]:
    """The trace in parts that each fit a board's buffer, with times since the first packet of each part."""
    out: list[Trace] = []
    part: list[TracePacket] = []
    size, start_ns = 0, 0
    for packet in trace.packets:
        needed = TraceRecord.wire_size() + len(packet.frame) + -len(packet.frame) % 8
        if part and size + needed > TRACE_MAX:
            out.append(Trace(tuple(part)))
            part, size = [], 0
        if not part:
            start_ns = packet.arrival_ns
        part.append(TracePacket(packet.arrival_ns - start_ns, packet.frame))
        size += needed
    if part:
        out.append(Trace(tuple(part)))
    return out
