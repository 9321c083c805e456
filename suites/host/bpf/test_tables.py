"""Engine, compiler, listings and documentation follow the tables of `contracts/ebpf`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from contracts.ebpf import tables
from contracts.ebpf.helpers import HELPERS, Arg, Helper
from contracts.ebpf.hooks import HOOKS, HookRow
from contracts.ebpf.maps import MAP_KINDS
from contracts.ebpf.sources import row_sources
from contracts.program import Hook, MapDef
from contracts.root import ROOT
from harness.bpf.compile import compile_c
from harness.bpf.disasm import disassemble
from harness.bpf.elf import read_program
from harness.bpf.native import Engine, foreign
from harness.bpf.native_build import ENGINE_DIR

PAGE = ROOT / "docs" / "programs.md"


def test_the_page_is_what_the_tables_make() -> None:
    page = PAGE.read_text()
    assert tables.replaced(page) == page, f"do: python -m contracts.ebpf.tables {PAGE.relative_to(ROOT)}"


def test_a_page_without_its_markers_is_told() -> None:
    with pytest.raises(ValueError, match="no part between"):
        tables.replaced("# Nothing here\n")


def test_a_table_is_written_into_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{tables.BEGIN}\nold\n{tables.END}\nafter\n")
    done = subprocess.run(
        [sys.executable, "-m", "contracts.ebpf.tables", str(page)], cwd=ROOT, timeout=60, check=False
    )
    assert done.returncode == 0
    assert page.read_text() == f"before\n{tables.render()}\nafter\n"


def test_the_engine_has_the_helpers_of_the_table(engine: Engine) -> None:
    assert {n for n in range(300) if engine.lib.bpf_helper_cost(n)} == {row.number for row in HELPERS}
    for row in HELPERS:
        assert engine.lib.bpf_helper_cost(row.number) == row.cost, row.name
        assert engine.lib.bpf_helper_address(row.number) != foreign().NULL, row.name


@pytest.mark.parametrize("row", HOOKS, ids=lambda row: row.name)
def test_the_engine_knows_the_hooks_of_the_table(engine: Engine, row: HookRow) -> None:
    ffi = foreign()
    shape = engine.lib.bpf_hook_find(row.hook)
    assert ffi.string(shape.name).decode() == row.name
    if row.context is None:
        assert shape.ctx_size == 0
        return
    kernel = f"struct {row.context.kernel}"
    assert shape.ctx_size == row.context.size(kernel=False)
    assert shape.kernel_ctx_size == ffi.sizeof(kernel) == row.context.size(kernel=True)
    for field, off in zip(row.context.fields, row.context.offsets(kernel=True), strict=True):
        assert ffi.offsetof(kernel, field.name) == off, field.name
    assert engine.lib.bpf_hook_find(len(Hook)) == ffi.NULL


def test_each_map_kind_can_be_made(engine: Engine) -> None:
    for kind in MAP_KINDS:
        one = engine.create_map(MapDef("m", kind.type, 4, 8, 4))
        assert one.update(bytes(4), b"12345678") == 0, kind.name
        assert one.lookup(bytes(4)) == b"12345678", kind.name


def test_the_sources_that_rows_name_are_there() -> None:
    assert [name for name in row_sources() if not (ENGINE_DIR / name).is_file()] == []


def _arguments(helper: Helper) -> str:
    given = {
        Arg.MAP: "&counts",
        Arg.KEY: "&key",
        Arg.VALUE: "&value",
        Arg.SCALAR: "BPF_ANY",
        Arg.MEMORY: "text",
        Arg.SIZE: "sizeof(text)",
        Arg.PRINTED: "1",
    }
    return ", ".join(given[arg] for arg in helper.args)


@pytest.mark.parametrize("helper", HELPERS, ids=lambda row: row.name)
def test_a_program_can_call_each_helper(engine: Engine, helper: Helper) -> None:
    source = f"""#include <assay.h>
HASH(counts, u32, u64, 4);
SEC("test") int prog(void *memory)
{{
\tu32 key = 1;
\tu64 value = 2;
\tstatic const char text[] = "%d %d %d";
\treturn {helper.name}({_arguments(helper)}) != 0;
}}
"""
    program = read_program(compile_c(source).elf)
    assert f"call {helper.name}" in disassemble(program)
    loaded = engine.load(program)
    assert loaded.wcet > helper.cost
    assert loaded.interpret().r0 in (0, 1)


def test_a_program_can_declare_each_map_kind() -> None:
    declared = "".join(
        f"{kind.type.name}(m{kind.type.value}, {'' if kind.key else 'u32, '}u64, 4);\n" for kind in MAP_KINDS
    )
    uses = "".join(f"\tif (bpf_map_lookup_elem(&m{kind.type.value}, &key)) n++;\n" for kind in MAP_KINDS)
    source = f'#include <assay.h>\n{declared}SEC("test") int prog(void *m)\n{{\n\tu32 key = 0; int n = 0;\n{uses}\treturn n;\n}}\n'
    program = read_program(compile_c(source).elf)
    assert [definition.type for definition in program.maps] == [kind.type for kind in MAP_KINDS]


@pytest.mark.parametrize("row", [row for row in HOOKS if row.context is not None], ids=lambda row: row.name)
def test_a_program_loads_each_member_of_its_context(engine: Engine, row: HookRow) -> None:
    assert row.context is not None
    for section in row.sections:
        for field in row.context.fields:
            source = (
                f'#include <assay.h>\nSEC("{section}") int prog(struct {row.context.program} *ctx)\n'
                f"{{\n\treturn ctx->{field.name} == 5;\n}}\n"
            )
            program = read_program(compile_c(source).elf)
            assert program.hook is row.hook
            if not field.points:
                values = {field.name: 5}
                assert engine.load(program).interpret(context_values=values).r0 == 1, field.name
