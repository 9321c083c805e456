"""A user's own session: `pytest` as a process, on a file with a few tests, with its own leases and results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema

from contracts.root import ROOT

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())


@dataclass(frozen=True)
class Session:
    """A finished session: exit code, output, and its record if it wrote one."""

    code: int
    text: str
    results: Path

    @property
    def folders(self) -> list[Path]:
        return sorted(self.results.iterdir()) if self.results.is_dir() else []

    @property
    def folder(self) -> Path:
        (folder,) = self.folders
        return folder

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        jsonschema.validate(document, SCHEMA)
        return document

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The record's rows by test name, without file and board type."""
        return {row["id"].rpartition("::")[2].partition("[")[0]: row for row in self.document["tests"]}


@dataclass(frozen=True)
class Lab:
    """A folder for a user's session; `run` waits for it, `start` does not."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ASSAY_LAB"))
        }
        return kept | {"ASSAY_LEASES": str(self.folder / "leases")}

    def start(self, text: str, *arguments: str, results: bool = True) -> subprocess.Popen[str]:
        (self.folder / "test_inner.py").write_text(text)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(self.folder),
        ]
        command += ["--results", str(self.results)] if results else []
        command += [*arguments, str(self.folder / "test_inner.py")]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Session:
        try:
            text, _ = process.communicate(timeout=100)
        finally:
            process.kill()
        return Session(process.returncode, text, self.results)

    def run(self, text: str, *arguments: str, results: bool = True) -> Session:
        return self.finish(self.start(text, *arguments, results=results))
