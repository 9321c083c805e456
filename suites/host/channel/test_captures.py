"""Captures as traffic: what tcpdump writes becomes what a board replays."""

from __future__ import annotations

from pathlib import Path

import dpkt
import pytest

from contracts.errors import ConfigError
from contracts.trace import Trace, TracePacket
from contracts.wire.uploads import TRACE_MAX
from harness.channel.captures import FRAME_MAX, pieces, read_capture
from harness.channel.traces import pack_trace

FRAMES = [(10.5, bytes(60)), (10.5001, bytes(range(100))), (10.4, b"\xff" * 64), (11.0, bytes(2000))]


@pytest.fixture(params=["pcap", "pcapng"])
def capture(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"traffic.{request.param}"
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file) if request.param == "pcap" else dpkt.pcapng.Writer(file)
        for at_s, frame in FRAMES:
            writer.writepkt(frame, at_s)
    return path


def test_a_capture_is_a_trace_with_its_own_times(capture: Path) -> None:
    trace = read_capture(capture)
    assert [packet.frame for packet in trace.packets] == [frame[:FRAME_MAX] for _, frame in FRAMES]
    times = [packet.arrival_ns for packet in trace.packets]
    assert times[0] == 0
    assert times[1] == pytest.approx(100_000, abs=2000)  # captures of tcpdump have microseconds
    assert times[2] == times[1]  # its clock went back
    assert times[3] == pytest.approx(500_000_000, abs=2000)


@pytest.mark.parametrize("damage", ["empty", "text", "missing", "no packets", "other link"])
def test_what_is_no_capture_is_told_before_anything_is_booted(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "traffic.pcap"
    with path.open("wb") as file:
        writer = dpkt.pcap.Writer(file, linktype=101 if damage == "other link" else 1)
        for _ in range(0 if damage == "no packets" else 3):
            writer.writepkt(bytes(60), 1.0)
    if damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_text("10:12:01.5 IP 10.0.0.1 > 10.0.0.2: ICMP echo request\n" * 9)
    elif damage == "missing":
        path.unlink()
    with pytest.raises(ConfigError, match=r"traffic\.pcap is no capture that can be replayed"):
        read_capture(path)


def test_a_capture_that_is_cut_off_is_no_shorter_frame(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-30])
    with pytest.raises(ConfigError, match="is no capture"):
        read_capture(capture)


def test_a_long_capture_comes_in_pieces_that_fit_and_lose_nothing() -> None:
    packets = tuple(TracePacket(1000 * n, bytes(60 + n % 1400)) for n in range(1000))
    parts = pieces(Trace(packets))
    assert len(parts) > 1
    assert [packet.frame for part in parts for packet in part.packets] == [packet.frame for packet in packets]
    for part in parts:
        assert part.packets[0].arrival_ns == 0
        assert len(pack_trace(part)) <= TRACE_MAX
    spans = [part.duration_ns for part in parts]
    assert sum(spans) == 1000 * (len(packets) - len(parts))
