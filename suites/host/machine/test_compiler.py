"""A compiler that cannot be started is a machine to set up (69), a folder without room the lab's fault (75)."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contracts.errors import AssayError, InfraError, ProgramRejected, SetupError
from harness.bpf import compile as bpf_compile
from harness.bpf import native_build
from harness.kernel import build

LOADER = "error while loading shared libraries: libc.so: cannot open shared object file"


def _kernel(folder: Path) -> None:
    build.build_kernel("qemu-virt", out=folder)


def _program(_folder: Path) -> None:
    bpf_compile.compile_c("int f(void) { return 0; }\n")


def _engine(_folder: Path) -> None:
    native_build.library()


BUILDS = pytest.mark.parametrize("what", [_kernel, _program, _engine], ids=["kernel", "program", "engine"])


@pytest.fixture(params=["missing", "not executable", "a library is missing"])
def compiler(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The compiler of every build, broken."""
    path = tmp_path / "zig"
    if request.param != "missing":
        path.write_text(f'#!/bin/sh\necho "$0: {LOADER}" >&2\nexit 127\n')
    if request.param == "a library is missing":
        path.chmod(0o755)
    monkeypatch.setattr(build, "_zig", lambda: str(path))
    monkeypatch.setattr(bpf_compile, "zig", lambda: path)
    monkeypatch.setattr(native_build, "zig", lambda: path)
    monkeypatch.setattr(native_build, "BUILD_DIR", tmp_path / "native")
    return path


@BUILDS
def test_a_compiler_that_cannot_be_started_ends_with_69_and_says_what_to_do(
    compiler: Path, what: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match="cannot be started") as caught:
        what(tmp_path / "out")
    assert caught.value.exit_code == 69
    assert str(compiler) in str(caught.value)
    assert "./assay setup" in caught.value.do


@pytest.mark.parametrize("tool", ["meson", "ninja"])
def test_a_build_tool_that_cannot_be_started_is_no_fault_of_the_source_either(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / tool
    broken.write_text(f'#!/bin/sh\necho "$0: {LOADER}" >&2\nexit 127\n')
    broken.chmod(0o755)
    whole = build._tool
    monkeypatch.setattr(build, "_tool", lambda name: str(broken) if name == tool else whole(name))
    with pytest.raises(SetupError, match="cannot be started") as caught:
        _kernel(tmp_path / "out")
    assert str(broken) in str(caught.value)


@pytest.fixture
def no_room() -> Iterator[None]:
    """Files of this process and its children end at 64 KiB: the write fails where it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _is_the_disks(error: AssayError) -> None:
    assert error.exit_code == 75
    assert "cannot be written" in str(error)
    assert "free space" in error.do


@pytest.mark.usefixtures("no_room")
def test_a_kernel_build_that_runs_out_of_room_is_the_labs_fault(tmp_path: Path) -> None:
    with pytest.raises(InfraError) as caught:
        _kernel(tmp_path / "out")
    _is_the_disks(caught.value)


@pytest.mark.usefixtures("no_room")
def test_an_engine_build_that_runs_out_of_room_is_the_labs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_build, "BUILD_DIR", tmp_path / "native")
    with pytest.raises(InfraError) as caught:
        native_build.library()
    _is_the_disks(caught.value)


def test_a_build_folder_that_cannot_be_made_is_the_labs_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(native_build, "BUILD_DIR", tmp_path / "file" / "native")
    for what in (_kernel, _engine):
        with pytest.raises(InfraError) as caught:
            what(tmp_path / "file" / "out")
        _is_the_disks(caught.value)


def test_a_temporary_folder_without_room_is_no_refusal_of_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(InfraError) as caught:
        _program(tmp_path)
    _is_the_disks(caught.value)


def test_a_program_that_does_not_compile_is_still_refused() -> None:
    with pytest.raises(ProgramRejected, match="does not compile"):
        bpf_compile.compile_c("int f(void) { return missing; }\n")
    with pytest.raises(ProgramRejected, match="does not compile"):
        bpf_compile.compile_c("int f(void) {")
