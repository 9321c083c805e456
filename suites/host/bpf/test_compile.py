"""clang, as somebody who writes a program by hand meets it: real names, her own headers, and what is not C's."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from contracts.errors import ConfigError, ProgramRejected
from contracts.program import Hook, MapDef, MapType
from harness.bpf.compile import compile_c, compile_file
from harness.bpf.elf import read_program
from harness.bpf.native import Engine

HEAD = "#include <assay.h>\n"


def refused(source: str) -> ProgramRejected:
    with pytest.raises(ProgramRejected) as caught:
        compile_c(HEAD + source)
    assert caught.value.stage == "compile"
    return caught.value


def test_messages_name_the_file_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.c").write_text(
        HEAD + 'SEC("net_rx") int p(struct xdp_md *c)\n{\n    return nothing;\n}\n'
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProgramRejected) as caught:
        compile_file(Path("mine.c"))
    assert caught.value.reason.startswith("mine.c:4:12: error: use of undeclared identifier 'nothing'")
    assert "return nothing;" in caught.value.reason, "with the line itself"


def test_debug_information_names_the_file_and_has_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "mine.c"
    path.write_text(HEAD + 'SEC("net_rx") int p(struct xdp_md *c)\n{\n    return 1 + c->rx_queue_index;\n}\n')
    program = read_program(compile_file(path).elf)
    place = program.place_of(program.slots - 2)
    assert place is not None
    assert (place.file, place.line, place.text) == (str(path), 4, "    return 1 + c->rx_queue_index;")


def test_a_header_beside_the_file_is_found_and_its_errors_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "mine.h").write_text("#define ANSWER 3\n")
    (folder / "p.c").write_text(HEAD + '#include "mine.h"\nSEC("test") int p(void *c) { return ANSWER; }\n')
    monkeypatch.chdir(tmp_path)
    assert read_program(compile_file(Path("src/p.c")).elf).name == "p"
    (folder / "mine.h").write_text("#define ANSWER 3\nstatic const int broken = nothing;\n")
    with pytest.raises(ProgramRejected, match=r"seen: In file included from src/p\.c:2:\nsrc/mine\.h:2:"):
        compile_file(Path("src/p.c"))


def test_a_file_whose_name_looks_like_an_option_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-v.c").write_text(HEAD + 'SEC("test") int p(void *c) { return 3; }\n')
    monkeypatch.chdir(tmp_path)
    assert read_program(compile_file(Path("-v.c")).elf).name == "p"


def test_a_file_that_is_not_there_is_the_users_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        compile_file(tmp_path / "none.c")


@pytest.mark.parametrize("header", ["stdio.h", "string.h", "linux/netdevice.h", "sys/types.h", "net/if.h"])
def test_headers_of_the_machine_are_not_used(header: str) -> None:
    error = refused(f"#include <{header}>\n")
    assert f"fatal error: '{header}' file not found" in error.reason
    assert "those of this machine are not used" in error.do


@pytest.mark.parametrize(
    ("source", "message", "advice"),
    [
        (
            'SEC("test") u64 p(u8 *m, u64 n) { u8 b[64]; __builtin_memcpy(b, m, n & 63); return b[3]; }',
            "built-in function 'memcpy'",
            "a size that is constant and small",
        ),
        (
            'SEC("test") u64 p(u8 *m, u64 n) { __builtin_memset(m, 0, n); return 3; }',
            "built-in function 'memset'",
            "a size that is constant and small",
        ),
        (
            'SEC("test") u64 p(double *m, u64 n) { return m[0] * 2.0 > 1.0; }',
            "built-in function '__",
            "no floating point",
        ),
        (
            'SEC("test") u64 p(u64 *m, u64 n) { return (u64)(((__int128)m[0] * m[1]) >> 64); }',
            "__multi3",
            "64-bit numbers",
        ),
        (
            'SEC("test") u64 p(u8 *m, u64 n) { volatile u8 b[600]; b[n] = 1; return b[3]; }',
            "stack limit",
            "within 512 bytes",
        ),
        (
            'SEC("test") u64 p(u8 *m, u64 n) { volatile u8 b[n]; b[0] = 1; return b[0]; }',
            "dynamic stack",
            "constant size",
        ),
        (
            'SEC("test") u64 p(u64 *m, u64 n) { bpf_printk("%d %d %d %d", m[0], m[1], m[2], m[3]); return 0; }',
            "too many arguments",
            "at most three numbers",
        ),
        (
            'SEC("test") u64 p(u8 *m, u64 n) { return bpf_redirect_map(m, n); }',
            "undeclared function 'bpf_redirect_map'",
            "this kernel has no helper bpf_redirect_map; it has bpf_map_lookup_elem",
        ),
        (
            'SEC("test") u64 p(u8 *m, u64 n) { return __sync_fetch_and_nand((u64 *)m, n); }',
            "Cannot select",
            "__sync_fetch_and_add",
        ),
        ('SEC("test") uint32_t p(u8 *m, u64 n) { return 0; }', "unknown type name 'uint32_t'", "<stdint.h>"),
    ],
    ids=lambda one: one[35:70],
)
def test_what_clang_cannot_do_for_a_program_comes_with_what_to_do(
    source: str, message: str, advice: str
) -> None:
    error = refused(source)
    assert message in error.reason
    assert advice in error.do
    assert "zig" not in error.reason, "clang says nothing of itself"
    assert "/tmp" not in error.reason


def test_many_messages_are_cut_with_the_number_of_those_left() -> None:
    error = refused("\n".join(f'#warning "{n}"' for n in range(100)) + "\n#error end\n")
    assert len(error.reason.splitlines()) == 41
    assert error.reason.endswith(" more lines)")


LIBBPF = """#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <linux/tcp.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>

