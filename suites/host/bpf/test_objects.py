"""From C to a program: sections, maps, calls, constants, lines; and invalid objects."""

from __future__ import annotations

import random
import struct
import subprocess
import sys

import pytest

from contracts.errors import AssayError, ProgramRejected
from contracts.program import Hook, MapDef, MapFlags, MapType
from harness.bpf.compile import CompiledObject, compile_c
from harness.bpf.elf import read_program, read_programs
from harness.bpf.native import Engine, RunEnd, VerifyRejected

WHOLE = """
#include <assay.h>
HASH(counts, u32, struct tally, 256);
ARRAY(hits, u64, 4);
static const u32 limit[5] = {5, 6, 7, 8, 9};
static u64 total;
static __attribute__((noinline)) u64 mixed(u64 a, u64 b) { return a * b + (a >> 3); }
static __attribute__((noinline)) u64 twice(u64 a, u64 b) { return mixed(a, b) + mixed(b, a); }
SEC("net_rx") int prog(struct xdp_md *ctx)
{
	struct flow f;
	if (!parse_flow(ctx, &f))
		return XDP_PASS;
	total += 1;
	struct tally *t = bpf_map_lookup_elem(&counts, &f.saddr);
	if (!t) {
		struct tally first = {1, f.len};
		bpf_map_update_elem(&counts, &f.saddr, &first, BPF_ANY);
		return XDP_PASS;
	}
	t->packets++;
	t->bytes += f.len;
	return twice(t->packets, f.dport) > limit[f.proto & 3] ? XDP_DROP : XDP_PASS;
}
SEC("timer") int tick(void *ctx) { return 0; }
char _license[] SEC("license") = "GPL";
"""

PACKET = bytes(12) + b"\x08\x00\x45\0\0\x64" + bytes(5) + b"\x06" + bytes(2) + b"\x0a\0\0\1" + bytes(40)


@pytest.fixture(scope="module")
def whole() -> CompiledObject:
    return compile_c(WHOLE)


def test_a_whole_program_becomes_instructions_maps_and_lines(whole: CompiledObject) -> None:
    program = read_program(whole.elf, "prog")
    assert program.hook == Hook.NET_RX
    assert program.maps[:2] == (
        MapDef("counts", MapType.HASH, 4, 16, 256),
        MapDef("hits", MapType.ARRAY, 4, 8, 4),
    )
    frozen = [one for one in program.maps if one.flags == MapFlags.RDONLY_PROG]
    assert [one.init for one in frozen] == [struct.pack("<5I", 5, 6, 7, 8, 9)]
    assert MapDef(".bss", MapType.ARRAY, 4, 8, 1) in program.maps
    source = WHOLE.splitlines()
    assert all(0 <= slot < program.slots and 0 < line <= len(source) for slot, line in program.lines)
    assert any("t->bytes" in source[line - 1] for _, line in program.lines)


def test_each_section_is_a_program_of_its_hook(whole: CompiledObject) -> None:
    assert [(p.name, p.hook) for p in read_programs(whole.elf)] == [
        ("prog", Hook.NET_RX),
        ("tick", Hook.TIMER),
    ]


def test_the_program_counts_and_calls_as_its_source_says(engine: Engine, whole: CompiledObject) -> None:
    loaded = engine.load(read_program(whole.elf, "prog"))
    assert [loaded.interpret(PACKET).r0 for _ in range(2)] == [2, 2]
    packets, size = struct.unpack("<QQ", loaded.map("counts").lookup(b"\x01\0\0\x0a") or b"")
    assert (packets, size) == (2, 2 * (14 + 100))
    assert loaded.map(".bss").lookup(bytes(4)) == (2).to_bytes(8, "little")


def test_the_compiler_reports_its_cpu_time(whole: CompiledObject) -> None:
    assert whole.cpu_s > 0
    assert whole.wall_s > 0
    assert whole.source == WHOLE


def test_source_that_does_not_compile_is_refused_with_the_compilers_words() -> None:
    with pytest.raises(ProgramRejected, match=r"<stdin>:2:.*undeclared") as caught:
        compile_c('#include <assay.h>\nSEC("net_rx") int p(struct xdp_md *c) { return nothing; }\n')
    assert caught.value.stage == "compile"


BODY = "#include <assay.h>\n"

