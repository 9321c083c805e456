"""Runs on disk like those of `assay run`: rows judged by the real engine, documents that match the schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from contracts.measurement import Clock, Measurement, Verdict
from contracts.root import ROOT
from contracts.stages import Stage
from harness.judge.budgets import DEFAULT_BUDGETS, Budgets, judge, load_budgets
from harness.loop.run import BoardOutcome, board_document, situation_seed

SCHEMA = ROOT / "docs" / "schemas" / "run.schema.json"
KINDS = ("qemu-rpi3", "qemu-rpi4", "qemu-virt")
SITUATIONS = 20

RecordRun = Callable[..., Path]
RecordSession = Callable[..., Path]

# The time of each stage for situation number i.
_VIRTUAL: Mapping[str, Callable[[int], float]] = {
    "verify": lambda i: 40_000.0 + 3_000 * i,
    "jit": lambda i: 9_000.0 + 500 * i,
    "deploy": lambda _: 116.0,
    "execute": lambda i: 300.0 + i,
}
_HOST: Mapping[str, Callable[[int], float]] = {
    "generate": lambda i: 45e6 + 1e6 * (i % 7),
    "adapt": lambda i: 200e6 + 5e6 * (i % 5),
}


def _outcome(
    kind: str, seed: int, factors: Mapping[str, float], other_programs: Sequence[int], without: Sequence[str]
) -> BoardOutcome:
    outcome = BoardOutcome(kind, f"{kind}-0", hashlib.sha1(repr(factors).encode()).hexdigest(), "flood")
    for index in range(SITUATIONS + 1):
        source = f"{'other ' if index in other_programs else ''}program {index}"
        virtual, host = (
            {
                stage: [float(round(of(index) * factors.get(stage, 1.0)))]
                for stage, of in table.items()
                if stage not in without
            }
            for table in (_VIRTUAL, _HOST)
        )
        outcome.situations.append(
            {
                "index": index,
                "warmup": index == 0,
                "family": "flood",
                "seed": situation_seed(seed, index),
                "deployed": True,
                "attempts": [{"stage": "deploy", "reason": ""}],
                "diagnosis": None,
                "source": source,
                "program": {
                    "program_id": hashlib.sha256(source.encode()).hexdigest(),
                    "slots": 80,
                    "hook": "net_rx",
                    "maps": [],
                },
                "virtual": virtual,
                "host": host,
            }
        )  # fmt: skip
    budgets = load_budgets(DEFAULT_BUDGETS)
    for stage in Stage:
        for clock in (Clock.VIRTUAL, Clock.HOST):
            taken = [s["virtual"] if clock is Clock.VIRTUAL else s["host"] for s in outcome.situations]
            samples = tuple(value for figures in taken for value in figures.get(stage, []))
            if samples:
                outcome.stages.append(judge(Measurement(stage, clock, samples), budgets))
    outcome.verdict = Verdict.PASS
    return outcome


@pytest.fixture
def record_run(tmp_path: Path) -> RecordRun:
    """Create a run's folder under tmp_path/results: `record_run(name, factors={"verify": 1.2})` is a slower verifier."""

    def record(
        name: str,
        *,
        seed: int = 1,
        kinds: Sequence[str] = KINDS,
        factors: Mapping[str, float] | None = None,
        other_programs: Sequence[int] = (),
        without: Sequence[str] = (),
        **about: Any,
    ) -> Path:
        boards = [
            board_document(_outcome(kind, seed, factors or {}, other_programs, without)) for kind in kinds
        ]
        run = {
            "name": name,
            "started": f"2026-01-{name[-2:]}T10:00:00+00:00",
            "wall_s": 40.0,
            "seed": seed,
            "situations": SITUATIONS,
            "writer": "model.gguf",
            "model_hash": "ab" * 32,
            "command": ["assay", "run"],
            "python": "3.11.7",
            "interrupted": False,
            "verdict": "pass",
            **about,
        }
        document = {"schema": 1, "run": run, "boards": boards}
        jsonschema.validate(json.loads(json.dumps(document)), json.loads(SCHEMA.read_text()))
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(document))
        return folder

    return record


@pytest.fixture
def record_session(tmp_path: Path) -> RecordSession:
    """Create a test session's folder under tmp_path/results: one test per board type verifies three programs."""

    def record(
        name: str,
        *,
        kinds: Sequence[str | None] = KINDS,
        factors: Mapping[str, float] | None = None,
        **about: Any,
    ) -> Path:
        budget, factors = Budgets.load(), factors or {}
        rows = []
        for kind in kinds:
            figures: list[tuple[str, list[float]]] = [("verify", [41_000.0, 52_000.0, 47_000.0])]
            figures += [("generate", [45e6 + 1e5 * (n % 7) for n in range(21)])]
            measurements = []
            for stage, samples in figures:
                clock = "virtual" if stage == "verify" else "host"
                taken = [round(value * factors.get(stage, 1.0)) for value in samples]
                measurements.append(budget(stage, clock).judge(taken).to_json() | {"samples_list": taken})
            rows.append(
                {
                    "id": f"suites/board/test_budgets.py::test_verify[{kind}]",
                    "kind": kind,
                    "verdict": "pass",
                    "duration_s": 0.5,
                    "attempts": [{"verdict": "pass", "place": f"{kind}-0", "epoch": 1, "message": ""}],
                    "message": "",
                    "sections": [],
                    "measurements": measurements,
                    "transcript": None,
                    "build_id": hashlib.sha1(repr(factors).encode()).hexdigest(),
                    "worker": "",
                }
            )
        run = {
            "job": "tests",
            "name": name,
            "started": f"2026-01-{name[-2:]}T10:00:00+00:00",
            "wall_s": 4.0,
            "seed": 1,
            "command": ["pytest"],
            "python": "3.11.7",
            "verdict": "pass",
            "interrupted": False,
            "exit": 0,
            "commit": None,
            **about,
        }
        document = {"schema": 1, "run": run, "boards": [], "tests": rows}
        jsonschema.validate(json.loads(json.dumps(document)), json.loads(SCHEMA.read_text()))
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(document))
        return folder

    return record