struct counters {
    __u64 packets;
    uint64_t bytes;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, __u32);
    __type(value, struct counters);
} per_source SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __uint(key_size, sizeof(__u32));
    __uint(value_size, sizeof(__u64));
} total SEC(".maps");

static __always_inline bool is_udp(const struct iphdr *ip)
{
    return ip->version == 4 && ip->protocol == IPPROTO_UDP;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
    void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
    struct ethhdr *eth = data;
    struct iphdr *ip = (void *)(eth + 1);
    struct udphdr *udp = (void *)(ip + 1);

    if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || !is_udp(ip))
        return XDP_PASS;
    __u32 key = ip->saddr, zero = 0;
    struct counters *found = bpf_map_lookup_elem(&per_source, &key), first = {1, bpf_ntohs(ip->tot_len)};
    if (found)
        __sync_fetch_and_add(&found->packets, 1);
    else
        bpf_map_update_elem(&per_source, &key, &first, BPF_ANY);
    __u64 *all = bpf_map_lookup_elem(&total, &zero);
    if (all != NULL)
        *all += 1;
    bpf_printk("port %d of %x", bpf_ntohs(udp->dest), bpf_ntohl(ip->saddr));
    return XDP_DROP;
}

char LICENSE[] SEC("license") = "GPL";
"""


def test_a_program_written_for_libbpf_runs_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "count.bpf.c"
    path.write_text(LIBBPF)
    compiled = compile_file(path)
    assert compiled.diagnostics == ""
    program = read_program(compiled.elf)
    assert program.hook is Hook.NET_RX
    assert program.maps[:2] == (
        MapDef("per_source", MapType.HASH, 4, 16, 64),
        MapDef("total", MapType.ARRAY, 4, 8, 1),
    )
    loaded = Engine().load(program)
    packet = bytearray(64)
    packet[12:15], packet[16:18], packet[23] = b"\x08\x00\x45", b"\x00\x32", 17
    packet[26:30], packet[36:38] = bytes([10, 0, 0, 7]), b"\x00\x35"
    result = loaded.interpret(bytes(packet))
    assert (result.r0, result.trace) == (1, ("port 53 of a000007",))
    loaded.interpret(bytes(packet))
    value = struct.pack("<QQ", 2, 0x32)
    assert dict(loaded.map("per_source").items()) == {bytes([10, 0, 0, 7]): value}
    assert loaded.map("total").lookup(bytes(4)) == (2).to_bytes(8, "little")


def test_the_own_header_and_linuxs_go_together() -> None:
    for first, second in (("assay.h", "linux/in.h"), ("linux/in.h", "assay.h")):
        source = f"#include <{first}>\n#include <{second}>\n#include <bpf/bpf_helpers.h>\n"
        compiled = compile_c(
            source + 'SEC("xdp") int p(struct xdp_md *c) { return IPPROTO_UDP + IPPROTO_ICMPV6; }\n'
        )
        assert compiled.diagnostics == ""
