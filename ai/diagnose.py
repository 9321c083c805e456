"""From telemetry to a diagnosis: fixed thresholds on the kernel's own counters.

| bottleneck | when |
|---|---|
| `portscan` | one source sends 40% or more of the packets and touches 16 or more ports (of 64 hash bits) |
| `flood` | one source sends 40% or more, and touches fewer |
| `hotport` | one destination port gets 40% or more, and no source sends as much |
| `latency` | none of these, and gaps between packets spread over 6 or more octaves |

The protocol filter is the protocol of 70% or more of the packets: TCP SYN, else TCP, UDP or ICMP, else any. What
telemetry cannot show (grouping, limit, action) is the operator's `Policy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ai.scenarios import Policy
from ai.scenarios.parameters import Parameters
from contracts.diagnosis import Diagnosis
from contracts.errors import AssayError
from contracts.telemetry import Telemetry

HOOK: Final = "net_rx"
DOMINANT: Final = 0.40
SCAN_PORTS: Final = 16
PROTOCOL_SHARE: Final = 0.70
LATENCY_OCTAVES: Final = 6
PACKETS_MIN: Final = 32

DEFAULT_POLICIES: Final[Mapping[str, Policy]] = {
    "flood": Policy("source", "packets", 0, 256, limit=32, window_ms=100, action="drop"),
    "portscan": Policy("source", "ports", 0, 256, limit=16, window_ms=1000, action="drop"),
    "hotport": Policy("dport", "packets", 0, 256),
    "latency": Policy("source", "gap", 0, 256, scale="us", buckets=24),
}
"""The default policies."""


class NoBottleneck(AssayError):
    """The telemetry shows no problem that a program could solve."""


class PolicyRefused(NoBottleneck):
    """The operator's policy does not fit the bottleneck; no other program is written instead."""


def diagnose(telemetry: Telemetry, policy: Policy | None = None) -> Diagnosis:
    """The bottleneck in the telemetry, and the parameters of a program against it.

    Without a `policy` the bottleneck's default policy applies. Raises PolicyRefused for one that does not fit the
    bottleneck or its traffic, NoBottleneck if no row of the table above matches or there were fewer than 32 packets.
    """
    total = telemetry.rx_packets
    if total < PACKETS_MIN:
        raise NoBottleneck(
            "not enough traffic for a diagnosis",
            expected=f"{PACKETS_MIN} packets or more",
            seen=str(total),
            do="replay a longer workload",
        )
    bottleneck, found = _bottleneck(telemetry)
    chosen, share = _filter(telemetry)
    named = {"any": "mixed protocols", "syn": f"tcp syn {share}%"}.get(chosen, f"{chosen} {share}%")
    parameters = _parameters(bottleneck, chosen, policy)
    return Diagnosis(bottleneck, HOOK, f"{named}, {found}", parameters.as_text())


def _bottleneck(t: Telemetry) -> tuple[str, str]:
    source = t.top_sources[0] if t.top_sources else None
    port = t.top_ports[0] if t.top_ports else None
    if source and source.packets >= DOMINANT * t.rx_packets:
        share = f"top source {_percent(source.packets, t.rx_packets)}%"
        if source.distinct_ports >= SCAN_PORTS:
            return "portscan", f"{share}, {source.distinct_ports} ports"
        return "flood", share
    if port and port.packets >= DOMINANT * t.rx_packets:
        return "hotport", f"top port {_percent(port.packets, t.rx_packets)}%"
    seen = [i for i, count in enumerate(t.gap_hist) if count]
    octaves = seen[-1] - seen[0] + 1 if seen else 0
    if octaves >= LATENCY_OCTAVES:
        return "latency", f"gaps over {octaves} octaves"
    raise NoBottleneck(
        "the telemetry shows no bottleneck",
        expected=f"a source or port with {DOMINANT:.0%} of the packets, or gaps over {LATENCY_OCTAVES} octaves",
        seen=f"top source {source.packets if source else 0}, top port {port.packets if port else 0} of "
        f"{t.rx_packets} packets, gaps over {octaves} octaves",
        do="observe for longer, or deploy nothing",
    )


def _filter(t: Telemetry) -> tuple[str, int]:
    for name, count in (("syn", t.tcp_syn), ("tcp", t.tcp), ("udp", t.udp), ("icmp", t.icmp)):
        if count >= PROTOCOL_SHARE * t.rx_packets:
            return name, _percent(count, t.rx_packets)
    return "any", 0


def _parameters(bottleneck: str, chosen: str, policy: Policy | None) -> Parameters:
    """The choices of the policy or, without one, of the default policy; never a mix. Raises PolicyRefused."""
    asked = DEFAULT_POLICIES[bottleneck] if policy is None else policy
    made = Parameters(
        family=bottleneck,
        key=asked.key,
        filter=chosen,
        min_length=asked.min_length,
        measure=asked.measure,
        entries=asked.entries,
        limit=asked.limit,
        window_ms=asked.window_ms,
        action=asked.action,
        scale=asked.scale,
        buckets=asked.buckets,
    )
    try:
        made.check()
    except ValueError as error:
        whose = "the default policy" if policy is None else "the operator's policy"
        raise PolicyRefused(
            f"{whose} does not fit a {bottleneck} of {chosen} traffic",
            expected="choices that a program against it supports (listed in ai/scenarios/parameters.py)",
            seen=str(error),
            do="set a policy for this bottleneck, or none to use the default",
        ) from error
    return made


def _percent(part: int, whole: int) -> int:
    return round(100 * part / whole)
