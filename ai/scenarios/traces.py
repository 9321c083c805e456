"""Seeded workloads: the one that a kernel observes, and the small one that a program is tried on.

A trial is built to distinguish programs: a hot group that exceeds the limit inside a window and again after it, packets
that differ from it in only one choice (another protocol, too short, another address), and frames that are not IPv4.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from ai.scenarios import packets
from ai.scenarios.packets import ACK, ICMP, SYN, TCP, UDP, Flow
from ai.scenarios.parameters import LIMITING, Parameters
from contracts.trace import Trace, TracePacket

WORKLOAD_PACKETS = 240
_SERVICES = (22, 25, 53, 80, 123, 143, 443, 993, 1883, 3306, 5060, 5432, 6379, 8080, 8443, 9200)
_MS = 1_000_000


def workload(parameters: Parameters, rng: Random) -> Trace:
    """The kernel's traffic before a program is written: 240 packets whose telemetry shows the bottleneck."""
    hot_share = rng.uniform(0.62, 0.75)
    source, port = _address(rng, 10), rng.choice(_SERVICES)
    dest = _address(rng, 192)
    flows = []
    for _ in range(WORKLOAD_PACKETS):
        flow = _matching(parameters, rng) if rng.random() < 0.92 else _random_flow(rng)
        if rng.random() < hot_share:
            if parameters.family == "flood":
                flow = replace(flow, saddr=source, daddr=dest, dport=port if flow.proto != ICMP else 0)
            elif parameters.family == "portscan":
                proto = flow.proto if flow.proto != ICMP else TCP
                flow = replace(flow, proto=proto, saddr=source, dport=rng.randrange(1, 65536), sport=40000)
            elif parameters.family == "hotport" and flow.proto != ICMP:
                flow = replace(flow, dport=port)
        flows.append(flow)
    if parameters.family == "latency":
        gaps = [rng.choice((rng.randrange(500, 4_000), rng.randrange(1, 40) * 500_000)) for _ in flows]
    else:
        gaps = [rng.randrange(20_000, 900_000) for _ in flows]
    return _timed([packets.frame(flow) for flow in flows], gaps)


def trial(parameters: Parameters, rng: Random) -> Trace:
    """At most 8 KB of packets that a correct program and a wrong one treat differently."""
    hot = _matching(parameters, rng)
    if parameters.family in LIMITING:
        count = _packets_to_cross(parameters) + rng.randrange(2, 5)
        frames, gaps = _burst(parameters, hot, count, rng)
        frames, gaps = _mix(frames, gaps, _decoys(parameters, hot, rng, 8), rng)
        after = max(parameters.window_ms, 1) * _MS + rng.randrange(1_000, 9_000)
        for flow in (_another(parameters, hot, rng), _another(parameters, hot, rng)):
            frames.append(packets.frame(flow))
            gaps.append(after)
            after = rng.randrange(1_000, 9_000)
    else:
        flows = [hot, hot]
        flows += [_another(parameters, hot, rng) for _ in range(14)]
        other = _matching(parameters, rng)
        flows += [_another(parameters, other, rng) for _ in range(5)]
        flows += [_matching(parameters, rng) for _ in range(4)]
        rng.shuffle(flows)
        frames = [packets.frame(flow) for flow in flows]
        gaps = [_spread_gap(rng) for _ in frames]
        frames, gaps = _mix(frames, gaps, _decoys(parameters, hot, rng, 12), rng)
    frames.insert(rng.randrange(len(frames)), packets.arp())
    frames.insert(rng.randrange(len(frames)), packets.truncated(replace(hot, proto=TCP)))
    gaps += [rng.randrange(1_000, 9_000) for _ in range(len(frames) - len(gaps))]
    return _timed(frames, gaps)


def _timed(frames: list[bytes], gaps: list[int]) -> Trace:
    now, made = 1_000_000, []
    for data, gap in zip(frames, gaps, strict=True):
        now += gap
        made.append(TracePacket(now, data))
    return Trace(tuple(made))


def _address(rng: Random, first: int) -> int:
    return first << 24 | rng.randrange(256) << 16 | rng.randrange(256) << 8 | rng.randrange(1, 255)


def _random_flow(rng: Random) -> Flow:
    proto = rng.choices((TCP, UDP, ICMP), (45, 40, 15))[0]
    ports = proto != ICMP
    return Flow(
        saddr=_address(rng, 10),
        daddr=_address(rng, 192),
        sport=rng.randrange(32768, 61000) if ports else 0,
        dport=rng.choice(_SERVICES) if ports else 0,
        proto=proto,
        flags=rng.choice((ACK, SYN, ACK | 0x08)) if proto == TCP else 0,
        length=rng.choice((60, 64, 72, 84, 100, 110, 132, 140)),
    )


