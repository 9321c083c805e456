"""Telemetry: the kernel's counters and sketches compared with an exact reference."""

from __future__ import annotations

import random
import struct
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.wire.session import TelemetryResponse

ETHER = bytes(12) + b"\x08\x00"


def _ipv4(saddr: int, protocol: int, payload: bytes, *, fragment: int = 0) -> bytes:
    header = struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), 0, fragment, 64, protocol, 0, saddr, 1)
    return ETHER + header + payload


def _tcp(saddr: int, dport: int, flags: int = 0x10) -> bytes:
    return _ipv4(saddr, 6, struct.pack(">HHIIBBHHH", 1234, dport, 0, 0, 0x50, flags, 0, 0, 0))


def _udp(saddr: int, dport: int, size: int = 0) -> bytes:
    return _ipv4(saddr, 17, struct.pack(">HHHH", 1234, dport, 8 + size, 0) + bytes(size))


class _Kernel:
    def __init__(self, native: Any) -> None:
        self._native = native
        native.lib.telemetry_reset()
        self._now = 0

    def receive(self, frame: bytes, gap_ns: int = 1000) -> None:
        self._now += gap_ns
        self._native.lib.telemetry_packet(frame, len(frame), self._now)

    def read(self) -> TelemetryResponse:
        out = self._native.ffi.new("uint8_t[]", TelemetryResponse.wire_size())
        self._native.lib.telemetry_fill(out)
        return TelemetryResponse.unpack(bytes(out))


@pytest.fixture
def kernel(native: Any) -> _Kernel:
    return _Kernel(native)


def test_nothing_seen_is_all_zero(kernel: _Kernel) -> None:
    assert kernel.read().pack() == bytes(TelemetryResponse.wire_size())


def test_each_kind_of_packet_is_counted_once(kernel: _Kernel) -> None:
    for frame in (
        _tcp(1, 80, 0x02),
        _tcp(1, 80, 0x12),
        _udp(2, 53),
        _ipv4(3, 1, b"ping"),
        _ipv4(3, 47, b"gre"),
        bytes(12) + b"\x08\x06" + bytes(28),
    ):
        kernel.receive(frame)
    seen = kernel.read()
    assert (seen.rx_packets, seen.ipv4, seen.tcp, seen.udp, seen.icmp, seen.other) == (6, 5, 2, 1, 1, 2)
    assert (seen.tcp_syn, seen.rx_malformed) == (1, 0)


@pytest.mark.parametrize(
    "frame",
    [
        ETHER,
        ETHER + bytes(19),
        ETHER + b"\x65" + bytes(40),
        ETHER + b"\x44" + bytes(40),
        _udp(1, 53)[:30],
        _tcp(1, 80)[:-1],
        _ipv4(1, 6, bytes(19)),
        _ipv4(1, 17, bytes(7)),
    ],
    ids=["bare", "19 bytes", "version 6", "IHL 4", "cut", "cut by one", "short TCP", "short UDP"],
)
def test_a_malformed_packet_is_counted_as_one(kernel: _Kernel, frame: bytes) -> None:
    kernel.receive(frame)
    assert kernel.read().rx_malformed == 1


def test_a_later_fragment_has_no_ports(kernel: _Kernel) -> None:
    kernel.receive(_ipv4(1, 6, b"", fragment=100))
    seen = kernel.read()
    assert (seen.tcp, seen.rx_malformed, seen.top_ports[0].packets) == (1, 0, 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1 << 40)), min_size=1, max_size=60))
def test_histograms_are_floor_log2(native: Any, steps: list[tuple[int, int]]) -> None:
    kernel = _Kernel(native)
    sizes, gaps = Counter[int](), Counter[int]()
    for i, (size, gap_ns) in enumerate(steps):
        frame = _udp(1, 53, size)
        kernel.receive(frame, gap_ns)
        sizes[len(frame).bit_length() - 1] += 1
        if i:
            gaps[min(max(gap_ns, 1).bit_length() - 1, 31)] += 1
    seen = kernel.read()
    assert seen.size_hist == tuple(sizes[i] for i in range(32))
    assert seen.gap_hist == tuple(gaps[i] for i in range(32))
    assert seen.rx_bytes == sum(len(_udp(1, 53, size)) for size, _ in steps)


