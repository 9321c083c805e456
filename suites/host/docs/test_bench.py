"""docs/bench.md, typed from its first line to its last, with a simulated Raspberry Pi 4: each command does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from contracts.root import ROOT
from suites.host.docs.pages import blocks

PAGE = ROOT / "docs" / "bench.md"
FILE = re.compile(r"^`([\w.]+)`:\n\n((?:    .*\n|\n)+)", re.MULTILINE)

SHOWN = {
    "boards discover": "schema: 1",
    "config check": "ok    mine.yaml",
    "boards --board rpi4-sim": "rpi4-sim-0",
    "power state": "off",
    "power cycle": "rpi4-sim-0 is on again",
    "power off": "rpi4-sim-0 is off",
    "flash": "rpi4-sim-0 runs build",
    "console": "STATUS OK",
    "up rpi4-sim-0": "rpi4-sim-0 is up",
    "lease list": "assay up",
    "bpf verify": "accepted: count",
    "bpf run": "XDP_DROP (r0 = 1)",
    "bpf disasm": "ldr",
    "bpf load": "committed",
    "bpf list": "committed",
    "bpf maps": "17: {.packets = ",
    "telemetry": "verdict drop",
    "bpf trace": "",
    "bpf rollback": "rolled back in",
    "bpf unload": "unloaded count",
    "--keep test_mine.py": "1 passed",
    "--repeat 20": "20 runs",
    "down": "rpi4-sim-0 is down",
}
"""What each command of the page has to print, by words of it."""


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, str]:
    """A person's folder with the page's files in it, and the environment of a new terminal."""
    for name, text in FILE.findall(PAGE.read_text()):
        (tmp_path / name).write_text("\n".join(line[4:] for line in text.splitlines()) + "\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["count.c", "test_mine.py"]
    (tmp_path / "assay").write_text(f'#!/bin/sh\nexec {sys.executable} -m harness.cli "$@"\n')
    (tmp_path / "assay").chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "pytest").write_text(
        f'#!/bin/sh\nexec {sys.executable} -m pytest -p no:cacheprovider --rootdir . --results results "$@"\n'
    )
    (tmp_path / ".venv" / "bin" / "pytest").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ASSAY_"))}
    return kept | {"ASSAY_LEASES": str(tmp_path / "leases"), "COLUMNS": "160", "PYTHONPATH": str(ROOT)}


def lines() -> list[str]:
    """The page's lines of shell, in order."""
    found = []
    for block in blocks(PAGE.read_text()):
        found += [
            line for line in block.splitlines() if re.match(r"(\./assay|export|\.venv/bin/pytest) ?", line)
        ]
    return found


@pytest.mark.timeout(300)  # thirty commands of a second each, on a machine that does other things as well
def test_the_page_is_typed_from_top_to_bottom(shell: dict[str, str], tmp_path: Path) -> None:
    shown = dict(SHOWN)
    background: list[subprocess.Popen[bytes]] = []
    try:
        for line in lines():
            if line.endswith("&"):
                background.append(
                    subprocess.Popen(
                        ["bash", "-c", f"exec {line[:-1]}"], cwd=tmp_path, env=shell, start_new_session=True
                    )
                )
                wait_for(tmp_path / "sim" / "lab.yaml")
                continue
            if line.startswith("export "):
                name, _, value = line.removeprefix("export ").partition("=")
                shell[name] = value
                continue
            done = subprocess.run(
                ["bash", "-c", line],
                cwd=tmp_path, env=shell, input="status\nquit\n", capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            key = next(key for key in shown if key in line)
            printed = done.stdout if ">" not in line else (tmp_path / "mine.yaml").read_text()
            assert shown.pop(key) in printed, f"{line}\n{done.stdout}{done.stderr}"
    finally:
        subprocess.run(["./assay", "down", "rpi4-sim-0"], cwd=tmp_path, env=shell, check=False, timeout=60)
        for process in background:
            process.terminate()
            process.wait(30)
    assert not shown, f"the page types none of {', '.join(shown)}"


def wait_for(path: Path) -> None:
    deadline_s = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline_s, f"{path} does not come"
        time.sleep(0.05)
