"""The C check of `assay lint`: the order of the firmware's folders."""

from __future__ import annotations

import re

import pytest

from contracts.root import ROOT
from harness.checks.c_style import BELOW, findings


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
        ("firmware/bpf/x.h", '#include "bpf.h"\n\n#include "kernel/kernel.h"\n', "x.h:3: firmware/bpf may"),
        ("firmware/channel/x.c", '#include "bpf/bpf.h"\n', "not bpf/bpf.h"),
        ("firmware/domain/x.c", "", "has no place in the order of folders"),
        ("firmware/live/x.h", '#include "live/x.h"\n', "firmware/live/x.h -> firmware/live/x.h"),
    ],
)
def test_an_include_against_the_order_is_found(path: str, text: str, found: str) -> None:
    (finding,) = findings({path: text})
    assert found in finding


def test_headers_in_a_circle_are_found_once() -> None:
    files = {"firmware/live/a.h": '#include "live/b.h"\n', "firmware/live/b.h": '#include "live/a.h"\n'}
    assert findings(files) == [
        "firmware/live/a.h:1: headers in a circle: firmware/live/a.h -> firmware/live/b.h -> firmware/live/a.h"
    ]


def test_includes_along_the_order_are_fine() -> None:
    files = {
        "firmware/live/x.c": '#include "live/x.h"\n\n#include "channel/channel.h"\n#include "monocypher.h"\n',
        "firmware/live/x.h": '#include "kernel/memory.h"\n#include "board.h"\n',
        "suites/probe.c": '#include "kernel/kernel.h"\n',
    }
    assert findings(files) == []
