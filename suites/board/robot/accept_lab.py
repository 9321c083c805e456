"""`assay accept` as a user starts it: a process with its own leases and results."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from robot.api import ExecutionResult

from contracts.root import ROOT

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())
RUN_S = 240.0
WAIT_S = 120.0  # kernels may have to be built first


@dataclass(frozen=True)
class Accepted:
    """A finished run: exit code, output, and folder."""

    code: int
    text: str
    results: Path

    @property
    def folder(self) -> Path:
        (folder,) = (path for path in self.results.iterdir() if path.is_dir())
        return folder

    @property
    def robot(self) -> Path:
        return self.folder / "robot"

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.folder / "run.json").read_text())
        jsonschema.validate(document, SCHEMA)
        return document

    @property
    def rows(self) -> dict[str, dict[str, Any]]:
        """The record's rows by test name and board type."""
        return {row["id"].rpartition("::")[2].removeprefix("robot/"): row for row in self.document["tests"]}

    @property
    def merged(self) -> Any:
        """The merged output's outermost suite, with one suite per board type below it."""
        return ExecutionResult(self.robot / "output.xml").suite

    @property
    def tests(self) -> dict[str, Any]:
        """The merged output's tests by name."""
        return {test.name: test for test in self.merged.all_tests}


@dataclass
class Lab:
    """A lab of its own: `accept` waits for the command, `start` leaves it running."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def suite(self, name: str, text: str) -> Path:
        """A user's Robot file."""
        path = self.folder / name
        path.write_text(text)
        return path

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "harness.cli", "accept", "--results", self.results, *arguments],
            cwd=ROOT,
            env={**os.environ, "ASSAY_LEASES": str(self.folder / "leases"), **self.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, process: subprocess.Popen[str]) -> Accepted:
        try:
            text, _ = process.communicate(timeout=RUN_S)
        finally:
            process.kill()
        return Accepted(process.returncode, text, self.results)

    def accept(self, *arguments: str | Path) -> Accepted:
        return self.finish(self.start(*arguments))

    def first_verdict(self, process: subprocess.Popen[str]) -> None:
        """Wait until the first test has ended."""
        self.until(
            lambda: any(path.stat().st_size for path in self.results.glob("*/tests.jsonl")),
            "a first verdict",
            process,
        )

    def until(self, ready: Callable[[], bool], what: str, process: subprocess.Popen[str]) -> None:
        end_s = time.monotonic() + WAIT_S
        while not ready():
            if process.poll() is not None or time.monotonic() > end_s:
                process.kill()
                pytest.fail(f"waited for {what}: {process.communicate()[0]}")
            time.sleep(0.02)

    def children(self, process: subprocess.Popen[str]) -> dict[int, str]:
        """Processes below a process, with their command lines."""
        return _descendants(process.pid)

    def kill_robot(self, process: subprocess.Popen[str]) -> None:
        """Kill the one Robot process below a process."""
        (robot,) = (child for child, line in _descendants(process.pid).items() if " -m robot " in line)
        os.kill(robot, signal.SIGKILL)


def _descendants(pid: int) -> dict[int, str]:
    out: dict[int, str] = {}
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, task.read_text().split()):
            line = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            out |= {child: line} | _descendants(child)
    return out