def _matching(parameters: Parameters, rng: Random) -> Flow:
    """A random packet that the parameters select."""
    flow = _random_flow(rng)
    chosen = parameters.filter
    if chosen == "any" and parameters.key in ("dport", "sport") and flow.proto == ICMP:
        chosen = "udp"
    if chosen in ("tcp", "udp", "icmp"):
        proto = {"tcp": TCP, "udp": UDP, "icmp": ICMP}[chosen]
        flow = _as_proto(flow, proto, rng)
        if proto == TCP:
            flow = replace(flow, flags=rng.choices((ACK, ACK | 0x08, SYN), (5, 3, 2))[0])
    elif chosen == "syn":
        flow = replace(_as_proto(flow, TCP, rng), flags=SYN)
    if parameters.min_length:
        flow = replace(flow, length=parameters.min_length + rng.choice((0, 1, 4, 8)))
    return flow


def _as_proto(flow: Flow, proto: int, rng: Random) -> Flow:
    if proto == ICMP:
        return replace(flow, proto=ICMP, sport=0, dport=0, flags=0)
    if flow.proto == ICMP:
        flow = replace(flow, sport=rng.randrange(32768, 61000), dport=rng.choice(_SERVICES))
    return replace(flow, proto=proto, flags=flow.flags if proto == TCP else 0)


def _another(parameters: Parameters, hot: Flow, rng: Random) -> Flow:
    """Another packet of the hot group: the same key, random in everything that the parameters do not determine."""
    other = _matching(parameters, rng)
    if parameters.key in ("dport", "sport") and other.proto == ICMP:
        other = _as_proto(other, UDP, rng)
    if parameters.family in LIMITING and parameters.measure == "ports" and other.proto != ICMP:
        other = replace(other, dport=rng.randrange(1, 65536))
    return {
        "all": lambda: other,
        "source": lambda: replace(other, saddr=hot.saddr),
        "dest": lambda: replace(other, daddr=hot.daddr),
        "subnet": lambda: replace(other, saddr=hot.saddr & ~0xFF | rng.randrange(1, 255)),
        "pair": lambda: replace(other, saddr=hot.saddr, daddr=hot.daddr),
        "dport": lambda: replace(other, dport=hot.dport),
        "sport": lambda: replace(other, sport=hot.sport),
        "proto": lambda: replace(other, proto=other.proto),
    }[parameters.key]()


def _packets_to_cross(parameters: Parameters) -> int:
    if parameters.measure == "bytes":
        return parameters.limit // max(parameters.min_length, 80) + 1
    return parameters.limit if parameters.measure == "packets" else parameters.limit + parameters.limit // 2


def _burst(parameters: Parameters, hot: Flow, count: int, rng: Random) -> tuple[list[bytes], list[int]]:
    """`count` packets of the hot group inside one window (or spread over seconds when there is none)."""
    frames = [packets.frame(_another(parameters, hot, rng)) for _ in range(count)]
    if not parameters.window_ms:
        return frames, [rng.choice((3_000, 40 * _MS, 350 * _MS)) for _ in frames]
    span = parameters.window_ms * _MS // 2
    if parameters.window_ms > 10:
        # Some pauses are longer than a shorter window of the closed set, so that a wrong window is detected.
        long = parameters.window_ms * _MS // 9
        return frames, [
            long if i in (count // 3, 2 * count // 3) else rng.randrange(1_000, span // 4 // count + 2_000)
            for i in range(count)
        ]
    return frames, [rng.randrange(1_000, span // count) for _ in frames]


def _spread_gap(rng: Random) -> int:
    return rng.choice((rng.randrange(200, 4_000), rng.randrange(20, 900) * 1_000, rng.randrange(1, 80) * _MS))


def _decoys(parameters: Parameters, hot: Flow, rng: Random, count: int) -> list[bytes]:
    """Packets that differ from the hot group in one choice."""
    made = []
    for i in range(count):
        flow = _another(parameters, hot, rng)
        kind = i % 3
        if kind == 0 and parameters.filter != "any":
            flow = _other_protocol(parameters, flow, rng)
        elif kind == 1 and parameters.min_length:
            flow = replace(flow, length=parameters.min_length - rng.choice((1, 20, 30)))
        else:
            flow = _matching(parameters, rng)
        made.append(packets.frame(flow))
    return made


def _other_protocol(parameters: Parameters, flow: Flow, rng: Random) -> Flow:
    if parameters.filter == "syn" and rng.random() < 0.5:
        return replace(flow, flags=ACK)
    choices = {"tcp": (UDP, ICMP), "syn": (UDP, ICMP), "udp": (TCP, ICMP), "icmp": (TCP, UDP)}[
        parameters.filter
    ]
    made = _as_proto(flow, rng.choice(choices), rng)
    return replace(made, flags=SYN) if made.proto == TCP else made


def _mix(
    frames: list[bytes], gaps: list[int], extra: list[bytes], rng: Random
) -> tuple[list[bytes], list[int]]:
    frames, gaps = list(frames), list(gaps)
    for data in extra:
        at = rng.randrange(len(frames) + 1)
        frames.insert(at, data)
        gaps.insert(at, rng.randrange(200, 3_000))
    return frames, gaps
