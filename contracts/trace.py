"""A workload: frames with virtual arrival times, replayed inside the guest through a hook."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TracePacket:
    """One Ethernet frame (14 to 1514 bytes) that arrives `arrival_ns` after the start of the trace (virtual ns)."""

    arrival_ns: int
    frame: bytes


@dataclass(frozen=True, slots=True)
class Trace:
    """Packets in order of arrival; arrival times never decrease."""

    packets: tuple[TracePacket, ...]

    @property
    def duration_ns(self) -> int:
        """Virtual ns from the first packet to the last; 0 for an empty trace."""
        return self.packets[-1].arrival_ns - self.packets[0].arrival_ns if self.packets else 0
