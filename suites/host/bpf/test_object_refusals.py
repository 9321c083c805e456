"""What an object needs and the engine has not, or what does not fit: refused in words, with file and line, never dropped."""

from __future__ import annotations

import struct

import pytest

from contracts.errors import ProgramRejected
from harness.bpf.compile import compile_c
from harness.bpf.elf import read_programs

HEAD = "#include <assay.h>\n"
FUNCTIONS = """#include <assay.h>
__attribute__((noinline)) static int three(int x) { return x * 3; }
__attribute__((noinline)) static int nine(int x) { return x + 9; }
"""


def refused(source: str) -> ProgramRejected:
    with pytest.raises(ProgramRejected) as caught:
        read_programs(compile_c(source).elf)
    assert caught.value.stage == "compile"
    return caught.value


POINTERS = {
    "an array of texts": (
        HEAD
        + 'static const char *const words[2] = {"alpha", "bravo"};\n'
        + 'SEC("test") u64 f(u8 *m, u64 n) { return words[m[0] & 1][0]; }\n',
        "a pointer in constants cannot be relocated",
        ("<stdin>:2: ", "'words' in section .rodata"),
    ),
    "a pointer that is only compared": (
        HEAD
        + 'static const char *const words[2] = {"alpha", "bravo"};\n'
        + 'SEC("test") u64 f(u8 *m, u64 n) { return *(const char *const volatile *)&words[m[0] & 1] == 0; }\n',
        "a pointer in constants cannot be relocated",
        ("<stdin>:2: ", "'words' in section .rodata"),
    ),
    "a table of functions": (
        FUNCTIONS
        + "static int (*const table[2])(int) = {three, nine};\n"
        + 'SEC("test") u64 f(u8 *m, u64 n) { return table[m[0] & 1](4); }\n',
        "a pointer in constants cannot be relocated",
        ("<stdin>:4: ", "'table' in section .rodata", "function 'three'"),
    ),
    "a table of labels": (
        HEAD
        + 'SEC("test") u64 f(u8 *m, u64 n)\n{\n    static const void *const to[] = {&&one, &&two};\n'
        + "    goto *to[m[0] & 1];\none:\n    return 1;\ntwo:\n    return 2;\n}\n",
        "a pointer in constants cannot be relocated",
        ("<stdin>:4: ", "in section .rodata"),
    ),
    "a map in a constant structure": (
        HEAD
        + "HASH(seen, u64, u64, 8); HASH(gone, u64, u64, 8);\nstruct use { void *map; u64 limit; };\n"
        + "static const struct use uses[2] = {{&seen, 3}, {&gone, 4}};\n"
        + 'SEC("test") u64 f(u8 *m, u64 n) { return bpf_map_delete_elem(uses[m[0] & 1].map, m); }\n',
        "a pointer in constants cannot be relocated",
        ("<stdin>:4: ", "map 'seen'"),
    ),
    "relocated constants that the linker would fill in": (
        FUNCTIONS
        + 'static int (*const table[2])(int) SEC(".data.rel.ro") = {three, nine};\n'
        + 'SEC("test") u64 f(u8 *m, u64 n) { return (u64)table[m[0] & 1]; }\n',
        "a pointer in constants cannot be relocated",
        ("<stdin>:4: ", "'table' in section .data.rel.ro"),
    ),
    "a writable pointer whose bytes are all zero": (
        HEAD
        + "static u64 first[2];\nu64 *at = first;\n"
        + 'SEC("test") u64 f(u8 *m, u64 n) { u64 *now = at; at = now + 1; return now == 0; }\n',
        "a pointer in a variable cannot be relocated",
        ("<stdin>:3: ", "'at' in section .data"),
    ),
}


@pytest.mark.parametrize("what", list(POINTERS))
def test_an_address_in_data_is_refused_where_it_is_declared(what: str) -> None:
    source, reason, parts = POINTERS[what]
    error = refused(source)
    assert error.what == reason
    for part in (reason, *parts):
        assert part in error.reason
    assert error.do


def test_the_address_of_a_function_is_refused_where_it_is_taken() -> None:
    error = refused(
        FUNCTIONS
        + 'SEC("test") u64 f(u8 *m, u64 n)\n{\n    int (*volatile to)(int) = m[0] ? three : nine;\n    return to(4);\n}\n'
    )
    assert error.what == "the address of a function cannot be taken"
    assert error.reason.startswith("<stdin>:")
    assert "function 'nine'" in error.reason


def test_a_writable_global_that_starts_at_a_number_is_refused_where_it_is_used() -> None:
    error = refused(HEAD + 'int start = 5;\nSEC("test") int p(void *c)\n{\n    return start++;\n}\n')
    assert error.reason == "<stdin>:5: initialised writable data"


MAP = (
    'ARRAY({}, u64, 4);\nSEC("test") int p(void *c) {{ u32 k = 0; return !!bpf_map_lookup_elem(&{}, &k); }}\n'
)


def test_maps_that_are_one_to_the_kernel_are_refused_by_both_names() -> None:
    error = refused(
        HEAD
        + "ARRAY(packets_per_source_a, u64, 4);\nARRAY(packets_per_source_b, u64, 4);\n"
        + MAP.format("m", "m")
    )
    assert error.what == "two maps have the same first 15 characters"
    assert error.reason == "'packets_per_source_a' and 'packets_per_source_b'"


