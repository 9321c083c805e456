"""The reference program of a situation: the restricted C that an engineer would write for its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ai.scenarios.parameters import Parameters

PREFIX: Final = "#include <assay.h>\n\n"
EMPTY: Final = PREFIX + 'SEC("net_rx")\nint prog(struct xdp_md *ctx)\n{\n\treturn XDP_PASS;\n}\n'

KEY_EXPRESSION: Final[Mapping[str, tuple[str, str]]] = {
    "all": ("u32", "0"),
    "source": ("u32", "f.saddr"),
    "dest": ("u32", "f.daddr"),
    "subnet": ("u32", "f.saddr >> 8"),
    "pair": ("u64", "(u64)f.saddr << 32 | f.daddr"),
    "dport": ("u32", "f.dport"),
    "sport": ("u32", "f.sport"),
    "proto": ("u32", "f.proto"),
}
MAP_PREFIX: Final[Mapping[tuple[str, str], str]] = {
    ("flood", "packets"): "rate",
    ("flood", "bytes"): "volume",
    ("portscan", "ports"): "ports",
    ("portscan", "hosts"): "hosts",
    ("hotport", "packets"): "packets",
    ("hotport", "bytes"): "bytes",
    ("hotport", "both"): "tally",
    ("latency", "gap"): "last",
}
FILTER_LINE: Final[Mapping[str, str]] = {
    "any": "",
    "tcp": "f.proto != IPPROTO_TCP",
    "udp": "f.proto != IPPROTO_UDP",
    "icmp": "f.proto != IPPROTO_ICMP",
    "syn": "!(f.flags & TCP_SYN)",
}
ACTION_CODE: Final[Mapping[str, str]] = {"drop": "XDP_DROP", "tx": "XDP_TX", "mark": ""}
MARKED: Final = "marked"
HISTOGRAM: Final = "gap_log2"


def map_name(parameters: Parameters) -> str:
    """Name of the program's main map; at most 15 characters."""
    return f"{MAP_PREFIX[parameters.family, parameters.measure]}_{parameters.key}"


def value_type(parameters: Parameters) -> str:
    """C type of the main map's values."""
    if parameters.window_ms:
        return "struct window"
    return "struct tally" if parameters.measure == "both" else "u64"


def reference(parameters: Parameters) -> str:
    """The program's source, with its `#include`, in the style that the model is trained on."""
    key_type, key = KEY_EXPRESSION[parameters.key]
    lines = [*_maps(parameters, key_type), "", 'SEC("net_rx")', "int prog(struct xdp_md *ctx)", "{"]
    lines += ["\tstruct flow f;", "", "\tif (!parse_flow(ctx, &f))", "\t\treturn XDP_PASS;"]
    if FILTER_LINE[parameters.filter]:
        lines += [f"\tif ({FILTER_LINE[parameters.filter]})", "\t\treturn XDP_PASS;"]
    if parameters.min_length:
        lines += [f"\tif (f.len < {parameters.min_length})", "\t\treturn XDP_PASS;"]
    lines.append(f"\t{key_type} key = {key};")
    body = {"flood": _flood, "portscan": _portscan, "hotport": _hotport, "latency": _latency}[
        parameters.family
    ]
    lines += body(parameters)
    lines += ["\treturn XDP_PASS;", "}"]
    return PREFIX + "\n".join(lines) + "\n"


def _maps(p: Parameters, key_type: str) -> list[str]:
    if p.family == "hotport" and p.key == "proto":
        maps = [f"ARRAY({map_name(p)}, {value_type(p)}, 256);"]
    else:
        maps = [f"HASH({map_name(p)}, {key_type}, {value_type(p)}, {p.entries});"]
    if p.action == "mark":
        maps.append(f"ARRAY({MARKED}, u64, 1);")
    if p.family == "latency":
        maps.append(f"ARRAY({HISTOGRAM}, u64, {p.buckets});")
    return maps