ACCEPTED = {
    "an offset from the header length": """
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	if (data + 34 > end) return 2;
	u32 hl = (data[14] & 15) * 4;
	if (hl < 20) return 2;
	u8 *l4 = data + 14 + hl;
	if (l4 + 8 > end) return 2;
	return *(u16 *)(l4 + 2) == 53 ? 1 : 2;
}""",
    "a bounded loop over the packet": """
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u32 sum = 0;
	for (int i = 0; i < 64; i++) {
		if (data + i + 1 > end) break;
		sum += data[i];
	}
	return sum & 3;
}""",
    "a switch": """
ARRAY(kinds, u64, 8);
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	if (data + 34 > end) return 2;
	u32 kind;
	switch (data[23]) {
	case 1: kind = 1; break;
	case 6: kind = 2; break;
	case 17: kind = 3; break;
	case 47: kind = 4; break;
	case 58: kind = 5; break;
	case 132: kind = 6; break;
	default: kind = 0;
	}
	u64 *n = bpf_map_lookup_elem(&kinds, &kind);
	if (n) __sync_fetch_and_add(n, 1);
	return kind == 4 ? 1 : 2;
}""",
    "signed division, sign extension and byte order": """
SEC("net_rx") int p(struct xdp_md *ctx) {
	signed char *data = (signed char *)(long)ctx->data, *end = (signed char *)(long)ctx->data_end;
	if (data + 16 > end) return 2;
	s64 a = data[0], b = *(short *)(data + 2), c = *(int *)(data + 4);
	return (a / (b | 1) + c % (a | 1) + __builtin_bswap64(c)) & 1 ? 1 : 2;
}""",
    "an array on the stack with a computed index": """
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u32 seen[16] = {};
	if (data + 32 > end) return 2;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 32; i++)
		seen[data[i] & 15] += 1;
	return seen[data[0] & 15] > 3 ? 1 : 2;
}""",
    "a map value with a computed offset": """
struct table { u64 slots[16]; };
ARRAY(tables, struct table, 1);
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u32 key = 0;
	if (data + 16 > end) return 2;
	struct table *t = bpf_map_lookup_elem(&tables, &key);
	if (!t) return 2;
	u32 at = data[5];
	if (at >= 16) return 1;
	t->slots[at]++;
	return t->slots[(at + 1) & 15] ? 1 : 2;
}""",
    "functions that share a structure on the stack": """
struct seen { u64 a, b; u32 c; };
static __attribute__((noinline)) int fill(struct xdp_md *ctx, struct seen *s) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	if (data + 20 > end) return 0;
	s->a = *(u64 *)data; s->b = *(u64 *)(data + 8); s->c = *(u32 *)(data + 16);
	return 1;
}
SEC("net_rx") int p(struct xdp_md *ctx) {
	struct seen s = {};
	if (!fill(ctx, &s)) return 2;
	return s.a > s.b && s.c ? 1 : 2;
}""",
    "options walked one by one": """
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
	u32 at = 54;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 10; i++) {
		if (at > 94) return 2;
		u8 *option = data + at;
		if (option + 2 > end) return 2;
		if (option[0] == 0) return 1;
		at += option[0] == 1 ? 1 : (option[1] & 15);
	}
	return 2;
}""",
}


@pytest.mark.parametrize("what", list(ACCEPTED))
def test_what_clang_makes_of_usual_programs_is_accepted(engine: Engine, what: str) -> None:
    loaded = engine.load(read_program(compile_c(BODY + ACCEPTED[what]).elf))
    rng = random.Random(what)
    for length in (0, 1, 14, 15, 16, 20, 32, 33, 34, 42, 54, 56, 64, 100, 1500):
        for packet in (bytes(length), rng.randbytes(length), (PACKET * 30)[:length]):
            result = loaded.interpret(packet)
            assert result.end is RunEnd.OK
            assert result.executed <= loaded.wcet


def test_a_packet_that_is_not_checked_is_refused_where_it_is_read(engine: Engine) -> None:
    source = BODY + 'SEC("net_rx") int p(struct xdp_md *c) { return *(u8 *)(long)c->data; }\n'
    with pytest.raises(VerifyRejected, match="data_end"):
        engine.load(read_program(compile_c(source).elf))


META = """#include <assay.h>
SEC("net_rx") int p(struct xdp_md *ctx) {
	u8 *meta = (u8 *)(long)ctx->data_meta, *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
"""


@pytest.mark.parametrize(
    "body",
    [
        "if (meta + 8 > data) return XDP_PASS; return *(u64 *)meta ? XDP_DROP : XDP_PASS; }",
        "if (data < meta + 8) return XDP_PASS; *(u32 *)(meta + 4) = 3; return XDP_DROP; }",
        "u32 n = ctx->rx_queue_index & 7; if (meta + n + 1 > data) return XDP_PASS; return meta[n] ? XDP_DROP : XDP_ABORTED; }",
    ],
)
def test_metadata_is_compared_with_data_and_this_kernel_has_none(engine: Engine, body: str) -> None:
    """The kernel sets data_meta to data, so the checked branch of such a program never runs."""
    loaded = engine.load(read_program(compile_c(META + body).elf))
    result = loaded.interpret(bytes(64))
    assert (result.end, result.r0) == (RunEnd.OK, 2)


