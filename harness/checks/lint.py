"""`assay lint`: runs every linter and lists those that failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

from contracts.errors import SetupError
from contracts.root import ROOT
from harness.checks.prose import ENDINGS

_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Linter:
    """A command that exits with 0 if it finds nothing; `fix` is the command that repairs what it finds."""

    name: str
    command: tuple[str, ...]
    fix: str = ""


def linters(root: Path = ROOT) -> list[Linter]:
    """The linters, fastest first."""
    tools = Path(sys.executable).parent
    c_files = _source_files(root, "*.c", "*.h")
    prose = _source_files(root, *(f"*{ending}" for ending in ENDINGS))
    found = [
        Linter("ruff check", (str(tools / "ruff"), "check", "--quiet", "."), ".venv/bin/ruff check --fix"),
        Linter("ruff format", (str(tools / "ruff"), "format", "--check", "."), ".venv/bin/ruff format"),
        Linter("prose", (sys.executable, str(Path(__file__).with_name("prose.py")), *prose)),
        Linter("import-linter", (str(tools / "lint-imports"), "--config", "pyproject.toml")),
        Linter("mypy", (str(tools / "mypy"),)),
    ]
    if c_files:
        command = (str(tools / "clang-format"), "--dry-run", "-Werror", *c_files)
        found.insert(3, Linter("clang-format", command, ".venv/bin/clang-format -i FILE"))
        checker = str(Path(__file__).with_name("c_style.py"))
        found.insert(4, Linter("c style", (sys.executable, checker, *c_files), "see firmware/README.md"))
    return found


def run_lint(console: Console | None = None, root: Path = ROOT, *, only: Container[str] | None = None) -> int:
    """Run the linters (only those in `only`, if given), print the output of those that fail; 1 if any failed, else 0."""
    console = console or Console()
    failed: list[str] = []
    for linter in linters(root):
        if only is not None and linter.name not in only:
            continue
        begun = time.monotonic()
        result = _run(linter, root)
        verdict = "[green]ok[/]  " if result.returncode == 0 else "[red]fail[/]"
        console.print(f"{verdict} {linter.name} ({time.monotonic() - begun:.1f} s)", highlight=False)
        if result.returncode != 0:
            failed.append(linter.name)
            console.print(Text.from_ansi((result.stdout + result.stderr).rstrip()), soft_wrap=True)
            if linter.fix:
                console.print(f"do: {linter.fix}", highlight=False)
    if failed:
        console.print(f"[red]lint failed[/]: {', '.join(failed)}", highlight=False)
        return 1
    return 0


def _run(linter: Linter, root: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            linter.command,
            cwd=root,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
    except FileNotFoundError as error:
        raise SetupError(
            f"{linter.name} is not installed",
            expected=f"{linter.command[0]}, which set-up installs",
            seen=str(error),
            do="run ./assay setup",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise SetupError(
            f"{linter.name} timed out", expected=f"an exit within {_TIMEOUT_S:.0f} s", do="run it alone"
        ) from error


def _source_files(root: Path, *patterns: str) -> list[str]:
    """Files of the working tree that git does not ignore; sorted, relative to `root`."""
    out = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout
    return sorted({name for name in out.split("\0") if name and (root / name).is_file()})
