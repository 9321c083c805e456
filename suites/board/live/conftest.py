"""Traffic for the live tests."""

from __future__ import annotations

import pytest

from assay_lab import Trace, TracePacket

PACKETS = 100


@pytest.fixture(scope="session")
def trace() -> Trace:
    """100 UDP packets, 1 us apart, from one source."""
    frame = (
        bytes(12) + b"\x08\x00\x45\x00\x00\x1c" + bytes(5) + b"\x11" + bytes(2) + b"\x0a\0\0\x01\x0a\0\0\x02"
    )
    frame += b"\x04\xd2\x00\x35\x00\x08\0\0" + bytes(18)
    return Trace(tuple(TracePacket(1000 * (i + 1), frame) for i in range(PACKETS)))
