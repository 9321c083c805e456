"""Merges Robot's outputs of all board types; generates one for a process that left no complete output."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Final

from robot.api import ExecutionResult, TestSuite
from robot.errors import DataError
from robot.rebot import rebot
from robot.result import Result
from robot.result import TestSuite as ResultSuite

from contracts.errors import ConfigError, InfraError, did_you_mean
from contracts.record import CaseRow
from harness.robot.headers import Headers
from harness.robot.rows import INFRA_PREFIX, row_of
from harness.robot.rows import test_id as id_of

LOG: Final = "log.html"
REPORT: Final = "report.html"
XUNIT: Final = "xunit.xml"
_STATUS: Final = {"pass": "PASS", "marginal": "PASS", "skip": "SKIP", "inconclusive": "SKIP"}
_REBOT_ERROR: Final = 251  # and above: not a number of failed tests


def count_tests(suites: Sequence[Path], include: Sequence[str]) -> int:
    """The number of tests that the tags select. Raises ConfigError if there are none or a suite cannot be read."""
    try:
        suite = TestSuite.from_file_system(*suites)
    except DataError as error:
        raise ConfigError(
            f"the suites cannot be read: {error}",
            expected="Robot suites",
            seen=", ".join(map(str, suites)),
            do="name *.robot files, or folders that contain them",
        ) from error
    tags = sorted({tag for test in suite.all_tests for tag in test.tags})
    if include:
        suite.filter(included_tags=list(include))
    if not suite.test_count:
        asked = ", ".join(include)
        raise ConfigError(
            f"no test has the tag {asked}{did_you_mean(asked, tags)}",
            expected=f"one of {', '.join(tags)}",
            seen=asked,
            do="omit --include to run every test",
        )
    found: int = suite.test_count
    return found


def read_rows(output: Path, kind: str, told: Sequence[CaseRow]) -> list[CaseRow] | None:
    """The row of every test in an output: as reported while it ran, else from the output; None for a damaged output."""
    try:
        suite = ExecutionResult(output).suite
    except DataError:
        return None
    known = {row["id"]: row for row in told}
    rows: list[CaseRow] = []
    for test in suite.all_tests:
        row = row_of(test, kind)
        seen = known.get(id_of(test, kind))
        if seen is None or seen["verdict"] == row["verdict"]:
            rows.append(seen or row)
        else:  # a suite's teardown is known only after its tests were reported
            rows.append(
                {
                    **seen,
                    "verdict": row["verdict"],
                    "message": row["message"],
                    "attempts": row["attempts"],
                }
            )
    return rows


def infra_row(kind: str, what: str, message: str, place: str = "") -> CaseRow:
    """The row of a board type that the lab could not test completely."""
    return {
        "id": f"robot/{what}[{kind}]",
        "kind": kind,
        "verdict": "infra",
        "duration_s": 0.0,
        "attempts": [
            {"verdict": "infra", "place": place or None, "epoch": None, "message": message.partition("\n")[0]}
        ],
        "message": f"{INFRA_PREFIX}{message}",
        "sections": [],
        "measurements": [],
        "transcript": None,
        "build_id": None,
        "worker": "",
    }


def write_output(output: Path, kind: str, rows: Sequence[CaseRow], metadata: Mapping[str, str]) -> None:
    """An output for a board type whose process left none: one suite with one test per row."""
    suite = ResultSuite(name=kind, metadata=dict(metadata))
    for row in rows:
        name = row["id"].rpartition("::")[2] if "::" in row["id"] else row["id"].removeprefix("robot/")
        verdict = row["verdict"]
        suite.tests.create(
            name=name.removesuffix(f"[{kind}]"),
            status=_STATUS.get(verdict, "FAIL"),
            message=row["message"],
            tags=[verdict] if verdict in ("infra", "marginal", "inconclusive") else [],
            elapsed_time=timedelta(seconds=row["duration_s"]),
        )
    try:
        Result(suite=suite).save(output)
    except (OSError, DataError) as error:
        raise InfraError(f"cannot write {output}", expected="a writable folder", seen=str(error)) from error


def merge(folder: Path, outputs: Sequence[Path], metadata: Mapping[str, str]) -> Path:
    """One output, log, report and xUnit file of all board types in `folder`; returns the log. Raises InfraError."""
    said = io.StringIO()
    sources = [_below_one_suite(folder, outputs[0])] if len(outputs) == 1 else outputs
    code = rebot(
        *map(str, sources),
        name="Assay acceptance",
        outputdir=str(folder),
        output="output.xml",
        log=LOG,
        report=REPORT,
        xunit=XUNIT,
        metadata=[f"{name}:{value}" for name, value in metadata.items()],
        suitestatlevel=2,
        processemptysuite=True,
        prerebotmodifier=Headers(),
        stdout=said,
        stderr=said,
    )
    if code >= _REBOT_ERROR:
        raise InfraError(
            "the outputs of the board types cannot be merged",
            expected=f"a log in {folder}",
            seen=said.getvalue().strip()[-500:],
            do="free space on that disk, or name another folder with --results",
        )
    return folder / LOG


def _below_one_suite(folder: Path, output: Path) -> Path:
    """An output with its suite below another one, as for several board types: Robot puts a single one at the top."""
    found = ExecutionResult(output)
    suite = ResultSuite(name="Assay acceptance")
    suite.suites = [found.suite]
    path = folder / "output.xml"
    Result(suite=suite, errors=found.errors).save(path)
    return path
