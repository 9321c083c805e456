"""An error in one part of a run stays there: recorded with the right verdict, and the rest continues."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from ai.scenarios import EMPTY, Situation, situation
from contracts.board import BoardSpec
from contracts.diagnosis import Diagnosis, Generated, Refusal
from contracts.errors import BoardLost
from contracts.measurement import Budget, Clock, Stat, Verdict
from contracts.record import Record
from contracts.root import ROOT
from contracts.trace import Trace
from harness.config.keys import LabKey
from harness.kernel.build import build_kernel
from harness.loop.replay import replay_run
from harness.loop.run import Plan, run
from harness.loop.writer import ModelWriter, open_writer
from harness.runs.record import Folder, new_run

SCHEMA = ROOT / "docs" / "schemas" / "run.schema.json"

pytestmark = pytest.mark.board_kinds("qemu-virt")


class SecondThought(ModelWriter):
    """The shipped model, except that its first program of every situation does nothing."""

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> Generated:
        made = super().generate(diagnosis, [])
        return made if feedback else dataclasses.replace(made, source=EMPTY)


@pytest.fixture(scope="module")
def writer() -> ModelWriter:
    return open_writer(None)


@pytest.fixture
def plan(board_spec: BoardSpec, lab_key: LabKey, writer: ModelWriter) -> Plan:
    release = build_kernel(board_spec.firmware, variant="release")
    testing = build_kernel(board_spec.firmware, variant="testing")
    return Plan(
        ((board_spec, release, testing),), {board_spec.kind: "flood"}, situation, writer, lab_key, {}, seed=3, situations=2
    )  # fmt: skip


def _run(plan: Plan, root: Path) -> tuple[Record, Verdict, Folder]:
    name, folder = new_run(root)
    document, verdict = run(plan, folder, name, lambda _progress: None, threading.Event())
    assert json.loads((folder.path / "run.json").read_text()) == document
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    return document, verdict, folder


def _failing_at_the_second(error: Exception) -> Callable[[str, int], Situation]:
    def make(family: str, seed: int) -> Situation:
        if seed % 1_000_000 == 2:
            raise error
        return situation(family, seed)

    return make


def test_a_mistake_of_ours_is_one_boards_failure_with_its_traceback_and_the_other_board_goes_on(
    plan: Plan, tmp_path: Path
) -> None:
    ((spec, release, testing),) = plan.boards
    broken = dataclasses.replace(release, elf=tmp_path / "nowhere.elf")
    other = dataclasses.replace(spec, kind="other")
    both = dataclasses.replace(
        plan, boards=((other, broken, testing), plan.boards[0]), scenarios={spec.kind: "flood", "other": "flood"}
    )  # fmt: skip
    document, verdict, _ = _run(both, tmp_path / "results")
    bad, good = document["boards"]
    assert verdict is Verdict.FAIL
    assert (bad["verdict"], good["error"]) == ("fail", "")
    assert "FileNotFoundError" in bad["error"]
    assert "Traceback" in bad["traceback"]
    assert len(good["situations"]) == 3


def test_a_failure_already_seen_outranks_the_loss_of_the_board(plan: Plan, tmp_path: Path) -> None:
    lost = dataclasses.replace(plan, situation=_failing_at_the_second(BoardLost("the board is gone")))
    assert _run(lost, tmp_path)[1] is Verdict.INFRA
    strict = {("verify", Clock.VIRTUAL): Budget("verify", Stat.MAX, "ns", Clock.VIRTUAL, 1, 0, 1.0)}
    document, verdict, _ = _run(dataclasses.replace(lost, budgets=strict), tmp_path)
    assert verdict is Verdict.FAIL
    assert "the board is gone" in document["boards"][0]["error"]


class StopsTheBoard(ModelWriter):
    """The shipped model, which stops the board of its second situation for a while, as somebody outside might."""

    def __init__(self, writer: ModelWriter, for_s: float) -> None:
        super().__init__(writer.model, promises_latency=True)
        self._for_s = for_s
        self._written = 0

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> Generated:
        self._written += 1
        if self._written == 2:
            (pid,) = _qemus()
            os.kill(pid, signal.SIGSTOP)
            threading.Timer(self._for_s, os.kill, (pid, signal.SIGCONT)).start()
        return super().generate(diagnosis, feedback)


def _qemus() -> list[int]:
    """The QEMUs that this process has started."""
    children = [
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]
    return [pid for pid in children if b"qemu-system" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_an_adaptation_in_which_the_board_was_stopped_is_inconclusive_and_says_why(
    plan: Plan, writer: ModelWriter, tmp_path: Path
) -> None:
    budgets = {("adapt", Clock.HOST): Budget("adapt", Stat.MAX, "ms", Clock.HOST, 2, 1, 2000.0)}
    stopped = dataclasses.replace(plan, writer=StopsTheBoard(writer, 3.0), budgets=budgets)
    document, verdict, _ = _run(stopped, tmp_path)
    (row,) = [row for row in document["boards"][0]["stages"] if row["name"] == "adapt"]
    assert row["value"] is not None
    assert row["value"] > 2500.0
    assert row["verdict"] == "inconclusive", row
    assert "lost time" in row["reason"]
    assert "was stopped for" in row["reason"]
    assert verdict is Verdict.INCONCLUSIVE


class TakesTwiceAsLong(ModelWriter):
    """The shipped model, which writes each program twice and gives the second away."""

    def generate(self, diagnosis: Diagnosis, feedback: Sequence[Refusal]) -> Generated:
        first, second = (super(TakesTwiceAsLong, self).generate(diagnosis, feedback) for _ in range(2))
        return dataclasses.replace(second, thread_cpu_s=first.thread_cpu_s + second.thread_cpu_s)


def test_a_program_that_takes_twice_its_time_to_write_is_recorded_so(
    plan: Plan, writer: ModelWriter, tmp_path: Path
) -> None:
    once, _, _ = _run(plan, tmp_path)
    slow = TakesTwiceAsLong(writer.model, promises_latency=True)
    twice, _, _ = _run(dataclasses.replace(plan, writer=slow), tmp_path)
    ratios = []
    for fast_one, slow_one in zip(
        once["boards"][0]["situations"], twice["boards"][0]["situations"], strict=True
    ):
        (was,), (now,) = fast_one["paced"]["generate"], slow_one["paced"]["generate"]
        assert [was["ns"]] == fast_one["host"]["generate"]
        assert was["raw_ns"] >= was["ns"] >= was["least_ns"] > 0
        assert min(was["before"], was["after"]) >= 1.0
        ratios.append(now["ns"] / was["ns"])
    assert 1.5 < statistics.median(ratios) < 3.0
    (row,) = [row for row in twice["boards"][0]["stages"] if row["name"] == "generate"]
    assert row["verdict"] == "pass", "without a budget it is reported"


def test_telemetry_without_a_bottleneck_is_a_refusal_and_the_next_situation_follows(
    plan: Plan, tmp_path: Path
) -> None:
    def quiet_at_first(family: str, seed: int) -> Situation:
        made = situation(family, seed)
        if seed % 1_000_000 == 1:
            return dataclasses.replace(made, workload=Trace(made.workload.packets[:8]))
        return made

    document, _, _ = _run(dataclasses.replace(plan, situation=quiet_at_first), tmp_path)
    (board,) = document["boards"]
    assert board["error"] == ""
    _, quiet, busy = board["situations"]
    assert [attempt["stage"] for attempt in quiet["attempts"]] == ["diagnose"]
    assert "not enough traffic" in quiet["attempts"][0]["reason"]
    assert busy["deployed"]
    (row,) = [row for row in board["stages"] if row["name"] == "unadapted"]
    assert row["value"] == 50


def test_a_replay_compares_every_attempt_and_the_drill_and_names_what_differs(
    plan: Plan, tmp_path: Path, writer: ModelWriter
) -> None:
    second = SecondThought(writer.model, promises_latency=True)
    document, _, folder = _run(dataclasses.replace(plan, writer=second, situations=1), tmp_path)
    (board,) = document["boards"]
    assert [len(s["virtual"]["verify"]) for s in board["situations"]] == [2, 2]
    assert set(board["drill"]) == {"fault", "overrun"}
    console = Console(record=True, width=200)
    assert replay_run(console, str(folder.path), tmp_path, None) == 0
    assert ", 0 differ" in console.export_text()
    board["situations"][1]["virtual"]["verify"][0] += 1
    board["situations"][1]["virtual"]["unknown"] = [1.0]
    board["drill"]["fault"] += 1
    folder.write_json("run.json", document)
    assert replay_run(console, str(folder.path), tmp_path, None) == 1
    text = console.export_text()
    for what in ("situation 01 verify:", "situation 01 unknown:", "drill fault:", ", 3 differ"):
        assert what in text
