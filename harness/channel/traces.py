"""A trace as the kernel takes it: records of arrival time, length and frame, each padded to 8 bytes."""

from __future__ import annotations

from contracts.errors import ConfigError
from contracts.trace import Trace
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
