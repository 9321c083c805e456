"""A trace as the kernel takes it: records of arrival time, length and frame, each padded to 8 bytes."""

from __future__ import annotations

from contracts.errors import ConfigError
from contracts.trace import Trace, TracePacket
from contracts.wire.schema import RecordError
from contracts.wire.uploads import TRACE_MAX, TraceRecord


def pack_trace(trace: Trace) -> bytes:
    """The bytes of a WORKLOAD or TRIAL upload. Raises ConfigError for an empty or too long trace."""
    out = bytearray()
    for packet in trace.packets:
        out += TraceRecord(packet.arrival_ns, len(packet.frame), 0).pack()
        out += packet.frame
        out += bytes(-len(packet.frame) % 8)
    if not 0 < len(out) <= TRACE_MAX:
        raise ConfigError(
            "a trace does not fit the board",
            expected=f"1 to {TRACE_MAX} bytes, record headers included",
            seen=f"{len(out)} bytes in {len(trace.packets)} packets",
            do="shorten the workload",
        )
    return bytes(out)


def unpack_trace(data: bytes) -> Trace:
    """The trace whose bytes `pack_trace` made. Raises ConfigError for any others."""
    packets: list[TracePacket] = []
    at, header = 0, TraceRecord.wire_size()
    try:
        while at < len(data):
            record = TraceRecord.unpack(data[at : at + header])
            frame = data[at + header : at + header + record.length]
            packets.append(TracePacket(record.arrival_ns, frame))
            at += header + record.length + -record.length % 8
    except (RecordError, ValueError) as error:
        raise ConfigError("not a trace", expected="whole records", seen=str(error)) from error
    trace = Trace(tuple(packets))
    if at != len(data) or pack_trace(trace) != data:
        raise ConfigError(
            "not a trace", expected="whole records, padded with zeros", seen=f"{len(data)} bytes"
        )
    return trace
