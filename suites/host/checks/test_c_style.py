"""The C check of `assay lint`: the order of the firmware's folders, and the rules of C style."""

from __future__ import annotations

import re

import pytest

from contracts.root import ROOT
from harness.checks.c_style import BELOW, findings


def guarded(guard: str, text: str) -> str:
    return f"#ifndef {guard}\n#define {guard}\n\n{text}\n#endif\n"


def body(*lines: str, head: str = "static void f(void)") -> str:
    """A function of these lines, each indented once."""
    return f"{head}\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def test_the_readme_states_the_order_that_is_checked() -> None:
    section = (ROOT / "firmware" / "README.md").read_text().split("## Which folder may include which")[1]
    stated: dict[str, tuple[str, ...]] = {}
    for folders, below in re.findall(r"^    ([a-z, ]+): ([a-z, ]+)$", section, re.MULTILINE):
        for folder in folders.split(", "):
            stated[folder] = () if below == "no other folder" else tuple(below.split(", "))
    assert stated == dict(BELOW)


def test_every_folder_of_the_firmware_has_its_place() -> None:
    folders = {path.name for path in (ROOT / "firmware").iterdir() if path.is_dir()}
    assert folders == set(BELOW)


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("firmware/kernel/x.c", '#include "live/config.h"\n', "firmware/kernel may include arch, drivers"),
        ("firmware/bpf/x.c", '#include "bpf.h"\n\n#include "kernel/kernel.h"\n', "x.c:3: firmware/bpf may"),
        ("firmware/channel/x.c", '#include "bpf/bpf.h"\n', "not bpf/bpf.h"),
        ("firmware/domain/x.c", "", "is not in the order of folders"),
        ("firmware/live/x.c", '#include "live/x.c"\n', "firmware/live/x.c -> firmware/live/x.c"),
    ],
)
def test_an_include_against_the_order_is_found(path: str, text: str, found: str) -> None:
    (finding,) = findings({path: text})
    assert found in finding


def test_headers_in_a_circle_are_found_once() -> None:
    files = {"firmware/live/a.h": '#include "live/b.h"\n', "firmware/live/b.h": '#include "live/a.h"\n'}
    circles = [finding for finding in findings(files) if "cycle" in finding]
    assert circles == [
        "firmware/live/a.h:1: headers in a cycle: firmware/live/a.h -> firmware/live/b.h -> firmware/live/a.h"
    ]


def test_includes_along_the_order_are_fine() -> None:
    files = {
        "firmware/live/x.c": '#include "live/x.h"\n\n#include "channel/channel.h"\n#include "monocypher.h"\n',
        "firmware/live/x.h": guarded("ASSAY_LIVE_X_H", '#include "kernel/memory.h"\n#include "board.h"\n'),
        "suites/probe.c": '#include "kernel/kernel.h"\n',
    }
    assert findings(files) == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (body("g(sizeof x);"), "x.c:3: sizeof takes parentheses"),
        (body("g(sizeof *x);"), "x.c:3: sizeof takes parentheses"),
        ("#define A 0x1fU\n", "x.c:1: the suffix of an unsigned constant"),
        ("#define A 1UL\n", "x.c:1: the suffix of an unsigned constant"),
        ("#define A(x) x##UL\n", "x.c:1: the suffix of an unsigned constant"),
        ("#define A \\\n    1u /* long */\n", "x.c:1: put the value on the line of its #define"),
        ("struct s {\n    uint64_t\n        a; /* long */\n};\n", "x.c:2: a type is alone"),
        (body("char *p = g();", "if (p)", "    g();"), "x.c:4: compare the pointer p with NULL"),
        (body("char *p = g();", "if (!p)", "    g();"), "x.c:4: compare the pointer p with NULL"),
        (body("if (a && p != 0)", "    g();", head="static void f(const struct s *p)"), "x.c:3: compare the"),
        (body("return 0;", head="static char *f(void)"), "x.c:3: return NULL"),
        (body("uint32_t a;", "g();", "a = h();"), "x.c:3: declare a where it gets its first value"),
        (body("if (a) {", "    g();", "}"), "x.c:3: no braces"),
        (body("if (a)", "    g(b,", "      c);"), "x.c:3: braces: a body or a condition"),
        (body("if (a &&", "    b)", "    g();"), "x.c:3: braces: a body or a condition"),
        (body("for (;;)", "    if (a)", "        g();"), "x.c:3: braces: a body or a condition"),
        (body("while (a)", "    /* why */", "    g();"), "x.c:3: braces: a body or a condition"),
        (
            body("if (a) {", "    g();", "    g();", "} else", "    g();"),
            "x.c:6: braces: a body or a condition",
        ),
        (body("g();", head="void open_it(void)"), "x.c:1: open_it is not static"),
        ("uint32_t count;\n", "x.c:1: count is not static"),
        ("const char *const names[] = {0};\n", "x.c:1: names is not static"),
    ],
)
def test_what_another_hand_wrote_is_found(text: str, found: str) -> None:
    (finding,) = findings({"firmware/kernel/x.c": text})
    assert found in finding


def test_one_hand_is_left_alone() -> None:
    text = """/* sizeof x, 1UL, if (p) in a comment. */
#include "kernel/x.h"

#define LONG(a)                                                                                              \\
    do {                                                                                                     \\
        g(a);                                                                                                \\
    } while (0)

static const char *const words = "sizeof x, 1UL, if (!p)";
__attribute__((weak)) void other_folder(void) {}
extern uint32_t elsewhere[];
uint64_t kernel_state __attribute__((aligned(8)));

_Noreturn void x_run(struct s *p, bool ready)
{
    uint32_t filled;
    __asm__("mrs %0, ctr_el0" : "=r"(filled));
    uint64_t begun = 0xffu + 1ull + sizeof(p->a);
    if (p == NULL || !ready || !p->ready)
        panic("no");
    if (filled == 0) {
        g(filled, /* first */
          begun);
    } else if (begun != 0) {
        g(1, 2);
    }
    switch (filled) {
    case 0: g(); break;
    default:
        for (uint32_t i = 0; i < 3; i++)
            g(i);
        break;
    }
    for (; filled > 0; filled--) {
    }
    do {
        g();
    } while (ready);
again:
    while (ready)
        g();
    goto again;
}
"""
    assert findings({"firmware/kernel/x.c": text}) == []


def test_a_constant_of_two_values_is_found_where_it_comes_second() -> None:
    files = {
        "firmware/kernel/a.c": "#define POOL_SIZE 1u /* one */\n#define SAME (2u)\n",
        "firmware/live/b.c": "#define SAME (2u)\n#define POOL_SIZE 2u\n",
    }
    (finding,) = findings(files)
    assert finding.startswith("firmware/live/b.c:2: POOL_SIZE has another value in firmware/kernel/a.c")


def test_a_guard_of_another_name_is_found() -> None:
    (finding,) = findings({"firmware/live/maps.h": guarded("ASSAY_MAPS_H", "")})
    assert finding == "firmware/live/maps.h:1: the include guard must be ASSAY_LIVE_MAPS_H"


def test_c_outside_the_firmware_keeps_its_names() -> None:
    assert findings({"suites/probe.c": body("g();", head="void anything(void)")}) == []
    (finding,) = findings({"suites/probe.c": body("g(sizeof x);")})
    assert "sizeof" in finding