@pytest.mark.parametrize(
    "body",
    [
        "return meta[0]; }",
        "if (meta + 8 > data) return XDP_PASS; return meta[8]; }",
        "if (meta + 8 > end) return XDP_PASS; return meta[0]; }",
        "if (meta + 8 > data + 1) return XDP_PASS; return meta[0]; }",
        "if (meta + 8 > data) return XDP_PASS; return data[0]; }",
    ],
)
def test_metadata_ends_at_data_and_nowhere_else(engine: Engine, body: str) -> None:
    with pytest.raises(VerifyRejected, match="known to exist"):
        engine.load(read_program(compile_c(META + body).elf))


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("int p(void) { return 0; }", "contains no program"),
        ('SEC("nte_rx") int p(void *c) { return 0; }', "did you mean 'net_rx'"),
        (
            'extern int missing(int); SEC("test") int p(void *c) { return missing(1); }',
            "'missing' is not defined",
        ),
        ('int start = 5; SEC("test") int p(void *c) { return start++; }', "initialised writable data"),
        (
            'SEC("test") int p(void *c) { return 0; } SEC("test") int q(void *c) { return 1; }',
            "several programs",
        ),
        (
            (
                'struct { int (*type)[1]; int (*max_entries)[4]; int (*speed)[9]; u32 *key; u64 *value; } m SEC(".maps");\n'
                'SEC("test") int p(void *c) { u32 k = 0; return !!bpf_map_lookup_elem(&m, &k); }'
            ),
            "unknown attribute",
        ),
        (
            'ASSAY_MAP(m, 27, u32, u64, 4); SEC("test") int p(void *c) { u32 k = 0; return !!bpf_map_lookup_elem(&m, &k); }',
            "unsupported type",
        ),
    ],
)
def test_a_program_that_cannot_be_made_is_refused_in_words(source: str, words: str) -> None:
    with pytest.raises(ProgramRejected, match=words):
        read_program(compile_c(BODY + source).elf)


def test_legacy_map_declarations_are_understood(engine: Engine) -> None:
    source = """
struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
struct bpf_map_def SEC("maps") old = {1, 4, 8, 16, 0};
SEC("test") int p(void *c) { u32 k = 7; u64 v = 9; return bpf_map_update_elem(&old, &k, &v, 0); }
"""
    program = read_program(compile_c(BODY + source).elf)
    assert program.maps == (MapDef("old", MapType.HASH, 4, 8, 16),)
    loaded = engine.load(program)
    loaded.interpret()
    assert loaded.map("old").lookup((7).to_bytes(4, "little")) == (9).to_bytes(8, "little")


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"#!/bin/sh\n", b"\x7fELF" + bytes(60), b"\x7fELF\x02\x01\x01" + b"\xff" * 200]
)
def test_what_is_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ProgramRejected):
        read_programs(data)


def test_an_object_for_another_machine_is_refused(whole: CompiledObject) -> None:
    for offset, value in ((18, 183), (5, 2), (4, 1)):
        changed = bytearray(whole.elf)
        changed[offset] = value
        with pytest.raises(ProgramRejected):
            read_programs(bytes(changed))


def test_every_truncation_is_refused_in_words(whole: CompiledObject) -> None:
    for length in range(0, len(whole.elf) - 1, 97):
        with pytest.raises(ProgramRejected) as caught:
            read_programs(whole.elf[:length])
        assert str(caught.value)


def test_no_altered_object_gets_past_with_anything_but_our_own_errors(
    engine: Engine, whole: CompiledObject
) -> None:
    rng = random.Random(11)
    for _ in range(500):
        changed = bytearray(whole.elf)
        for _ in range(rng.randrange(1, 6)):
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0xFF, rng.randrange(256)))
        try:
            for program in read_programs(bytes(changed)):
                engine.load(program)
        except AssayError:
            continue


def test_huge_sizes_are_refused_without_being_allocated(whole: CompiledObject) -> None:
    section_table = struct.unpack_from("<Q", whole.elf, 40)[0]
    for index in range(struct.unpack_from("<H", whole.elf, 60)[0]):
        for field in (24, 32):  # sh_offset, sh_size
            changed = bytearray(whole.elf)
            struct.pack_into("<Q", changed, section_table + 64 * index + field, 1 << 62)
            try:
                read_programs(bytes(changed))
            except ProgramRejected:
                continue


def test_the_compilers_cpu_time_is_its_own() -> None:
    """Other child processes are not counted: this one uses a second, a small program a tenth of that."""
    burn = "import time\nwhile time.process_time() < 1.0: pass"
    other = subprocess.Popen([sys.executable, "-c", burn])
    spent = 0.0
    while other.poll() is None:
        spent = max(spent, compile_c("int f(void) { return 0; }").cpu_s)
    assert other.returncode == 0
    assert 0 < spent < 1.0
