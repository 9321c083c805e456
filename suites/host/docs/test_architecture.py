"""The architecture page names files that exist, and the memory map of the kernel's header."""

from __future__ import annotations

import re
from collections.abc import Iterator

from contracts.root import ROOT

PAGE = ROOT / "docs" / "architecture.md"
HEADER = ROOT / "firmware" / "arch" / "arm64" / "memlayout.h"
_TOP = {path.name for path in ROOT.iterdir()}


def named(text: str) -> Iterator[str]:
    """Every path in code quotes that starts at the repository's root; `<name>` stands for any text."""
    for quoted in re.findall(r"`([^`\s]+)`", text):
        if quoted.split("/")[0] in _TOP and ("/" in quoted or "." in quoted):
            yield quoted


def exists(path: str) -> bool:
    pattern = re.sub(r"<[^>]*>", "*", path).rstrip("/")
    return any(ROOT.glob(pattern))


def test_every_path_of_the_page_exists() -> None:
    paths = list(named(PAGE.read_text()))
    assert len(paths) > 50
    assert [path for path in paths if not exists(path)] == []


def test_a_path_that_does_not_exist_is_found() -> None:
    assert list(named("`harness/nowhere.py`, `lab-config/boards/<kind>.yaml`, `a/b`, `assay run`")) == [
        "harness/nowhere.py",
        "lab-config/boards/<kind>.yaml",
    ]
    assert not exists("harness/nowhere.py")
    assert exists("lab-config/boards/<kind>.yaml")


def test_the_memory_map_is_that_of_the_kernel() -> None:
    header = HEADER.read_text()
    offsets = re.findall(r"_VA +\(KERNEL_VA \+ \w+\((0x\w+)\)\)", header)
    page = re.findall(r"^ (0x[0-9a-f_]+) ", PAGE.read_text(), re.MULTILINE)
    assert [int(offset.replace("_", ""), 16) for offset in page] == [int(offset, 16) for offset in offsets]
    sizes = dict(re.findall(r"#define (\w+)_SIZE +\w+\((0x\w+)\)", header))
    for name, mib in (("IMAGE", 2), ("JIT", 2), ("STACKS", 2), ("BLOB_POOL", 2), ("MAP_POOL", 4),
                      ("ARENA", 16), ("TRACE_POOL", 8), ("POOLS", 34)):  # fmt: skip
        assert int(sizes[name], 16) == mib << 20, name
