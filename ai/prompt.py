"""The model's prompt: a diagnosis as a few short lines, and earlier refusals.

The compact form is for the shipped model, which is trained on it. `explained` is the longer natural-language form for
any other model.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ai.scenarios.parameters import Parameters
from ai.scenarios.programs import HISTOGRAM, MARKED, PREFIX, map_name, reference, value_type
from ai.tokens import WORDS
from contracts.diagnosis import Diagnosis, Refusal

REFUSAL_TEXT_MAX: Final = 160
"""Maximum number of characters of a refusal's reason in the prompt."""

_FILTER_WORDS: Final = {
    "any": "every IPv4 packet",
    "tcp": "TCP packets only",
    "udp": "UDP packets only",
    "icmp": "ICMP packets only",
    "syn": "TCP packets with the SYN flag only",
}
_KEY_WORDS: Final = {
    "all": "one group for all packets (key 0)",
    "source": "IPv4 source address (f.saddr)",
    "dest": "IPv4 destination address (f.daddr)",
    "subnet": "the /24 network of the source (f.saddr >> 8)",
    "pair": "source and destination ((u64)f.saddr << 32 | f.daddr, a u64 key)",
    "dport": "destination port (f.dport)",
    "sport": "source port (f.sport)",
    "proto": "IP protocol (f.proto)",
}
_MEASURE_WORDS: Final = {
    "packets": "packets",
    "bytes": "bytes (f.len)",
    "ports": "distinct destination ports (set of hash_bit(f.dport), counted with popcount)",
    "hosts": "distinct destinations (set of hash_bit(f.daddr), counted with popcount)",
    "both": "packets and bytes",
    "gap": "time between packets, as a log2 histogram",
}
_ACTION_WORDS: Final = {
    "drop": "return XDP_DROP",
    "tx": "return XDP_TX",
    "mark": f"add 1 to entry 0 of ARRAY({MARKED}, u64, 1) and return XDP_PASS",
}
_EXAMPLES: Final = (
    Parameters("hotport", "proto", "udp", 96, "packets", 256),
    Parameters("flood", "dest", "syn", 0, "packets", 128, limit=20, action="tx"),
)
"""Examples for a model that was not trained here; never of the requested family."""


def compact(diagnosis: Diagnosis, feedback: Sequence[Refusal] = ()) -> str:
    """The prompt of the shipped model, without its end marker; contains only the latest refusal.

    Raises ValueError if the diagnosis lacks a parameter or has one outside the closed sets.
    """
    parameters = Parameters.from_text(diagnosis.bottleneck, diagnosis.parameters)
    text = compact_parameters(parameters, diagnosis.evidence)
    return text + refused(feedback[-1]) if feedback else text


def compact_parameters(p: Parameters, evidence: str) -> str:
    """`compact` from the parameters themselves (shared with training)."""
    lines = [
        f"bottleneck: {p.family}",
        f"evidence: {_unlike_choices(evidence)}",
        f"group by: {p.key}",
        f"filter: {p.filter}",
    ]
    if p.min_length:
        lines.append(f"shortest: {p.min_length} bytes")
    lines.append(f"measure: {p.measure}")
    if p.limit:
        lines.append(f"limit: {p.limit} in {p.window_ms} ms" if p.window_ms else f"limit: {p.limit} in total")
        lines.append(f"action: {p.action}")
    if p.buckets:
        lines.append(f"histogram: {p.buckets} of {p.scale}")
    lines.append(f"entries: {p.entries}")
    return "\n".join(lines) + "\n"


def _unlike_choices(evidence: str) -> str:
    """The evidence with each figure that equals a choice (`udp 96%`, `96 bytes`) changed by one.

    A choice is one token that the model copies into the program; it would copy an equal figure by mistake.
    """

    def moved(figure: re.Match[str]) -> str:
        number = int(figure[0])
        return str(number - 1 if number in (64, 100) else number + 1) if figure[0] in WORDS else figure[0]

    return re.sub(r"\d+", moved, evidence)


def refused(refusal: Refusal) -> str:
    """A refusal after the prompt: stage, reason truncated to one line, then the program without its include."""
    reason = " ".join(refusal.reason.split())[:REFUSAL_TEXT_MAX]
    return f"refused by {refusal.stage}: {reason}\n{refusal.source.removeprefix(PREFIX)}"


def explained(diagnosis: Diagnosis, feedback: Sequence[Refusal] = ()) -> str:
    """The prompt for a model that was not trained here: the task in words, with the interface and an example."""
    p = Parameters.from_text(diagnosis.bottleneck, diagnosis.parameters)
    kind = (
        f"ARRAY({map_name(p)}, {value_type(p)}, 256)"
        if p.key == "proto"
        else (f"HASH({map_name(p)}, {'u64' if p.key == 'pair' else 'u32'}, {value_type(p)}, {p.entries})")
    )
    lines = [
        "Write an eBPF program in C for the XDP hook net_rx. Use only assay.h: HASH and ARRAY declare maps;",
        "parse_flow(ctx, &f) fills struct flow {saddr, daddr, sport, dport, proto, flags, len} or returns 0;",
        "bpf_map_lookup_elem, bpf_map_update_elem, bpf_ktime_get_ns, popcount, log2_floor, hash_bit. No loops.",
        f"Problem: {diagnosis.bottleneck} ({diagnosis.evidence}).",
        f"Consider {_FILTER_WORDS[p.filter]}"
        + (f" of at least {p.min_length} bytes." if p.min_length else "."),
        f"Group packets by {_KEY_WORDS[p.key]} in the map {kind}. Measure {_MEASURE_WORDS[p.measure]}.",
    ]
    if p.limit:
        window = f"within {p.window_ms} ms (struct window {{start, count}})" if p.window_ms else "in total"
        lines.append(f"When a group exceeds {p.limit} {window}: {_ACTION_WORDS[p.action]}.")
    if p.buckets:
        lines.append(f"Count log2 of the gap in {p.scale} in ARRAY({HISTOGRAM}, u64, {p.buckets}).")
    lines.append("Everything else returns XDP_PASS.")
    example = _EXAMPLES[p.family == "hotport"]
    lines.append(
        f"As an example of the style, a program for another problem ({example.family}):\n{reference(example)}"
    )
    lines.extend(f"An earlier program was {refused(refusal)}" for refusal in feedback[-1:])
    lines.append("Write the whole program, code only.")
    return "\n".join(lines) + "\n"
