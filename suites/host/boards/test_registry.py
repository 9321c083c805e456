"""Board files: a typo is an error with its location and the nearest match; patterns select board types."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import ConfigError
from harness.boards.registry import load_board, load_boards, select, select_one

GOOD = """\
schema: 1
kind: bench-one
firmware: qemu-virt
tags: [default, bench]
boot_timeout_s: 10
request_timeout_s: 5.0
qemu:
  machine: virt
  memory_mib: 256
  cores: 1
  boot: elf
"""


def write(folder: Path, text: str, name: str = "bench-one") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_the_committed_boards_load_and_the_three_kinds_are_the_default() -> None:
    assert [spec.kind for spec in select([])] == ["qemu-rpi3", "qemu-rpi4", "qemu-virt"]
    assert {spec.kind: spec.qemu.boot for spec in load_boards() if spec.qemu} == {
        "qemu-rpi3": "img",
        "qemu-rpi4": "img",
        "qemu-virt": "elf",
    }


def test_a_good_file_becomes_a_spec(tmp_path: Path) -> None:
    spec = load_board(write(tmp_path, GOOD))
    assert (spec.kind, spec.tags, spec.boot_timeout_s, spec.console) == (
        "bench-one",
        ("default", "bench"),
        10.0,
        "unix",
    )


@pytest.mark.parametrize(
    ("old", "new", "where", "says"),
    [
        ("request_timeout_s", "request_timeout", "6:1", "did you mean 'request_timeout_s'"),
        ("  machine", "  machin", "8:3", "did you mean 'machine'"),
        ("boot: elf", "boot: elff", "11:9", "did you mean 'elf'"),
        ("cores: 1", "cores: none", "10:10", "integer"),
        ("cores: 1", "cores: 99", "10:10", "less than or equal to"),
        ("cores: 1", "cores: '1'", "10:10", "integer"),
        ("tags: [default, bench]", "tags: default", "4:7", "list"),
        ("boot_timeout_s: 10", "boot_timeout_s: -1", "5:17", "greater than 0"),
        ("schema: 1", "schema: 2", "1:9", "1"),
    ],
)
def test_a_typo_is_an_error_with_its_place(tmp_path: Path, old: str, new: str, where: str, says: str) -> None:
    path = write(tmp_path, GOOD.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_board(path)
    assert f"{path}:{where}" in str(caught.value)
    assert says in str(caught.value)
    assert caught.value.exit_code == 4


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="firmware"):
        load_board(write(tmp_path, GOOD.replace("firmware: qemu-virt\n", "")))


@pytest.mark.parametrize(
    "text", ["kind: [", "kind: a\nkind: b\n", "", "just words", "- a\n- b\n", "\t: x", "a: &x [*x]\n"]
)
def test_a_file_that_is_no_board_at_all_is_an_error_too(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ConfigError, match=path.name):
        load_board(path)


@pytest.mark.parametrize(("text", "seen"), [("", "an empty file"), ("- a\n- b\n", r"\['a', 'b'\]")])
def test_a_file_without_keys_says_which_it_could_have(tmp_path: Path, text: str, seen: str) -> None:
    with pytest.raises(ConfigError, match=rf"has no keys\n  expected: .*kind, firmware.*\n  seen: {seen}"):
        load_board(write(tmp_path, text))


def test_a_file_that_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "bench-one.yaml"
    path.write_bytes(b"\xff\xfe\x00kind")
    with pytest.raises(ConfigError, match=r"bench-one\.yaml"):
        load_board(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml"):
        load_board(tmp_path / "nowhere.yaml")


def test_the_file_is_named_after_its_kind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected: kind: other"):
        load_board(write(tmp_path, GOOD, "other"))


def test_patterns_choose_by_name_glob_and_tag() -> None:
    assert [spec.kind for spec in select(["qemu-virt"])] == ["qemu-virt"]
    assert {spec.kind for spec in select(["qemu-rpi*"])} == {"qemu-rpi3", "qemu-rpi4"}
    twice = [spec.kind for spec in select(["tag:qemu", "qemu-virt", "qemu-virt"])]
    assert sorted(twice) == ["qemu-rpi3", "qemu-rpi4", "qemu-virt"], (
        "each kind once, however often it is named"
    )
    assert select_one("qemu-rpi4").kind == "qemu-rpi4"


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("qemu-vrit", "did you mean 'qemu-virt'"),
        ("tag:defualt", "did you mean 'tag:default'"),
        ("rpi9*", "no board"),
    ],
)
def test_an_unknown_board_says_what_was_meant(pattern: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=meant):
        select([pattern])


def test_several_boards_are_not_one() -> None:
    with pytest.raises(ConfigError, match="expected: one board type"):
        select_one("qemu-rpi*")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no board files"):
        load_boards(tmp_path)


def test_a_place_chooses_its_kind_with_that_place_alone() -> None:
    (spec,) = select(["qemu-rpi3-2"])
    assert (spec.kind, [place.name for place in spec.places]) == ("qemu-rpi3", ["qemu-rpi3-2"])
    (spec,) = select(["qemu-rpi3-2", "qemu-rpi3-0"])
    assert [place.name for place in spec.places] == ["qemu-rpi3-2", "qemu-rpi3-0"]
    (spec,) = select(["qemu-rpi3-2", "qemu-rpi3"])
    assert len(spec.places) == select_one("qemu-rpi3").instances
    with pytest.raises(ConfigError, match="no board matches 'qemu-rpi3-9'"):
        select(["qemu-rpi3-9"])
