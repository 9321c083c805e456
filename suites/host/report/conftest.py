"""A small run's folder as `assay run` leaves one, made here and held to the record's own schema."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())
SOURCE = '#include <assay.h>\n\nSEC("net_rx")\nint prog(struct xdp_md *ctx)\n{\n\treturn XDP_PASS;\n}\n'


def stage(name: str, clock: str, value: float, unit: str, **more: Any) -> dict[str, Any]:
    row = {"name": name, "value": value, "unit": unit, "clock": clock, "stat": "max", "samples": 3}
    row |= {"p50": value, "p99": value, "max": value, "limit": None, "stretch": None, "missed_stretch": False}
    return row | {"verdict": "pass", "reason": ""} | more


def situation(index: int, **more: Any) -> dict[str, Any]:
    entry = {
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
    entry = {
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
    """Lay a whole run's folder out: record, per-board JSON lines, transcripts, and what each situation leaves."""
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
    """Lays a record out as a run's folder."""

    def make(record: dict[str, Any], *, listing: str = "") -> Path:
        return write_run(tmp_path / "results" / record["run"]["name"], record, listing=listing)

    return make


@pytest.fixture
def make_situation() -> Callable[..., dict[str, Any]]:
    """One situation's record."""
    return situation
