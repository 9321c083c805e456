"""`assay power` and `assay flash` on boards of hardware, up and not, by the words that a person types."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.board import BoardSpec
from harness.boards.rack import request
from harness.cli import app
from harness.keeper.board import attached
from harness.keeper.find import boards_up
from harness.kernel.board_kernel import kernel_for
from harness.kernel.build import KernelImage
from harness.lease import acquire

Type = Callable[..., str]


@pytest.fixture
def assay(lab_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    monkeypatch.setenv("ASSAY_LAB", str(lab_file))

    def run(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["assay", *arguments])
        ended = app.main()
        printed = capsys.readouterr()
        assert ended == code, printed.out + printed.err
        return printed.out + (printed.err if code else "")

    return run


def test_a_board_is_switched_and_left_as_it_was_asked(spec: BoardSpec, lab_file: Path, assay: Type) -> None:
    name = spec.places[0].name
    for verb, state in (("on", "on"), ("cycle", "on"), ("off", "off")):
        assay("power", verb, name)
        assert request(lab_file, f"{name} state") == state
        assert assay("power", "state", name) == f"{state}\n"
    assert assay("power", "state", spec.kind).splitlines()[0] == f"{name}: off"
    with acquire(spec, places=[spec.places[0]], purpose="somebody's test"):
        assert assay("power", "state", name) == "off\n"  # looks, and is in nobody's way
    assert "has no power switch" in assay("power", "on", "qemu-virt-0", code=4)


def test_a_switch_that_fails_is_the_labs_fault_and_said_so(
    spec: BoardSpec, lab_file: Path, assay: Type
) -> None:
    name = spec.places[0].name
    request(lab_file, f"{name} switch fail")
    try:
        assert "the relay does not answer" in assay("power", "on", name, code=75)
    finally:
        request(lab_file, f"{name} switch work")


def test_a_kernel_of_ones_own_is_flashed_and_checked(
    spec: BoardSpec, lab_file: Path, image: KernelImage, assay: Type, tmp_path: Path
) -> None:
    name = spec.places[1].name
    told = assay("flash", name)
    assert told.splitlines()[-1] == f"{name} runs build {image.build_id.hex()[:8]} and is left on"
    assert request(lab_file, f"{name} state") == "on"
    testing = kernel_for(spec, "testing")
    mine = tmp_path / "mine.img"
    mine.write_bytes(testing.img.read_bytes())
    assay("up", name)
    try:
        assert f"{name} runs build {testing.build_id.hex()[:8]}" in assay("flash", name, str(mine))
        mine.unlink()
        assay("power", "cycle", name)  # boots what was flashed, though its file is gone
        (up,) = boards_up()
        with attached(up.socket, spec) as board:
            assert board.client.hello().build_id == testing.build_id
    finally:
        assay("down", name)
    assert request(lab_file, f"{name} state") == "off"
    assert "no kernel for a board" in assay("flash", name, str(lab_file), code=4)
