"""QEMU's newer version comes from the mirror that the machine's own apt configuration names, in either format."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import SetupError
from harness.setup.system import AptSource, backports_stanza, qemu_version, read_sources

ONE_LINE = """\
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/lab.gpg] http://mirror.example/debian bookworm main contrib # note
deb http://security.example bookworm-security main
"""
DEB822 = """\
Types: deb deb-src
# a remark between fields
URIs: http://one.example/debian
 http://two.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
Enabled: no
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""


def test_one_line_sources_are_read_with_their_key(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    assert read_sources(tmp_path) == [
        AptSource(
            "http://mirror.example/debian", ("bookworm",), ("main", "contrib"), "/usr/share/keyrings/lab.gpg"
        ),
        AptSource("http://security.example", ("bookworm-security",), ("main",), ""),
    ]


def test_deb822_sources_are_read_without_the_disabled_and_the_source_ones(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d" / "debian.sources").write_text(DEB822)
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    suites = ("bookworm", "bookworm-updates")
    assert read_sources(tmp_path) == [
        AptSource("http://one.example/debian", suites, ("main",), key),
        AptSource("http://two.example/debian", suites, ("main",), key),
    ]


def test_backports_are_taken_from_the_mirror_that_serves_the_release(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(ONE_LINE)
    assert backports_stanza(read_sources(tmp_path), "bookworm") == (
        "Types: deb\n"
        "URIs: http://mirror.example/debian\n"
        "Suites: bookworm-backports\n"
        "Components: main\n"
        "Signed-By: /usr/share/keyrings/lab.gpg\n"
    )


def test_without_a_mirror_of_the_release_it_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb http://security.example bookworm-security main\n")
    with pytest.raises(SetupError, match="no mirror that provides QEMU") as caught:
        backports_stanza(read_sources(tmp_path), "bookworm")
    assert "ASSAY_QEMU" in caught.value.do


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)", (10, 0, 2)),
        ("QEMU emulator version 9.1", (9, 1)),
        ("something else", None),
    ],
)
def test_qemu_is_asked_for_its_version(tmp_path: Path, printed: str, version: tuple[int, ...] | None) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\necho '{printed}'\n")
    program.chmod(0o755)
    assert qemu_version(str(program)) == version
    assert qemu_version(str(tmp_path / "absent")) is None