def _lookup(p: Parameters, name: str) -> str:
    pointer = "u64" if value_type(p) == "u64" else value_type(p)
    return f"\t{pointer} *{name} = bpf_map_lookup_elem(&{map_name(p)}, &key);"


def _insert(p: Parameters, value: str) -> list[str]:
    return [
        f"\t\tbpf_map_update_elem(&{map_name(p)}, &key, &{value}, BPF_ANY);",
        "\t\treturn XDP_PASS;",
        "\t}",
    ]


def _act(p: Parameters, over: str) -> list[str]:
    if p.action != "mark":
        return [f"\tif ({over} > {p.limit})", f"\t\treturn {ACTION_CODE[p.action]};"]
    return [
        f"\tif ({over} > {p.limit}) {{",
        "\t\tu32 slot = 0;",
        f"\t\tu64 *hits = bpf_map_lookup_elem(&{MARKED}, &slot);",
        "\t\tif (hits)",
        "\t\t\t*hits += 1;",
        "\t}",
    ]


def _renew(p: Parameters) -> list[str]:
    return [
        f"\tif (now - w->start >= {p.window_ms} * NS_PER_MS) {{",
        "\t\tw->start = now;",
        "\t\tw->count = 0;",
        "\t}",
    ]


def _flood(p: Parameters) -> list[str]:
    amount = "1" if p.measure == "packets" else "f.len"
    if not p.window_ms:
        lines = [_lookup(p, "n"), "\tif (!n) {", f"\t\tu64 first = {amount};", *_insert(p, "first")]
        return [*lines, f"\t*n += {amount};", *_act(p, "*n")]
    lines = ["\tu64 now = bpf_ktime_get_ns();", _lookup(p, "w")]
    lines += [
        "\tif (!w) {",
        f"\t\tstruct window first = {{now, {amount}}};",
        *_insert(p, "first"),
        *_renew(p),
    ]
    return [*lines, f"\tw->count += {amount};", *_act(p, "w->count")]


def _portscan(p: Parameters) -> list[str]:
    bit = "f.dport" if p.measure == "ports" else "f.daddr"
    lines = [f"\tu64 bit = hash_bit({bit});"]
    if not p.window_ms:
        lines += [_lookup(p, "seen"), "\tif (!seen) {", *_insert(p, "bit")]
        return [*lines, "\t*seen |= bit;", *_act(p, "popcount(*seen)")]
    lines += ["\tu64 now = bpf_ktime_get_ns();", _lookup(p, "w")]
    lines += ["\tif (!w) {", "\t\tstruct window first = {now, bit};", *_insert(p, "first"), *_renew(p)]
    return [*lines, "\tw->count |= bit;", *_act(p, "popcount(w->count)")]


def _hotport(p: Parameters) -> list[str]:
    amount = "1" if p.measure == "packets" else "f.len"
    if p.measure == "both":
        first, bump = "struct tally first = {1, f.len};", ["\tn->packets += 1;", "\tn->bytes += f.len;"]
    else:
        first, bump = f"u64 first = {amount};", [f"\t*n += {amount};"]
    if p.key == "proto":
        return [_lookup(p, "n"), "\tif (!n)", "\t\treturn XDP_PASS;", *bump]
    return [_lookup(p, "n"), "\tif (!n) {", f"\t\t{first}", *_insert(p, "first"), *bump]


def _latency(p: Parameters) -> list[str]:
    gap = "now - *last" if p.scale == "ns" else f"(now - *last) / NS_PER_{p.scale.upper()}"
    top = p.buckets - 1
    lines = ["\tu64 now = bpf_ktime_get_ns();", _lookup(p, "last"), "\tif (!last) {", *_insert(p, "now")]
    lines += [
        f"\tu32 slot = log2_floor({gap});",
        "\t*last = now;",
        f"\tif (slot > {top})",
        f"\t\tslot = {top};",
    ]
    lines += [f"\tu64 *n = bpf_map_lookup_elem(&{HISTOGRAM}, &slot);", "\tif (n)", "\t\t*n += 1;"]
    return lines
