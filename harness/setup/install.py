"""Sets up this machine: system packages, `.venv` from the lock files, this project in it, the kernel's C sources.

`./assay` runs it as `python3 -m harness.setup.install CHECKSUM LAUNCHER ARGUMENT...` with the machine's own
Python, so it may import only the standard library; at the end it starts the launcher again. Each step writes a
stamp to `.venv/.assay/`; an interrupted set-up resumes at the step where it stopped. The stamp `complete`, which
the launcher compares, is written last.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from contracts.errors import SetupError
from contracts.root import ROOT
from harness.setup import system
from harness.setup.progress import Progress

VENV: Final = ROOT / ".venv"
STAMPS: Final = VENV / ".assay"
LOCK_WAIT_S: Final = 3600.0
NEEDED_BYTES: Final = 2 * 1024**3

_FETCH_TIMEOUT_S: Final = 1800.0
_BUILD_TIMEOUT_S: Final = 3600.0
_WHEELS: Final = ROOT / "requirements.lock"
_SOURCES: Final = ROOT / "requirements-sdist.lock"
_NO_COMMON: Final = ROOT / "harness" / "setup" / "nocommon.cmake"

LLAMA_CMAKE_ARGS: Final = (
    "-DLLAVA_BUILD=OFF",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_TOOLS=OFF",
    "-DLLAMA_BUILD_SERVER=OFF",
    "-DLLAMA_BUILD_APP=OFF",
    # One build for all x86-64-v2 or ARMv8 machines: a venv can be copied, and figures stay comparable.
    "-DGGML_NATIVE=OFF",
)


A64_LINUX_FLAGS: Final = (
    "-target",
    "aarch64-linux-musl",
    "-mcpu=cortex_a53",
    "-static",
    "-O2",
    "-fno-sanitize=undefined",
)
"""How A64 programs for qemu-user are compiled: zig keeps a C library for each choice of these."""


def main(arguments: list[str]) -> int:
    """Set up, mark as complete for the launcher's checksum, and start the launcher again. On failure returns 69 or 130."""
    checksum, *launcher = arguments
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress(ROOT / "build" / "setup.log")
    try:
        with _exclusive(progress):
            tests = launcher[1:2] in (["test"], ["setup"])
            complete = STAMPS / ("tests" if tests else "complete")
            # Another first start may have completed it while this one waited.
            if not (
                _venv_works() and complete.is_file() and complete.read_text(encoding="ascii") == checksum
            ):
                progress.say(f"setting up this machine; details in {progress.log}")
                set_up(progress, tests=tests)
                for level in {complete, STAMPS / "complete"}:
                    _write_atomically(level, checksum)
                progress.say(f"set-up complete after {progress.elapsed_s:.0f} s")
    except SetupError as error:
        sys.stderr.write(f"assay: {error}\n")
        return error.exit_code
    except OSError as error:
        failure = SetupError(
            "set-up could not read or write a file",
            expected=f"a writable {ROOT} on a disk with free space",
            seen=str(error),
            do="free space or correct permissions and start again: set-up resumes where it stopped",
        )
        sys.stderr.write(f"assay: {failure}\n")
        return failure.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("\nassay: set-up interrupted; the next start resumes where it stopped\n")
        return 130
    if launcher:
        os.execve(launcher[0], launcher, _clean_env())  # noqa: S606
    return 0


