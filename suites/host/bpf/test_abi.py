"""Python's view of the engine's structures comes from the engine's headers, and a mismatch is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.errors import BuildError
from contracts.root import ROOT
from harness.bpf import native
from harness.bpf.native import Engine

COPIED = ("contracts", "harness/bpf", "harness/machine", "firmware/bpf")
CHILD = """
from contracts.program import Hook, Program
from harness.bpf import asm
from harness.bpf.native import Engine, foreign
from harness.bpf.native_build import library

code = asm.assemble([asm.mov64(0, 41), asm.add64(0, 1), asm.exit_()])
loaded = Engine().load(Program("answer", Hook.TEST, code))
loaded.prog.added[2] = 7
print(loaded.interpret().r0, loaded.wcet, foreign().sizeof("struct bpf_prog"), library(), sep="\\n")
"""


def test_a_field_more_in_a_structure_is_known_everywhere_or_refused(tmp_path: Path, engine: Engine) -> None:
    for folder in COPIED:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "harness" / "__init__.py").touch()
    header = tmp_path / "firmware" / "bpf" / "bpf.h"
    text = header.read_text()
    before = "struct bpf_prog {\n"
    assert text.count(before) == 1
    header.write_text(text.replace(before, before + "    uint64_t added[3];\n"))
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    r0, wcet, size, library = done.stdout.splitlines()
    assert (int(r0), int(wcet)) == (42, 3)
    assert int(size) == native.foreign().sizeof("struct bpf_prog") + 24
    assert Path(library).is_relative_to(tmp_path)

    other = native.foreign().dlopen(library)
    with pytest.raises(BuildError, match=f"struct bpf_prog\n.*{int(size) - 24} bytes.*\n.*{size} bytes"):
        native._check_sizes(other, library)
    native._check_sizes(engine.lib, "the engine of this tree")
