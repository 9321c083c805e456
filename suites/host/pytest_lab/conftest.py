"""A user's session without boards: `pytest` as a process on a file of a few tests, with what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.root import ROOT

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())
SIGNALS = "INT,TERM,HUP"  # whoever started these suites may ignore some of them
ENDINGS = ("failure", "error", "skipped")


@dataclass(frozen=True)
class Session:
    """What a session left: exit code, all it printed, its record and its JUnit file."""

    code: int
    text: str
    folder: Path

    @property
    def document(self) -> dict[str, Any]:
        (path,) = self.folder.glob("results/*/run.json")
        document: dict[str, Any] = json.loads(path.read_text("utf-8"))
        jsonschema.validate(document, SCHEMA)
        return document

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdict of each test by its name; a test with two is an error."""
        rows = self.document["tests"]
        out = {row["id"].partition("::")[2]: row["verdict"] for row in rows}
        assert len(out) == len(rows), "a test has two verdicts"
        return out

    @property
    def cases(self) -> dict[str, str]:
        """How each case of the JUnit file ended, by its name; its counts are those of the cases."""
        (suite,) = ET.parse(self.folder / "junit.xml").getroot().iter("testsuite")
        cases = suite.findall("testcase")
        out = {
            case.attrib["name"]: next((end for end in ENDINGS if case.find(end) is not None), "")
            for case in cases
        }
        assert len(out) == len(cases), "a test has two cases"
        counted = Counter(out.values())
        counts = ["tests", "failures", "errors", "skipped"]
        assert [int(suite.attrib[name]) for name in counts] == [len(out), *(counted[end] for end in ENDINGS)]
        return out


@dataclass(frozen=True)
class User:
    """Somebody with a folder of tests."""

    folder: Path

    def environment(self) -> dict[str, str]:
        return {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "ASSAY_LAB"))
        }

    def command(self, text: str, *arguments: str) -> list[str]:
        (self.folder / "pytest.ini").touch()
        (self.folder / "test_inner.py").write_text(text)
        files = ["--results", str(self.folder / "results"), f"--junitxml={self.folder / 'junit.xml'}"]
        return [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            *files,
            *arguments,
            "test_inner.py",
        ]

    def start(self, text: str, *arguments: str) -> subprocess.Popen[str]:
        """A session of its own (setsid), so that a signal to its group is for it alone."""
        return subprocess.Popen(
            ["env", f"--default-signal={SIGNALS}", *self.command(text, *arguments)],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def finish(self, process: subprocess.Popen[str], timeout_s: float = 100) -> Session:
        try:
            text, _ = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
        return self.left(process.returncode, text)

    def left(self, code: int, text: str) -> Session:
        """What a session that ended so has left."""
        return Session(code, text, self.folder)

    def run(self, text: str, *arguments: str) -> Session:
        return self.finish(self.start(text, *arguments))


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user's folder."""
    return User(tmp_path)
