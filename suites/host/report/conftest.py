"""A small run's folder like one of `assay run`, created here and checked against the record's schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.root import ROOT
from harness.judge.budgets import Budgets

SCHEMA = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())
SOURCE = '#include <assay.h>\n\nSEC("net_rx")\nint prog(struct xdp_md *ctx)\n{\n\treturn XDP_PASS;\n}\n'


def stage(name: str, clock: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    row = {"name": name, "value": value, "unit": unit, "clock": clock, "stat": "max", "samples": 3}
    row |= {"p50": value, "p99": value, "max": value, "limit": None, "stretch": None, "missed_stretch": False}
    return row | {"verdict": "pass", "reason": ""} | more


def situation(index: int, **more: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "index": index,
        "warmup": index == 0,
        "family": "flood",
        "seed": 7_000_000 + index,
        "deployed": True,
    }
    entry["attempts"] = [{"stage": "deploy", "reason": ""}]
    entry["diagnosis"] = {
        "bottleneck": "flood",
        "hook": "net_rx",
        "evidence": "udp 97%, top source 74%",
        "parameters": {"key": "dest", "limit": "16"},
    }
    entry["source"] = SOURCE
    entry["program"] = {"program_id": "c9" * 32, "slots": 3, "hook": "net_rx", "maps": []}
    entry["virtual"] = {"unseal": [893129.0], "verify": [69484.0 + 999 * index], "rollback": [41.0]}
    entry["host"] = {"observe": [3e6], "generate": [4.5e7 + 1e6 * index], "uart": [1e7], "adapt": [1.4e8]}
    return entry | more


def board(kind: str, situations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    stages = [
        stage("observe", "host", 3.0, "ms"),
        stage("generate", "host", 46.0, "ms", limit=100.0, stretch=40.0, missed_stretch=True),
        stage("review", "host", 0.0, "") | {"value": None, "verdict": "skip", "reason": "not built yet"},
        stage("verify", "virtual", 0.07, "ms", limit=10.0, stretch=0.1),
        stage("unadapted", "host", 0.0, "%", limit=20.0),
    ]
    entry: dict[str, Any] = {
        "kind": kind,
        "instance": f"{kind}-0",
        "build_id": "ab" * 20,
        "scenario": "flood",
        "source": SOURCE,
    }
    entry |= {"verdict": "pass", "error": "", "crash": "", "stages": stages, "situations": situations}
    return entry | more


def document(boards: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    run = {"name": "20261122-120000-abcd", "started": "2026-11-22T12:00:00+00:00", "wall_s": 48.3, "seed": 7}
    run |= {"situations": 2, "writer": "small.gguf", "model_hash": "6a" * 32, "command": ["assay", "run"]}
    run |= {"python": "3.11.7", "interrupted": False, "verdict": "pass"}
    return {"schema": 1, "run": run | more, "boards": boards}


def write_run(folder: Path, record: dict[str, Any], *, listing: str = "") -> Path:
    """Write a complete run's folder: record, per-board JSON lines, transcripts, and each situation's files."""
    jsonschema.validate(record, SCHEMA)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(record))
    for entry in record["boards"]:
        home = folder / entry["kind"]
        home.mkdir()
        lines = [*entry["situations"], {"board": entry}]
        (home / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        frame = {"t": 0.5, "dir": ">", "kind": "REQUEST", "message": "DEPLOY", "sequence": 1, "session": 1}
        frames = [frame | {"sequence": number, "payload": "00ff" * number} for number in range(120)]
        (home / "transcript.jsonl").write_text("".join(json.dumps(line) + "\n" for line in frames))
        for item in entry["situations"]:
            place = home / f"{item['index']:02d}"
            place.mkdir()
            for number, _ in enumerate(item["attempts"], start=1):
                (place / f"attempt{number}.c").write_text(item["source"])
                (place / f"attempt{number}.prompt.txt").write_text("bottleneck: flood\n")
            if item["deployed"]:
                (place / "bytecode.txt").write_text(listing or "    0:  w0 = 2\n    1:  exit\n")
                (place / "a64.txt").write_text(
                    listing or "; prologue\n    ffff800001000000:  d65f03c0  ret\n"
                )
    return folder


REFUSED = situation(
    2,
    attempts=[
        {"stage": "verify", "reason": "R1 points outside the packet"},
        {"stage": "deploy", "reason": ""},
    ],
)
BOARDS = [
    board("qemu-virt", [situation(0), situation(1), REFUSED]),
    board("qemu-rpi3", [situation(0), situation(1), situation(2)]),
    board("qemu-rpi4", [situation(0), situation(1), situation(2)]),
]


@pytest.fixture
def record() -> dict[str, Any]:
    """The record of a run on three boards."""
    return document(copy.deepcopy(BOARDS))


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a record as a run's folder."""

    def make(record: dict[str, Any], *, listing: str = "") -> Path:
        return write_run(tmp_path / "results" / record["run"]["name"], record, listing=listing)

    return make