def set_up(progress: Progress, *, tests: bool = False) -> None:
    """All steps in order; with `tests` also those that only the tests need. Raises SetupError for the first failure."""
    progress.left = [*_LEFT[:-1], *(_LEFT_FOR_TESTS if tests else ()), *_LEFT[-1:]]
    system.ensure(progress, tests=tests)
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES and not (STAMPS / "wheels").exists():
        raise SetupError(
            "too little free space on the disk",
            expected=f"{NEEDED_BYTES / 1024**3:.0f} GiB free in {ROOT}",
            seen=f"{free / 1024**3:.1f} GiB",
            do="free space and start again",
        )
    progress.begin(".venv")
    _make_venv(progress)
    env = _clean_env()
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    hashed = ["--require-hashes", "--no-deps"]

    progress.begin("Python packages")
    with _step("wheels", _digest(_WHEELS)) as due:
        if due:
            command = [*pip, "install", *hashed, "--only-binary", ":all:", "-r", str(_WHEELS)]
            step = "Python packages (compilers, test tools)"
            progress.run(step, command, timeout_s=_FETCH_TIMEOUT_S, env=env, do=_NETWORK)
    progress.begin("llama.cpp")
    with _step("sources", _sources_key()) as due:
        if due:
            wheels = _built_wheels(progress, pip, hashed, env)
            command = [*pip, "install", "--no-deps", "--no-index", "--force-reinstall", *map(str, wheels)]
            progress.run("llama.cpp and Monocypher into .venv", command, timeout_s=_FETCH_TIMEOUT_S, env=env)
    progress.begin("this project")
    with _step("project", _digest(ROOT / "pyproject.toml")) as due:
        if due:
            command = [*pip, "install", "--no-deps", "--no-build-isolation", "--no-index"]
            # `compat` puts the root on the path with a .pth: type checkers and debuggers follow it.
            command += ["--config-settings", "editable_mode=compat", "-e", str(ROOT)]
            progress.run("this project into .venv", command, timeout_s=_FETCH_TIMEOUT_S, env=env)
    progress.begin("C sources")
    with _step("third_party", _digest(_SOURCES)) as due:
        if due:
            command = [str(VENV / "bin" / "python"), "-P", "-m", "harness.kernel.third_party"]
            progress.run(
                "C sources for the kernel", command, timeout_s=_FETCH_TIMEOUT_S, env=env, do=_NETWORK
            )
    if tests:
        progress.begin("C library of tests")
        with _step("a64_libc", _digest(_WHEELS)) as due:
            if due:
                _warm_a64_libc(progress, env)
    progress.begin("check")
    probe = "import cffi, llama_cpp, monocypher, numpy, pydantic, pytest, typer; "
    # A machine is often quiet after its set-up: its pace at that time is the reference for later figures.
    probe += "from ai.reference import Reference; from harness.machine.pace import Pace; Pace(Reference())"
    command = [str(VENV / "bin" / "python"), "-P", "-c", probe]
    progress.run(
        "check of what was installed, and of this machine's pace",
        command,
        timeout_s=_FETCH_TIMEOUT_S,
        env=env,
    )


def _warm_a64_libc(progress: Progress, env: dict[str, str]) -> None:
    """Let zig compile its C library for A64 Linux now: minutes on a busy machine, which the first test would spend."""
    with tempfile.TemporaryDirectory(dir=ROOT / "build", prefix=".warm-") as name:
        source = Path(name) / "warm.c"
        source.write_text(
            '#include <stdio.h>\nint main(void) { return puts("warm") < 0; }\n', encoding="ascii"
        )
        command = [str(VENV / "bin" / "python"), "-P", "-m", "ziglang", "cc", *A64_LINUX_FLAGS]
        command += ["-o", str(Path(name) / "warm"), str(source)]
        progress.run(
            "C library for A64 programs of tests (minutes)", command, timeout_s=_BUILD_TIMEOUT_S, env=env
        )


_LEFT: Final = (".venv", "Python packages", "llama.cpp", "this project", "C sources", "check")
"""The steps after the system packages, in order."""
_LEFT_FOR_TESTS: Final = ("C library of tests",)

_NETWORK: Final = (
    "check that pip reaches its package index (`pip config list`, a proxy, certificates) and start again: "
    "set-up resumes where it stopped"
)


def _venv_works() -> bool:
    python = VENV / "bin" / "python"
    if not python.exists():
        return False
    command = [str(python), "-P", "-c", "import pip, sys; sys.exit(sys.version_info < (3, 11))"]
    return (
        subprocess.run(command, capture_output=True, check=False, timeout=60, env=_clean_env()).returncode
        == 0
    )


