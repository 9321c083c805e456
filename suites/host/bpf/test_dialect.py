"""The table of what C may be in programs: each row's program is accepted, or refused in the words that it says."""

from __future__ import annotations

import re

import pytest

from contracts.ebpf.dialect import FEATURES, HEADERS, Feature
from contracts.errors import ProgramRejected
from contracts.program import Hook
from harness.bpf.compile import compile_c, include_dirs
from harness.bpf.elf import read_programs
from harness.bpf.native import Engine


def _load(source: str) -> None:
    for program in read_programs(compile_c(f"#include <assay.h>\n{source}").elf):
        Engine().load(program, test_mem_size=64 if program.hook is Hook.TEST else 0)


@pytest.mark.parametrize("feature", FEATURES, ids=lambda one: re.sub(r"\W+", "-", one.what)[:40])
def test_what_the_table_says_of_c_is_so(feature: Feature) -> None:
    if feature.supported:
        _load(feature.program)
        return
    with pytest.raises(ProgramRejected) as caught:
        _load(feature.program)
    assert feature.refusal in f"{caught.value.what} {caught.value.reason}"


def test_the_table_names_every_header_there_is() -> None:
    folder, _ = include_dirs()
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.h")}
    assert there - {"assay_base.h"} == set(HEADERS)


@pytest.mark.parametrize("header", HEADERS)
def test_every_header_stands_alone(header: str) -> None:
    compile_c(f'#include <{header}>\n#include <{header}>\nint x __attribute__((section("test")));\n')
