"""./assay on machines that are ready, partly set up or unsuitable: its actions, messages and exit codes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.root import ROOT

TOOLS = ("sh", "cat", "sed", "dirname", "readlink", "sha256sum", "head", "false")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that the launcher needs, never set up."""
    copy = tmp_path / "a folder" / "assay"
    copy.mkdir(parents=True)
    for name in ("assay", "requirements.lock", "requirements-sdist.lock", "pyproject.toml"):
        shutil.copy2(ROOT / name, copy / name)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "harness" / "setup", copy / "harness" / "setup", ignore=ignore)
    shutil.copy2(ROOT / "harness" / "__init__.py", copy / "harness" / "__init__.py")
    shutil.copytree(ROOT / "contracts", copy / "contracts", ignore=ignore)
    return copy


@pytest.fixture
def bare_env(tmp_path: Path) -> dict[str, str]:
    """An environment whose PATH has neither apt-get nor a compiler nor QEMU."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)
    return {"PATH": str(programs), "HOME": str(tmp_path), "ASSAY_PYTHON": sys.executable}


def launch(checkout: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "assay"), *arguments],
        env=env,
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def mark_set_up(checkout: Path) -> None:
    """The result of set-up, with an interpreter that prints its arguments."""
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "python: $*"\nexit 7\n')
    python.chmod(0o755)
    files = [
        checkout / name
        for name in ("assay", "requirements.lock", "requirements-sdist.lock", "pyproject.toml")
    ]
    files += [
        *sorted((checkout / "harness" / "setup").glob("*.py")),
        checkout / "harness" / "setup" / "nocommon.cmake",
    ]
    checksum = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    (checkout / ".venv" / ".assay").mkdir()
    for level in ("complete", "tests"):
        (checkout / ".venv" / ".assay" / level).write_text(checksum)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["setup", "--help"], ["run", "-h"]])
def test_help_on_a_machine_that_is_not_set_up_explains_and_installs_nothing(
    checkout: Path, bare_env: dict[str, str], arguments: list[str]
) -> None:
    done = launch(checkout, bare_env, *arguments)
    assert done.returncode == 0
    assert "./assay run" in done.stdout
    assert not (checkout / ".venv").exists()
    assert not (checkout / "build").exists()


def test_the_version_is_told_on_a_machine_that_is_not_set_up(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    done = launch(checkout, bare_env, "--version")
    assert re.fullmatch(r"assay \d+\.\d+\.\d+ \(not set up\)\n", done.stdout)
    assert not (checkout / ".venv").exists()


def test_the_help_of_setup_comes_from_the_cli_once_there_is_one(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    mark_set_up(checkout)
    assert launch(checkout, bare_env, "setup", "--help").stdout == "python: -P -m harness.cli setup --help\n"


def test_a_machine_without_apt_is_told_every_missing_package_and_ends_with_69(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    done = launch(checkout, bare_env, "run")
    assert done.returncode == 69
    for package in ("g++", "git", "qemu-system-arm"):
        assert package in done.stderr
    assert "do: install them" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_old_qemu_is_named_with_its_version(
    checkout: Path, bare_env: dict[str, str], tmp_path: Path
) -> None:
    old = tmp_path / "qemu"
    old.write_text("#!/bin/sh\necho 'QEMU emulator version 7.2.19 (Debian)'\n")
    old.chmod(0o755)
    done = launch(checkout, {**bare_env, "ASSAY_QEMU": str(old)}, "run")
    assert done.returncode == 69
    assert "QEMU 7.2.19" in done.stderr
    assert "version 9 or newer" in done.stderr


def test_without_a_python_of_3_11_it_says_so_and_ends_with_69(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    done = launch(checkout, {**bare_env, "ASSAY_PYTHON": "false"}, "run")
    assert done.returncode == 69
    assert "Python 3.11 or newer is needed" in done.stderr


def test_a_machine_that_is_set_up_goes_straight_to_the_cli_with_its_arguments_and_exit_code(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    mark_set_up(checkout)
    done = launch(checkout, {**bare_env, "ASSAY_PYTHON": "false"}, "run", "--seed", "7")
    assert done.stdout == "python: -P -m harness.cli run --seed 7\n"
    assert done.returncode == 7
    assert done.stderr == ""


def test_a_machine_set_up_for_runs_is_set_up_further_for_tests(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    mark_set_up(checkout)
    (checkout / ".venv" / ".assay" / "tests").unlink()
    assert launch(checkout, bare_env, "run").returncode == 7
    further = launch(checkout, {**bare_env, "ASSAY_PYTHON": "false"}, "test")
    assert further.returncode == 69, "the launcher asks set-up for what only tests need"
    stamps = checkout / ".venv" / ".assay"
    shutil.copy2(stamps / "complete", stamps / "tests")
    assert launch(checkout, {**bare_env, "ASSAY_PYTHON": "false"}, "test").returncode == 7


@pytest.mark.parametrize("name", ["assay", "requirements.lock", "pyproject.toml", "harness/setup/install.py"])
def test_a_change_of_what_set_up_depends_on_sets_up_again(
    checkout: Path, bare_env: dict[str, str], name: str
) -> None:
    mark_set_up(checkout)
    with (checkout / name).open("a") as file:
        file.write("# changed\n")
    done = launch(checkout, {**bare_env, "ASSAY_PYTHON": "false"}, "run")
    assert done.returncode == 69
    assert "python: " not in done.stdout


def test_a_lost_interpreter_sets_up_again(checkout: Path, bare_env: dict[str, str]) -> None:
    mark_set_up(checkout)
    (checkout / ".venv" / "bin" / "python").unlink()
    assert launch(checkout, {**bare_env, "ASSAY_PYTHON": "false"}, "run").returncode == 69


def test_a_second_first_start_waits_for_the_first_and_can_be_ended(
    checkout: Path, bare_env: dict[str, str]
) -> None:
    (checkout / "build").mkdir()
    with (checkout / "build" / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with subprocess.Popen(
            [str(checkout / "assay"), "run"],
            env=bare_env,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as waiting:
            assert waiting.stderr is not None
            assert "another set-up of this folder is running" in waiting.stderr.readline()
            waiting.terminate()
            assert waiting.wait(timeout=30) == 130
            assert "interrupted" in waiting.stderr.read()


def test_the_launcher_is_plain_posix_sh_and_works_through_a_symbolic_link(
    checkout: Path, bare_env: dict[str, str], tmp_path: Path
) -> None:
    mark_set_up(checkout)
    link = tmp_path / "link"
    link.symlink_to(checkout / "assay")
    done = subprocess.run(
        [str(link), "boards"], env=bare_env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "python: -P -m harness.cli boards\n"
    assert os.access(ROOT / "assay", os.X_OK)
    assert (ROOT / "assay").read_text().startswith("#!/bin/sh\n")
