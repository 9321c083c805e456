"""What a correct program does: a model of each family's semantics on a trace, and the check of a trial.

The oracle never looks at a program. It computes the verdict of every packet and the final contents of every map from
the parameters alone, with Python integers wrapped to the widths of the map values.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

from ai.scenarios import packets
from ai.scenarios.parameters import Parameters
from ai.scenarios.programs import HISTOGRAM, MARKED, map_name
from contracts.diagnosis import TrialObservation, TrialResult
from contracts.trace import Trace

DROP, PASS, TX = 1, 2, 3
VERDICT_NAMES = {0: "XDP_ABORTED", DROP: "XDP_DROP", PASS: "XDP_PASS", TX: "XDP_TX"}
_MASK64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Expectation:
    """Expected verdict of every packet, and expected contents of maps by name.

    Keys and values are raw bytes, little-endian. A map in `arrays` lists its non-zero entries; its others are zero.
    """

    verdicts: tuple[int, ...]
    maps: Mapping[str, Mapping[bytes, bytes]]
    arrays: frozenset[str] = field(default_factory=frozenset)


def expect(parameters: Parameters, trace: Trace) -> Expectation:
    """What a correct program for `parameters` does on `trace`, starting with empty maps."""
    state: dict[int, list[int]] = {}
    marked = 0
    histogram: dict[int, int] = {}
    verdicts = []
    for packet in trace.packets:
        flow = packets.parse(packet.frame)
        verdict = PASS
        if flow is not None and selects(parameters, flow):
            group = group_of(parameters.key, flow)
            if parameters.family == "latency":
                _gap(parameters, state, histogram, group, packet.arrival_ns)
            elif parameters.family == "hotport":
                _account(parameters, state, group, flow)
            elif _over_limit(parameters, state, group, flow, packet.arrival_ns):
                if parameters.action == "mark":
                    marked += 1
                else:
                    verdict = DROP if parameters.action == "drop" else TX
        verdicts.append(verdict)
    key_format = "<Q" if parameters.key == "pair" else "<I"
    main = {
        struct.pack(key_format, group): struct.pack(f"<{len(value)}Q", *value)
        for group, value in state.items()
    }
    maps: dict[str, Mapping[bytes, bytes]] = {map_name(parameters): main}
    arrays = {map_name(parameters)} if parameters.key == "proto" else set()
    if parameters.action == "mark":
        maps[MARKED] = {struct.pack("<I", 0): struct.pack("<Q", marked)} if marked else {}
        arrays.add(MARKED)
    if parameters.family == "latency":
        maps[HISTOGRAM] = {struct.pack("<I", slot): struct.pack("<Q", n) for slot, n in histogram.items()}
        arrays.add(HISTOGRAM)
    return Expectation(tuple(verdicts), maps, frozenset(arrays))


def selects(parameters: Parameters, flow: packets.Flow) -> bool:
    """Whether a packet is counted: protocol filter and minimum length."""
    wanted = {"tcp": packets.TCP, "udp": packets.UDP, "icmp": packets.ICMP}
    if parameters.filter == "syn":
        if not flow.flags & packets.SYN:
            return False
    elif parameters.filter != "any" and flow.proto != wanted[parameters.filter]:
        return False
    return flow.length >= parameters.min_length


def group_of(key: str, flow: packets.Flow) -> int:
    """The key that packets are grouped by."""
    return {
        "all": 0,
        "source": flow.saddr,
        "dest": flow.daddr,
        "subnet": flow.saddr >> 8,
        "pair": flow.saddr << 32 | flow.daddr,
        "dport": flow.dport,
        "sport": flow.sport,
        "proto": flow.proto,
    }[key]


def hash_bit(value: int) -> int:
    """One bit of 64 for a 32-bit value, selected like `hash_bit` of assay.h."""
    return 1 << (((value * 0x9E3779B1) & 0xFFFFFFFF) >> 26)


def _over_limit(p: Parameters, state: dict[int, list[int]], group: int, flow: packets.Flow, now: int) -> bool:
    amount = {
        "packets": 1,
        "bytes": flow.length,
        "ports": hash_bit(flow.dport),
        "hosts": hash_bit(flow.daddr),
    }[p.measure]
    bits = p.family == "portscan"
    if group not in state:
        state[group] = [now, amount] if p.window_ms else [amount]
        return False
    value = state[group]
    if p.window_ms and now - value[0] >= p.window_ms * 1_000_000:
        value[0], value[-1] = now, 0
    value[-1] = value[-1] | amount if bits else (value[-1] + amount) & _MASK64
    return (value[-1].bit_count() if bits else value[-1]) > p.limit


def _account(p: Parameters, state: dict[int, list[int]], group: int, flow: packets.Flow) -> None:
    amounts = {"packets": (1,), "bytes": (flow.length,), "both": (1, flow.length)}[p.measure]
    value = state.setdefault(group, [0] * len(amounts))
    for i, amount in enumerate(amounts):
        value[i] = (value[i] + amount) & _MASK64


def _gap(p: Parameters, state: dict[int, list[int]], histogram: dict[int, int], group: int, now: int) -> None:
    if group in state:
        gap = (now - state[group][0]) // {"ns": 1, "us": 1_000, "ms": 1_000_000}[p.scale]
        slot = min(max(gap.bit_length() - 1, 0), p.buckets - 1)
        histogram[slot] = histogram.get(slot, 0) + 1
    state[group] = [now]


def judge(expected: Expectation, observed: TrialObservation) -> TrialResult:
    """Compares verdicts, then maps; the reason describes the first difference, suitable for a repair prompt."""
    if len(observed.verdicts) != len(expected.verdicts):
        return TrialResult(False, f"{len(observed.verdicts)} verdicts for {len(expected.verdicts)} packets")
    for name in expected.maps:
        if name not in observed.maps:
            return TrialResult(False, f"map {name} is missing")
    wrong = [i for i, (a, b) in enumerate(zip(observed.verdicts, expected.verdicts, strict=True)) if a != b]
    if wrong:
        seen, want_verdict = observed.verdicts[wrong[0]], expected.verdicts[wrong[0]]
        return TrialResult(
            False,
            f"packet {wrong[0]}: expected {VERDICT_NAMES[want_verdict]}, "
            f"got {VERDICT_NAMES.get(seen, str(seen))} ({len(wrong)} wrong)",
        )
    for name, want in expected.maps.items():
        contents = observed.maps[name]
        if name in expected.arrays:
            contents = {key: value for key, value in contents.items() if any(value)}
        reason = _map_difference(name, want, contents)
        if reason:
            return TrialResult(False, reason)
    return TrialResult(True)


def _map_difference(name: str, want: Mapping[bytes, bytes], got: Mapping[bytes, bytes]) -> str:
    if len(got) != len(want):
        return f"map {name}: expected {len(want)} entries, got {len(got)}"
    for key, value in want.items():
        if key not in got:
            return f"map {name}: key {_number(key)} is missing"
        if got[key] != value:
            if len(got[key]) != len(value):
                return f"map {name}: expected values of {len(value)} bytes, got {len(got[key])}"
            return f"map {name}: key {_number(key)} expected {_words(value)}, got {_words(got[key])}"
    return ""


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")


def _words(raw: bytes) -> str:
    return " ".join(str(_number(raw[i : i + 8])) for i in range(0, len(raw), 8))
