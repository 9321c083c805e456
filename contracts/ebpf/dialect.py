"""The C of programs: which parts of C, Linux's headers and libbpf are supported, each with an example program.

`suites/host/bpf/test_dialect.py` compiles each program: one that is not supported must be refused with the words given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Feature:
    """One row: `program` is the source below `#include <assay.h>`; `refusal` empty: it is accepted."""

    what: str
    how: str
    program: str
    refusal: str = ""

    @property
    def supported(self) -> bool:
        """Whether such a program loads."""
        return not self.refusal


_TEST: Final = 'SEC("test") u64 f(u8 *m, u64 n) { %s }\n'
_XDP: Final = 'SEC("xdp") int f(struct xdp_md *c) { %s }\n'
_TWO: Final = "__noinline static int three(int x) { return x * 3; }\n__noinline static int nine(int x) { return x + 9; }\n"

HEADERS: Final = (
    "assay.h",
    "linux/bpf.h",
    "linux/types.h",
    "linux/if_ether.h",
    "linux/in.h",
    "linux/ip.h",
    "linux/tcp.h",
    "linux/udp.h",
    "bpf/bpf_helpers.h",
    "bpf/bpf_endian.h",
    "stdint.h",
    "stddef.h",
    "stdbool.h",
)
"""The available headers, besides a program's own."""

FEATURES: Final = (
    Feature(
        "maps declared as libbpf does",
        '`__uint` of type, max_entries, map_flags, key_size, value_size; `__type` of key and value; `SEC(".maps")`',
        "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __type(key, u32); __type(value, u64); } "
        'seen SEC(".maps");\n' + _XDP % "u32 k = 1; return bpf_map_lookup_elem(&seen, &k) ? XDP_DROP : XDP_PASS;",
    ),
    Feature(
        "maps declared as a structure in `maps`",
        "`type, key_size, value_size, max_entries, map_flags`, 32 bits each",
        "struct old { u32 type, key_size, value_size, max_entries, map_flags; };\n"
        'struct old seen SEC("maps") = {1, 4, 8, 16, 0};\n'
        + _TEST % "u32 k = 1; return bpf_map_delete_elem(&seen, &k);",
    ),
    Feature(
        "other attributes of maps",
        "`pinning`, `map_extra`, `values` and the rest are refused by name",
        "struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, u64); "
        '__uint(pinning, 1); } seen SEC(".maps");\n' + _TEST % "return 0;",
        "has an unknown attribute",
    ),
    Feature(
        "other kinds of maps",
        "refused with Linux's number and name; the supported ones: [Map kinds](#map-kinds)",
        "struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 4096); } "
        'events SEC(".maps");\n' + _TEST % "return 0;",
        "27 (ringbuf)",
    ),
    Feature(
        '`SEC("xdp")`, `SEC("xdp/name")`, `SEC("license")`',
        "hooks by the sections of [Hooks](#hooks); the licence is ignored",
        _XDP % "return XDP_PASS;" + 'char LICENSE[] SEC("license") = "GPL";\n',
    ),
    Feature(
        "other sections",
        "a function in a section that is no hook is refused, not left out",
        _XDP % "return XDP_PASS;" + 'SEC("tc") int g(void *c) { return 0; }\n',
        "is on no hook",
    ),
    Feature(
        "`bpf_printk`",
        "at most three numbers; the text goes to the session's log",
        _TEST % 'bpf_printk("%d of %llx", m != 0, n); return 0;',
    ),
    Feature(
        "constants and tables of numbers",
        "`.rodata`; a load at a known place is known to the verifier",
        "static const u32 limit[4] = {5, 6, 7, 8};\n" + _TEST % "return n ? limit[n & 3] : 0;",
    ),
    Feature(
        "global variables that start at zero",
        "`.bss`; kept from call to call, as a map of one entry",
        "static u64 total;\n" + _TEST % "total += n; return total;",
    ),
    Feature(
        "global variables that start at another number",
        "make it const, or write the number on the first call",
        "static u64 total = 5;\n" + _TEST % "total += n; return total;",
        "initialised writable data",
    ),
    Feature(
        "texts and tables of texts",
        "`char words[2][8]`; a table of pointers (`char *words[2]`) is refused",
        'static const char words[2][8] = {"alpha", "bravo"};\n' + _TEST % "return words[n & 1][0];",
    ),
    Feature(
        "pointers in constants and variables",
        "tables of texts by address, of functions, of labels, maps in structures",
        'static const char *const words[2] = {"alpha", "bravo"};\n' + _TEST % "return words[m[0] & 1][0];",
        "a pointer in constants cannot be relocated",
    ),
    Feature(
        "functions",
        "`static` or not, at most five arguments of 64 bits; they may share structures on the stack by pointer",
        _TWO + _TEST % "return three(n) + nine(n);",
    ),
    Feature(
        "pointers to functions",
        "choose with `if` or `switch`",
        _TWO + _TEST % "int (*volatile to)(int) = n ? three : nine; return to(4);",
        "the address of a function",
    ),
    Feature(
        "loops",
        "with a bound that the verifier finds; each round is walked, 200,000 instructions in all",
        _TEST % "u64 sum = 0; for (u32 i = 0; i < 64; i++) sum += bpf_get_prandom_u32(); return sum;",
    ),
    Feature(
        "loops without a bound",
        "count the rounds",
        _TEST % "while (bpf_get_prandom_u32() != 5) ; return 0;",
        "the loop may never end",
    ),
    Feature(
        "atomics",
        "`__sync_fetch_and_add`, `_and`, `_or`, `_xor`, `__sync_lock_test_and_set`, `__sync_val_compare_and_swap`",
        "static u64 total;\n" + _TEST % "return __sync_fetch_and_add(&total, n);",
    ),
    Feature(
        "signed division, sign extension, byte order",
        "`__builtin_bswap16` to `64`; a number of a context may be read as signed",
        _XDP % "return (s32)c->ingress_ifindex / ((s32)c->rx_queue_index | 1) + __builtin_bswap32(3);",
    ),
    Feature(
        "`__builtin_memcpy`, `memset`, `memcmp` of a constant size",
        "up to some 128 bytes: clang writes them out",
        _TEST % "u8 b[16]; __builtin_memset(b, 0, sizeof(b)); return b[n & 15];",
    ),
    Feature(
        "`__builtin_memcpy`, `memset` of a size that is not known",
        "copy in a loop with a constant bound",
        _TEST % "u8 b[64]; __builtin_memcpy(b, m, n & m[0]); return b[3];",
        "built-in function 'memcpy'",
    ),
    Feature(
        "the C library",
        "there is none, and no header of the machine's is found",
        "#include <stdio.h>\n" + _TEST % "return 0;",
        "'stdio.h' file not found",
    ),
    Feature(
        "floating point, 128-bit numbers",
        "use integers of at most 64 bits",
        _TEST % "return (u64)(n * 1.5);",
        "built-in function '__",
    ),
    Feature(
        "arrays of a size that is not known, more than 512 bytes on the stack",
        "put large variables into an `ARRAY` map of one entry",
        _TEST % "volatile u8 b[600]; b[n] = 1; return b[3];",
        "stack limit",
    ),
    Feature(
        "CO-RE, kfuncs, `__ksym`, `__kconfig`",
        "what is not defined in the program is refused by name",
        'extern int bpf_strange(void) SEC(".ksyms");\n' + _TEST % "return bpf_strange();",
        "'bpf_strange' is not defined",
    ),
)  # fmt: skip
