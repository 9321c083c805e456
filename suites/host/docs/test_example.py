"""docs/writing-a-suite.md: extracts the example file from the page and runs it as described."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from contracts.root import ROOT
from suites.host.docs.pages import blocks

PAGE = ROOT / "docs" / "writing-a-suite.md"


def test_the_example_passes_on_qemu_as_the_page_says(tmp_path: Path) -> None:
    (source,) = (block for block in blocks(PAGE.read_text()) if "def test_" in block)
    file = tmp_path / "test_drop_small.py"
    assert f"`{file.name}`:" in PAGE.read_text()
    file.write_text(source)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(tmp_path)),
            *("--board=qemu-virt", "--results", str(tmp_path / "results"), "--strict-markers", str(file)),
        ],
        cwd=ROOT,
        env={**os.environ, "ASSAY_LEASES": str(tmp_path / "leases")},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{source.count('def test_')} passed" in done.stdout