@pytest.mark.parametrize("seed", range(5))
def test_up_to_64_sources_and_ports_are_counted_exactly(kernel: _Kernel, seed: int) -> None:
    chance = random.Random(seed)
    sources = [chance.getrandbits(32) for _ in range(60)]
    packets = [
        (chance.choice(sources[: 1 + chance.randrange(60)]), chance.randrange(60)) for _ in range(3000)
    ]
    for saddr, dport in packets:
        kernel.receive(_udp(saddr, dport))
    seen = kernel.read()
    by_source = Counter(saddr for saddr, _ in packets)
    by_port = Counter(dport for _, dport in packets)
    expected = sorted(by_source.items(), key=lambda item: (-item[1], item[0]))[:8]
    assert [(t.saddr, t.packets) for t in seen.top_sources] == expected
    assert [(t.dport, t.packets) for t in seen.top_ports] == sorted(
        by_port.items(), key=lambda item: (-item[1], item[0])
    )[:8]
    for top in seen.top_sources:
        bits = {(dport * 0x9E3779B1 & 0xFFFFFFFF) >> 26 for saddr, dport in packets if saddr == top.saddr}
        assert top.distinct_ports == len(bits)


@pytest.mark.parametrize("seed", range(5))
def test_beyond_64_sources_a_count_is_never_too_low_and_heavy_ones_are_found(
    kernel: _Kernel, seed: int
) -> None:
    """Space-saving's guarantees: counts are too high by at most n/64; every key above n/64 is in the sketch."""
    chance = random.Random(seed)
    heavy = [chance.getrandbits(32) for _ in range(4)]
    true = Counter[int]()
    for _ in range(6400):
        saddr = chance.choice(heavy) if chance.random() < 0.4 else chance.getrandbits(32)
        true[saddr] += 1
        kernel.receive(_udp(saddr, 53))
    tops = [t for t in kernel.read().top_sources if t.packets]
    assert set(heavy) <= {t.saddr for t in tops}
    for top in tops:
        assert true[top.saddr] <= top.packets <= true[top.saddr] + 6400 // 64


def test_a_port_scan_shows_in_distinct_ports(kernel: _Kernel) -> None:
    for port in range(1, 400):
        kernel.receive(_tcp(7, port, 0x02))
        kernel.receive(_tcp(8, 80))
    ports = {t.saddr: t.distinct_ports for t in kernel.read().top_sources if t.packets}
    assert ports[7] == 64
    assert ports[8] == 1


def test_verdicts_beyond_tx_count_as_aborted(native: Any, kernel: _Kernel) -> None:
    for verdict in (0, 1, 1, 2, 3, 4, 0xFFFFFFFF):
        native.lib.telemetry_verdict(verdict)
    seen = kernel.read()
    assert (seen.verdict_aborted, seen.verdict_drop, seen.verdict_pass, seen.verdict_tx) == (3, 2, 1, 1)


def test_a_new_replay_adds_no_gap_to_the_one_before(native: Any, kernel: _Kernel) -> None:
    kernel.receive(_udp(1, 53))
    native.lib.telemetry_trace_begins()
    kernel.receive(_udp(1, 53))
    assert sum(kernel.read().gap_hist) == 0


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_survived(native: Any, frame: bytes) -> None:
    kernel = _Kernel(native)
    kernel.receive(frame)
    seen = kernel.read()
    assert seen.rx_packets == 1
    assert seen.rx_malformed + seen.other + seen.tcp + seen.udp + seen.icmp >= 1
