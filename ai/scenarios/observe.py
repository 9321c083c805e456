"""The telemetry that a kernel would report for a trace, counted on the host: for evaluation and tests without a board.

Counts are exact; the kernel's sketches of sources and ports are upper bounds.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from ai.scenarios import packets
from ai.scenarios.oracle import hash_bit
from contracts.telemetry import HISTOGRAM_BUCKETS, TOP_ENTRIES, Telemetry, TopPort, TopSource
from contracts.trace import Trace


def telemetry(trace: Trace) -> Telemetry:
    """The telemetry of `trace` with no program deployed: every packet passes."""
    flows = [packets.parse(packet.frame) for packet in trace.packets]
    known = [flow for flow in flows if flow is not None]
    protocols = Counter(flow.proto for flow in known)
    sources = Counter(flow.saddr for flow in known)
    bits: dict[int, int] = {}
    for flow in known:
        bits[flow.saddr] = bits.get(flow.saddr, 0) | hash_bit(flow.dport)
    ports = Counter(flow.dport for flow in known if flow.proto in (packets.TCP, packets.UDP))
    counted = {packets.TCP, packets.UDP, packets.ICMP}
    return Telemetry(
        rx_packets=len(flows),
        rx_bytes=sum(len(packet.frame) for packet in trace.packets),
        rx_malformed=sum(
            flow is None and packet.frame[12:14] == b"\x08\x00"
            for flow, packet in zip(flows, trace.packets, strict=True)
        ),
        ipv4=len(known),
        tcp=protocols[packets.TCP],
        udp=protocols[packets.UDP],
        icmp=protocols[packets.ICMP],
        other=sum(n for proto, n in protocols.items() if proto not in counted),
        tcp_syn=sum(bool(flow.flags & packets.SYN) for flow in known),
        verdict_aborted=0,
        verdict_drop=0,
        verdict_pass=len(flows),
        verdict_tx=0,
        size_hist=_histogram([len(packet.frame) for packet in trace.packets]),
        gap_hist=_histogram([b.arrival_ns - a.arrival_ns for a, b in pairwise(trace.packets)]),
        top_sources=tuple(
            TopSource(saddr, count, bits[saddr].bit_count())
            for saddr, count in sources.most_common(TOP_ENTRIES)
        ),
        top_ports=tuple(TopPort(port, count) for port, count in ports.most_common(TOP_ENTRIES)),
    )


def _histogram(values: list[int]) -> tuple[int, ...]:
    counts = [0] * HISTOGRAM_BUCKETS
    for value in values:
        counts[min(max(value, 1).bit_length() - 1, HISTOGRAM_BUCKETS - 1)] += 1
    return tuple(counts)
