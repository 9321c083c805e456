"""The commit of the sources for a record."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from contracts.root import ROOT

_TIMEOUT_S: Final = 30.0


def commit_of(root: Path = ROOT) -> str | None:
    """The commit checked out at `root`: 40 hex digits, plus `-dirty` if tracked files differ; None if there is none."""
    head = _git(root, "rev-parse", "HEAD")
    if not head:
        return None
    return f"{head}-dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else head


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "--no-optional-locks", *arguments],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