def test_maps_of_one_name_in_both_kinds_of_declaration_are_refused() -> None:
    error = refused(
        HEAD
        + "struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };\n"
        + 'struct bpf_map_def SEC("maps") old_fashioned_a = {1, 4, 8, 16, 0};\n'
        + "ARRAY(old_fashioned_abc, u64, 4);\n"
        + 'SEC("test") int p(void *c) { u32 k = 7; return !!bpf_map_lookup_elem(&old_fashioned_a, &k); }\n'
    )
    assert error.what == "two maps have the same first 15 characters"


def test_sections_of_data_that_are_one_to_the_kernel_are_refused() -> None:
    error = refused(
        HEAD
        + 'const volatile u64 one SEC(".rodata.of_program_one") = 1;\n'
        + 'const volatile u64 two SEC(".rodata.of_program_two") = 2;\n'
        + 'SEC("test") u64 p(void *c) { return one + two; }\n'
    )
    assert error.what == "two maps have the same first 15 characters"
    assert ".rodata.of_program_one" in error.reason


TWICE = """
struct {
    int (*type)[1];
    int (*max_entries)[4];
    int (*key_size)[8];
    u32 *key;
    u64 *value;
} twice SEC(".maps");
SEC("test") int p(void *c) { return 0; }
"""


@pytest.mark.parametrize(
    ("source", "what", "seen"),
    [
        (MAP.format("zähler", "zähler"), "has a name that is not ASCII", "z"),
        (
            'ARRAY(m, u64, 4);\nSEC("test") int größe(void *c) { return 0; }\n',
            "has a name that is not ASCII",
            "gr",
        ),
        (
            'SEC("test") int p(void *c) { return 0; }\nSEC("xdq") int q(struct xdp_md *c) { return 0; }\n',
            "function 'q' is on no hook",
            "did you mean 'xdp'",
        ),
        ('SEC("net_rx") u64 data = 5;\nSEC("test") int p(void *c) { return 0; }\n', "holds no function", "8 bytes"),
        (
            'SEC("test") int p(void *c)\n{\n    __builtin_trap();\n}\n',
            "the compiler found code that must not be reached",
            "<stdin>:4: a call of __bpf_trap",
        ),
        (
            'u64 strlen(const char *text);\nSEC("test") u64 p(char *m, u64 n) { return strlen(m); }\n',
            "function 'strlen' is not defined",
            "<stdin>:3: an undefined symbol, of the C library",
        ),
        (
            'extern int level __attribute__((weak));\nSEC("test") u64 p(void *m) { return (u64)&level; }\n',
            "'level' is not defined",
            "<stdin>:3: ",
        ),
        (
            'ASSAY_MAP(events, 27, u32, u64, 4);\nSEC("test") int p(void *c) { return 0; }\n',
            "map 'events' is of an unsupported type",
            "27 (ringbuf)",
        ),
        (
            TWICE,
            "map 'twice' declares its key_size twice",
            "8 and 4 bytes",
        ),
    ],
    ids=lambda one: one[:30],
)  # fmt: skip
def test_what_does_not_fit_is_told_with_its_name(source: str, what: str, seen: str) -> None:
    error = refused(HEAD + source)
    assert what in error.what
    assert seen in error.reason


def test_a_long_name_of_a_map_or_a_program_still_loads() -> None:
    name = "a_very_long_name_of_a_map"
    (program,) = read_programs(
        compile_c(HEAD + MAP.format(name, name).replace("int p(", "int a_very_long_program(")).elf
    )
    assert [one.name for one in program.maps] == [name[:15]]
    assert program.name == "a_very_long_program"


TWO = (
    HEAD
    + 'SEC("test") u64 aa(u8 *m, u64 n) { return 1; }\nSEC("test/2") u64 bb(u8 *m, u64 n) { return 2; }\n'
)


def test_two_programs_of_one_name_are_refused() -> None:
    elf = compile_c(TWO).elf
    assert [one.name for one in read_programs(elf)] == ["aa", "bb"]
    with pytest.raises(ProgramRejected, match="two programs have the same name"):
        read_programs(elf.replace(b"\0bb\0", b"\0aa\0"))


def _relocations(elf: bytes, section: bytes) -> int:
    """File offset of the first relocation of a section."""
    at, size, count, names = struct.unpack_from("<Q", elf, 40)[0], *struct.unpack_from("<3H", elf, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, at + size * i) for i in range(count)]
    table = headers[names][4]
    for header in headers:
        name = elf[table + header[0] : elf.index(b"\0", table + header[0])]
        if name == b".rel" + section:
            return int(header[4])
    raise AssertionError(f"no relocations of {section!r}")


@pytest.mark.parametrize(
    ("offset", "words"),
    [
        (1, "is inside an instruction"),
        (8, "unexpected relocation of an instruction"),
        (1 << 40, "is outside of it"),
    ],
)
def test_a_relocation_that_fits_no_instruction_is_refused(offset: int, words: str) -> None:
    source = HEAD + MAP.format("counts", "counts")
    elf = bytearray(compile_c(source).elf)
    at = _relocations(bytes(elf), b"test")
    struct.pack_into("<Q", elf, at, struct.unpack_from("<Q", elf, at)[0] + offset)
    with pytest.raises(ProgramRejected, match=words):
        read_programs(bytes(elf))
