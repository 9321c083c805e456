"""A trace in the kernel's format: records of arrival time, length and frame, each padded to 8 bytes."""

from __future__ import annotations

from contracts.errors import ConfigError
from contracts.trace import Trace, TracePacket
from contracts.wire.schema import RecordError
from contracts.wire.uploads import TRACE_MAX, TraceRecord


def pack_trace(trace: Trace) -> bytes:
    """The bytes of a WORKLOAD or TRIAL upload. Raises ConfigError if the trace is empty or too long."""
    out = bytearray()
    for packet in trace.packets:
        out += TraceRecord(packet.arrival_ns, len(packet.frame), 0).pack()
        out += packet.frame
        out += bytes(-len(packet.frame) % 8)
    if not 0 < len(out) <= TRACE_MAX:
        raise ConfigError(
            "a trace does not fit the board",
            expected=f"1 to {TRACE_MAX} bytes, including record headers",
            seen=f"{len(out)} bytes in {len(trace.packets)} packets",
            do="shorten the workload",
        )
    return bytes(out)


def unpack_trace(data: bytes) -> Trace:
    """The trace that `pack_trace` encoded as these bytes. Raises ConfigError for any others."""
    packets: list[TracePacket] = []
    at, header = 0, TraceRecord.wire_size()
    try:
        while at < len(data):
            record = TraceRecord.unpack(data[at : at + header])
            frame = data[at + header : at + header + record.length]
            packets.append(TracePacket(record.arrival_ns, frame))
            at += header + record.length + -record.length % 8
    except (RecordError, ValueError) as error:
        raise ConfigError("not a trace", expected="complete records", seen=str(error)) from error
    trace = Trace(tuple(packets))
    if at != len(data) or pack_trace(trace) != data:
        raise ConfigError(
            "not a trace", expected="complete records, padded with zeros", seen=f"{len(data)} bytes"
        )
    return trace
