"""Bytes of maps as the values that a program's C types say."""

from __future__ import annotations

import struct

import pytest

from harness.bpf.btf_values import MapTypes, map_types, text_of
from harness.bpf.compile import compile_c

SOURCE = """\
#include "assay.h"

enum colour { RED = 1, GREEN = 5, NEGATIVE = -2 };
struct point { short x; signed char y; };
union either { u32 word; u8 byte[4]; };
struct everything {
    u64 big;
    s32 minus;
    enum colour colour;
    struct point points[2];
    char name[8];
    u8 mac[6];
    union either either;
    u32 low : 3, high : 5;
    int sign : 4;
    _Bool yes;
    struct { u16 port; };
};
struct pair { u32 address; u16 port, pad; };
HASH(table, struct pair, struct everything, 4);
ARRAY(plain, u64, 4);
u32 total;
static const u32 limits[2] = {7, 9};

SEC("net_rx") int prog(struct xdp_md *ctx)
{
    struct pair key = {1, 2, 0};
    struct everything *found = bpf_map_lookup_elem(&table, &key);
    u32 index = 1;
    u64 *slot = bpf_map_lookup_elem(&plain, &index);
    if (found && slot) {
        total += limits[ctx->ingress_ifindex & 1];
        found->big += *slot;
    }
    return XDP_PASS;
}
"""

VALUE = b"".join(
    (
        struct.pack("<QiI", 2**63, -7, 5),
        struct.pack("<hbxhbx", -3, -4, 300, 100),
        b"veth0\0\0\0",
        bytes.fromhex("020000000001"),
        bytes(2),
        struct.pack("<I", 0x04030201),
        struct.pack("<H", 5 | 17 << 3 | 0xE << 8),
        b"\1\0",
        struct.pack("<H", 443),
    )
)


@pytest.fixture(scope="module")
def types() -> dict[str, MapTypes]:
    return map_types(compile_c(SOURCE).elf)


def test_a_struct_of_every_kind_of_member_is_shown_as_c_has_it(types: dict[str, MapTypes]) -> None:
    value = types["table"].value_of(VALUE.ljust(72, b"\0"))
    assert value == {
        "big": 2**63,
        "minus": -7,
        "colour": "GREEN",
        "points": [{"x": -3, "y": -4}, {"x": 300, "y": 100}],
        "name": "veth0",
        "mac": [2, 0, 0, 0, 0, 1],
        "either": {"word": 0x04030201, "byte": [1, 2, 3, 4]},
        "low": 5,
        "high": 17,
        "sign": -2,
        "yes": True,
        "member 11": {"port": 443},
    }
    assert ".points = {{.x = -3, .y = -4}, {.x = 300, .y = 100}}, .name = veth0, .mac = {2, 0" in text_of(
        value
    )
    assert types["table"].key_of(struct.pack("<IHH", 1, 2, 0)) == {"address": 1, "port": 2, "pad": 0}


def test_enums_without_a_name_and_integers_stand_as_numbers(types: dict[str, MapTypes]) -> None:
    unknown = VALUE[:12] + struct.pack("<I", 77) + VALUE[16:]
    value = types["table"].value_of(unknown.ljust(72, b"\0"))
    assert isinstance(value, dict)
    assert value["colour"] == 77
    negative = VALUE[:12] + struct.pack("<i", -2) + VALUE[16:]
    value = types["table"].value_of(negative.ljust(72, b"\0"))
    assert isinstance(value, dict)
    assert value["colour"] == "NEGATIVE"
    assert types["plain"].value_of(struct.pack("<Q", 12)) == 12


def test_globals_and_constants_are_shown_by_name(types: dict[str, MapTypes]) -> None:
    assert types[".bss"].value_of(struct.pack("<I", 40)) == {"total": 40}
    (constants,) = (one for name, one in types.items() if name.startswith(".rodata"))
    assert constants.value_of(struct.pack("<II", 7, 9)) == {"limits": [7, 9]}


def test_bytes_that_are_too_few_and_maps_without_types_stand_in_hexadecimal(
    types: dict[str, MapTypes],
) -> None:
    assert types["table"].value_of(b"\x01\x02") == "0102"
    assert MapTypes(None).value_of(b"\xff") == "ff"
    assert map_types(b"no object") == {}