@pytest.fixture
def make_situation() -> Callable[..., dict[str, Any]]:
    """One situation's record."""
    return situation


KINDS = ("qemu-virt", "qemu-rpi3", "qemu-rpi4")
BUDGET = Budgets.load()


def passed_row(number: int, kind: str | None, **more: Any) -> dict[str, Any]:
    """A test of a session; every fifth of a kind measures `verify`."""
    samples = [41_000.0 + 10 * number, 52_000.0, 47_000.0]
    measured = [BUDGET("verify", "virtual").judge(samples).to_json() | {"samples_list": samples}]
    row: dict[str, Any] = {
        "id": f"suites/board/test_loop.py::test_number_{number}[{kind}]" if kind else f"suites/host/test_x.py::test_{number}",
        "kind": kind,
        "verdict": "pass",
        "duration_s": 0.01 * (number % 37),
        "attempts": [{"verdict": "pass", "place": f"{kind}-0" if kind else None, "epoch": 3 if kind else None, "message": ""}],
        "message": "",
        "sections": [],
        "measurements": measured if kind and number % 5 == 0 else [],
        "transcript": None,
        "build_id": "ab" * 20 if kind else None,
        "worker": f"gw{number % 4}",
    }  # fmt: skip
    return row | more


def failed(number: int, kind: str, verdict: str = "fail", **more: Any) -> dict[str, Any]:
    """A test that did not pass, with its details."""
    message = {"fail": "the kernel hung: no answer to ECHO", "infra": "the board was lost"}.get(
        verdict, verdict
    )
    attempts = [{"verdict": verdict, "place": f"{kind}-1", "epoch": 4, "message": message}]
    sections = [
        [
            "assay",
            f"{message}\n  expected: an answer within 2 s\n  seen: silence\n  do: look at the crash record",
        ],
        [f"board {kind}: last frames", "> REQUEST ECHO #7"],
        [f"board {kind}: crash", "pc 0xffff000000081234 wait_forever+0x10\nx0 0000000000000007"],
    ]
    told = {"verdict": verdict, "message": message, "attempts": attempts, "sections": sections}
    return passed_row(number, kind, **(told | {"transcript": f"transcripts/{number}.jsonl"} | more))


def session_rows(count: int = 60) -> list[dict[str, Any]]:
    """Rows of a session on three kinds and without a board: one failed, one infra, one retried, one skipped."""
    rows = [passed_row(number, (*KINDS, None)[number % 4]) for number in range(count)]
    rows[4] = failed(4, "qemu-virt")
    rows[5] = failed(5, "qemu-rpi3", "infra")
    lost = {"verdict": "infra", "place": "qemu-rpi4-0", "epoch": 1, "message": "QEMU was killed by SIGKILL"}
    again = {"verdict": "pass", "place": "qemu-rpi4-1", "epoch": 2, "message": ""}
    rows[6] |= {"attempts": [lost, again]}
    rows[7] |= {"verdict": "skip", "message": "needs the capability `process`"}
    return rows


def session_document(rows: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    run = {
        "job": "tests",
        "name": "20261122-130000-beef",
        "started": "2026-11-22T13:00:00+00:00",
        "wall_s": 21.5,
    }
    run |= {
        "seed": 1,
        "command": ["pytest", "--board=qemu-*", "-n", "4"],
        "python": "3.11.7",
        "verdict": "fail",
    }
    run |= {"interrupted": False, "exit": 1, "commit": "c0ffee" * 6 + "c0de"}
    return {"schema": 1, "run": run | more, "boards": [], "tests": rows}


def write_session(folder: Path, record: dict[str, Any]) -> Path:
    """Write a session's folder like the pytest plugin."""
    jsonschema.validate(record, SCHEMA)
    (folder / "transcripts").mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))
    (folder / "tests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in record["tests"]))
    frame = {"t": 0.5, "dir": ">", "kind": "REQUEST", "message": "ECHO", "session": 1, "payload": "00ff"}
    for row in record["tests"]:
        if row["transcript"]:
            lines = [json.dumps(frame | {"sequence": number}) for number in range(40)]
            (folder / row["transcript"]).write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def session() -> dict[str, Any]:
    """The record of a test session on three board types and without a board."""
    return session_document(session_rows())


@pytest.fixture
def make_session(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes a record as a session's folder."""

    def make(record: dict[str, Any]) -> Path:
        return write_session(tmp_path / "results" / record["run"]["name"], record)

    return make


@pytest.fixture
def make_rows() -> Callable[[int], list[dict[str, Any]]]:
    """Rows of a session with that many tests."""
    return session_rows
