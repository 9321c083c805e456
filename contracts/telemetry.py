"""What a kernel reports about its traffic: counters, log2 histograms, heavy hitters."""

from __future__ import annotations

from dataclasses import dataclass

HISTOGRAM_BUCKETS = 32
TOP_ENTRIES = 8


@dataclass(frozen=True, slots=True)
class TopSource:
    """One entry of the space-saving sketch of sources.

    `saddr` is the IPv4 source in host order; `packets` an upper bound; `distinct_ports` an estimate (0 to 64).
    """

    saddr: int
    packets: int
    distinct_ports: int


@dataclass(frozen=True, slots=True)
class TopPort:
    """One entry of the space-saving sketch of destination ports (TCP and UDP)."""

    dport: int
    packets: int


@dataclass(frozen=True, slots=True)
class Telemetry:
    """Counts since the last `pristine`, over every packet that a replay delivered to `net_rx`.

    Histograms have 32 buckets; bucket i counts values v with floor(log2(max(v, 1))) == i (the last one
    also counts all larger values). `size_hist` is in bytes, `gap_hist` in ns of virtual arrival time between packets.
    `top_sources` and `top_ports` are ordered by packets, largest first.
    """

    rx_packets: int
    rx_bytes: int
    rx_malformed: int
    ipv4: int
    tcp: int
    udp: int
    icmp: int
    other: int
    tcp_syn: int
    verdict_aborted: int
    verdict_drop: int
    verdict_pass: int
    verdict_tx: int
    size_hist: tuple[int, ...]
    gap_hist: tuple[int, ...]
    top_sources: tuple[TopSource, ...]
    top_ports: tuple[TopPort, ...]