def _make_venv(progress: Progress) -> None:
    if not _venv_works():
        if VENV.exists():
            progress.say(".venv is incomplete or its interpreter is missing: creating it again")
        command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        progress.run("virtual environment .venv", command, timeout_s=300, env=_clean_env())
    STAMPS.mkdir(exist_ok=True)


def _built_wheels(progress: Progress, pip: list[str], hashed: list[str], env: dict[str, str]) -> list[Path]:
    """Wheels of the source-only distributions: from this user's cache, or compiled and cached."""
    cache = _cache_folder() / _sources_key()[:24]
    if not cache.is_dir():
        cache.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix=".building-") as work:
            build_env = {
                **env,
                # cmake and ninja come from .venv; the user's compiler wrappers stay in PATH after it.
                "PATH": f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}",
                "CMAKE_ARGS": _cmake_args(),
                "CMAKE_GENERATOR": "Ninja",
                "CMAKE_BUILD_PARALLEL_LEVEL": str(len(os.sched_getaffinity(0))),
            }
            wheels = Path(work) / "wheels"
            # pip's own cache could return a wheel built with other options.
            command = [
                *pip,
                "wheel",
                *hashed,
                "--no-cache-dir",
                "--no-build-isolation",
                "--no-binary",
                ":all:",
                "-v",
            ]
            command += ["--wheel-dir", str(wheels), "-r", str(_SOURCES)]
            step = "compile llama.cpp and Monocypher (minutes)"
            progress.run(step, command, timeout_s=_BUILD_TIMEOUT_S, env=build_env)
            if not cache.is_dir():
                wheels.rename(cache)
    return sorted(cache.glob("*.whl"))


def _cache_folder() -> Path:
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(chosen) if chosen.startswith("/") else Path("~/.cache").expanduser()
    nearest = next(folder for folder in (base, *base.parents) if folder.exists())
    return base / "assay" / "wheels" if os.access(nearest, os.W_OK) else ROOT / "build" / "wheels"


def _cmake_args() -> str:
    return shlex.join([*LLAMA_CMAKE_ARGS, f"-DCMAKE_PROJECT_llama.cpp_INCLUDE={_NO_COMMON}"])


def _sources_key() -> str:
    parts = [_digest(_SOURCES, _NO_COMMON), *LLAMA_CMAKE_ARGS, platform.machine(), *platform.libc_ver()]
    configuration = (VENV / "pyvenv.cfg").read_text(encoding="utf-8")
    parts += [line for line in configuration.splitlines() if line.startswith("version")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@contextmanager
def _step(name: str, fingerprint: str) -> Iterator[bool]:
    """Yields whether the step must run; writes its stamp if the block ends without an error."""
    stamp = STAMPS / name
    due = not stamp.is_file() or stamp.read_text(encoding="ascii") != fingerprint
    yield due
    if due:
        _write_atomically(stamp, fingerprint)


@contextmanager
def _exclusive(progress: Progress) -> Iterator[None]:
    """Hold set-up's lock, so that two first starts do not work on one `.venv`."""
    with (ROOT / "build" / "setup.lock").open("w", encoding="ascii") as lock:
        deadline = time.monotonic() + LOCK_WAIT_S
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"another set-up of this folder has been running for {LOCK_WAIT_S / 60:.0f} minutes",
                        expected="an exit",
                        seen=f"{lock.name} locked",
                        do="end that process and start again",
                    ) from error
                if not told:
                    progress.say("another set-up of this folder is running; waiting for it")
                    told = True
                time.sleep(0.5)
        yield


def _clean_env() -> dict[str, str]:
    """The environment without variables that would mislead `.venv`'s Python."""
    astray = {
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "PIP_REQUIRE_HASHES",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_USER",
    }
    return {key: value for key, value in os.environ.items() if key not in astray}


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def _write_atomically(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.new")
    temporary.write_text(text, encoding="ascii")
    temporary.replace(file)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
