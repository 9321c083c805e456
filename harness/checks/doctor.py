"""`assay doctor`: checks everything that a run needs on this machine and says how to fix what is wrong."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pty
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from contracts.root import ROOT
from harness.runs.record import DEFAULT_RESULTS
from harness.setup.system import QEMU_MAJOR, qemu_command, qemu_version

MODELS: Final = ROOT / "ai" / "models"
QEMU_MACHINES: Final = ("virt", "raspi3b", "raspi4b")
ZIG_VERSION: Final = "0.17.0"
FREE_BYTES: Final = 500 * 1024**2

_PROBE_TIMEOUT_S: Final = 30.0
_SETUP: Final = "run `./assay setup`; if that does not help, remove .venv and run it again"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: whether it is `ok`, what a run expects, what was seen, and what to do if it is not ok."""

    name: str
    ok: bool
    expected: str
    seen: str
    do: str = ""


def run_doctor(results: Path = DEFAULT_RESULTS) -> list[Check]:
    """Check this machine. Changes and raises nothing: a check that cannot run has failed."""
    looks: list[Callable[[], Check]] = [
        _python,
        _qemu,
        _qemu_machines,
        _zig,
        *(
            lambda module=module: _module(module)
            for module in ("llama_cpp", "monocypher", "cffi", "capstone")
        ),
        _git,
        _model,
        lambda: _writable(results),
        lambda: _disk(results),
        _pty,
        _setpriv,
    ]
    checks: list[Check] = []
    for look in looks:
        try:
            checks.append(look())
        except (OSError, subprocess.SubprocessError) as error:
            checks.append(Check("probe", ok=False, expected="an answer", seen=str(error), do=_SETUP))
    return checks


def render(checks: Sequence[Check], console: Console | None = None) -> int:
    """Print the checks as a table, then what to do. Returns the exit code: 0, or 69 if a check failed."""
    console = console or Console()
    table = Table(box=None, pad_edge=False)
    for column in ("", "check", "expected", "seen"):
        table.add_column(column, overflow="fold")
    for check in checks:
        mark = "[green]ok[/]" if check.ok else "[red]fail[/]"
        table.add_row(mark, check.name, escape(check.expected), escape(check.seen))
    console.print(table)
    failed = [check for check in checks if not check.ok]
    for check in failed:
        console.print(f"\n[red]{check.name}[/]: {escape(check.do)}", highlight=False, soft_wrap=True)
    if not failed:
        console.print("\nThis machine is ready. KVM is not needed: QEMU emulates the boards.")
    return 69 if failed else 0


def print_doctor(console: Console | None = None) -> int:
    """Check this machine and print the result. Returns the exit code: 0, or 69."""
    return render(run_doctor(), console)


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    inside = Path(sys.prefix).resolve() == (ROOT / ".venv").resolve()
    seen = f"{version} in {sys.prefix}"
    do = "start the CLI with ./assay, which uses .venv"
    return Check("python", sys.version_info >= (3, 11) and inside, "3.11 or newer, from .venv", seen, do)


def _qemu() -> Check:
    command = qemu_command()
    version = qemu_version(command)
    seen = (
        "none" if version is None else f"{'.'.join(map(str, version))} ({shutil.which(command) or command})"
    )
    do = "run `./assay setup` after removing .venv/.assay/complete, or point ASSAY_QEMU at a newer QEMU"
    return Check("qemu", version is not None and version[0] >= QEMU_MAJOR, f"{QEMU_MAJOR} or newer", seen, do)


def _qemu_machines() -> Check:
    out = subprocess.run(
        [qemu_command(), "-machine", "help"],
        capture_output=True,
        text=True,
        timeout=_PROBE_TIMEOUT_S,
        check=False,
    ).stdout
    known = {line.split()[0] for line in out.splitlines() if line.strip()}
    found = [machine for machine in QEMU_MACHINES if machine in known]
    return Check(
        "qemu machines",
        len(found) == len(QEMU_MACHINES),
        ", ".join(QEMU_MACHINES),
        ", ".join(found) or "none",
        "install the distribution's qemu-system-arm, which has the Raspberry Pi machines",
    )


def _zig() -> Check:
    spec = importlib.util.find_spec("ziglang")
    seen = "no module ziglang"
    if spec is not None and spec.origin is not None:
        zig = Path(spec.origin).parent / "zig"
        result = subprocess.run(
            [str(zig), "version"], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
        seen = result.stdout.strip() or result.stderr.strip() or f"exit status {result.returncode}"
    return Check("zig", seen == ZIG_VERSION, ZIG_VERSION, seen, _SETUP)


def _module(name: str) -> Check:
    try:
        module = importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        return Check(name, ok=False, expected="imports", seen=f"{type(error).__name__}: {error}", do=_SETUP)
    version = getattr(module, "__version__", "")
    return Check(name, ok=True, expected="imports", seen=str(version) or "imported")


def _git() -> Check:
    result = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        timeout=_PROBE_TIMEOUT_S,
        check=False,
    )
    lines = result.stderr.strip().splitlines()
    seen = result.stdout.strip() or (lines[0] if lines else f"exit status {result.returncode}")
    do = f"work in a clone; for 'dubious ownership': git config --global --add safe.directory {ROOT}"
    return Check("git", result.returncode == 0, "a repository with a commit", seen, do)


def _model() -> Check:
    do = (
        "restore ai/models from the repository (`git checkout ai/models`), or name another model with --model"
    )
    found = sorted(MODELS.glob("*.gguf"))
    if not found:
        return Check("model", ok=False, expected="a GGUF file in ai/models", seen="none", do=do)
    with found[0].open("rb") as file:
        magic = file.read(4)
    size_mb = found[0].stat().st_size / 1e6
    seen = f"{found[0].name}, {size_mb:.1f} MB" + ("" if magic == b"GGUF" else f", begins with {magic!r}")
    return Check("model", magic == b"GGUF", "a GGUF file in ai/models", seen, do)


def _writable(results: Path) -> Check:
    nearest = next(folder for folder in (results, *results.parents) if folder.exists())
    do = "make it writable, or name another folder with --results"
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        return Check("results", ok=False, expected=f"{results} can be written", seen=str(error), do=do)
    return Check("results", ok=True, expected=f"{results} can be written", seen="written")


def _disk(results: Path) -> Check:
    nearest = next(folder for folder in (results, *results.parents) if folder.exists())
    free = shutil.disk_usage(nearest).free
    return Check(
        "disk",
        free >= FREE_BYTES,
        f"{FREE_BYTES / 1024**2:.0f} MiB free",
        f"{free / 1024**2:.0f} MiB",
        f"free space on the disk of {nearest}; old runs in results/ may be removed",
    )


def _pty() -> Check:
    try:
        controller, terminal = pty.openpty()
    except OSError as error:
        do = "mount devpts on /dev/pts (in a chroot: `mount --rbind /dev DIR/dev`)"
        return Check("pseudo-terminal", ok=False, expected="/dev/ptmx opens", seen=str(error), do=do)
    name = os.ttyname(terminal)
    os.close(controller)
    os.close(terminal)
    return Check("pseudo-terminal", ok=True, expected="/dev/ptmx opens", seen=name)


def _setpriv() -> Check:
    seen = shutil.which("setpriv")
    do = "install util-linux: setpriv starts QEMU so that it ends with the lab"
    return Check("setpriv", seen is not None, "in PATH", seen or "none", do)
