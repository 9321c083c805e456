"""A set-up step that fails or hangs: the end of the log on the screen, no process left running."""

from __future__ import annotations

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from contracts.errors import SetupError
from harness.setup import system
from harness.setup.install import STAMPS, _warm_a64_libc
from harness.setup.progress import Progress


def alive(process: int) -> bool:
    """Whether a process runs: an ended one may remain as a zombie until its new parent reaps it."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_step_that_succeeds_leaves_what_it_printed_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress(tmp_path / "build" / "setup.log")
    progress.run("greet", ["sh", "-c", "echo to out; echo to err >&2"], timeout_s=20)
    log = (tmp_path / "build" / "setup.log").read_text()
    assert "to out" in log
    assert "to err" in log
    assert "greet" in capsys.readouterr().err


def test_a_step_that_fails_shows_its_own_last_lines_and_not_those_of_an_earlier_step(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "setup.log")
    progress.run("first", ["echo", "of the first step"], timeout_s=20)
    with pytest.raises(SetupError) as caught:
        progress.run("second", ["sh", "-c", "echo the reason; exit 3"], timeout_s=20, do="repair it")
    assert caught.value.exit_code == 69
    assert "second" in caught.value.what
    assert "exit status 3" in caught.value.seen
    assert "the reason" in caught.value.seen
    assert "of the first step" not in caught.value.seen
    assert caught.value.do == "repair it"


def test_a_step_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.setup.progress._HEARTBEAT_S", 0.2)
    progress = Progress(tmp_path / "setup.log")
    with pytest.raises(SetupError, match="no exit within"):
        progress.run("hang", ["sh", "-c", "sleep 300 & echo group $$ child $!; wait"], timeout_s=0.5)
    said = re.search(r"group (\d+) child (\d+)", (tmp_path / "setup.log").read_text())
    assert said is not None
    deadline = time.monotonic() + 10
    while (
        left := [process for process in map(int, said.groups()) if alive(process)]
    ) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left


def test_what_the_first_test_would_have_built_is_built_by_set_up(tmp_path: Path) -> None:
    assert (STAMPS / "a64_libc").is_file(), "set-up has done this step, and does it once"
    progress = Progress(tmp_path / "setup.log")
    began = time.monotonic()
    _warm_a64_libc(progress, dict(os.environ))
    assert time.monotonic() - began < 100, "the C library is there, so that only ten lines are compiled"
    assert "aarch64-linux-musl" in (tmp_path / "setup.log").read_text()


def test_a_long_step_tells_on_one_line_what_is_left_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.setup.progress._HEARTBEAT_S", 0.1)
    progress = Progress(tmp_path / "setup.log")
    progress.left = [".venv", "llama.cpp", "check"]
    progress.begin("llama.cpp")
    progress.run("compile", ["sleep", "0.3"], timeout_s=20)
    assert "compile ... 0 s; then: check\n" in capsys.readouterr().err


def test_what_only_tests_need_is_no_need_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    which = shutil.which
    monkeypatch.setattr(
        "shutil.which", lambda name, *more: None if name == "qemu-aarch64" else which(name, *more)
    )
    assert "qemu-user" not in [need.package for need in system.missing()]
    assert "qemu-user" in [need.package for need in system.missing(tests=True)]
