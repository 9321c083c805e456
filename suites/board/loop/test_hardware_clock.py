"""Boards without virtual time are judged in time: a QEMU without icount stands in for silicon, and the record says so."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import jsonschema
import pytest

from ai.scenarios import situation
from contracts.board import EXACT, BoardSpec
from contracts.errors import ConfigError, KernelError
from contracts.measurement import Budget, Clock, Direction, Verdict
from contracts.record import BoardRow, Record
from contracts.root import ROOT
from contracts.stages import Stage
from harness.boards.board import open_board
from harness.boards.registry import load_board
from harness.bpf.samples import tally_by_lookup
from harness.bpf.seal import seal
from harness.config.keys import LabKey
from harness.judge.budgets import load_budgets
from harness.kernel.board_kernel import kernel_for
from harness.loop.run import Plan, run
from harness.loop.writer import open_writer
from harness.runs.record import new_run
from harness.terminal.outcome import clock_text

pytestmark = [pytest.mark.board_kinds("qemu-virt"), pytest.mark.needs("process")]

SCHEMA: Final = json.loads((ROOT / "docs" / "schemas" / "run.schema.json").read_text())
ON_BOARD: Final = ("verify", "jit", "deploy", "execute", "rollback")
SITUATIONS: Final = 3
GENEROUS: Final = 10_000
"""By how much limits grow: a QEMU translates what it runs, and this machine has other work to do."""


@pytest.fixture
def timed(board_spec: BoardSpec) -> BoardSpec:
    """The kind as a board file with `icount: false` has it."""
    assert board_spec.qemu is not None
    qemu = dataclasses.replace(board_spec.qemu, icount=False)
    return dataclasses.replace(board_spec, qemu=qemu, capabilities=board_spec.capabilities - {EXACT})


def generous() -> dict[tuple[str, Clock], Budget]:
    """The shipped budgets with limits that hold on any machine, asking for as few samples as a short run takes."""
    return {
        key: dataclasses.replace(
            budget,
            limit=budget.limit * GENEROUS,
            stretch=None,
            min_samples=min(budget.min_samples, SITUATIONS),
        )
        for key, budget in load_budgets().items()
    }


def run_one(
    spec: BoardSpec, key: LabKey, budgets: Mapping[tuple[str, Clock], Budget], root: Path
) -> tuple[Record, BoardRow, Verdict]:
    release, testing = kernel_for(spec, "release"), kernel_for(spec, "testing")
    plan = Plan(
        ((spec, release, testing),), {spec.kind: "flood"}, situation, open_writer(None), key, budgets, seed=3,
        situations=SITUATIONS,
    )  # fmt: skip
    name, folder = new_run(root)
    document, verdict = run(plan, folder, name, lambda _progress: None, threading.Event())
    jsonschema.validate(json.loads((folder.path / "run.json").read_text()), SCHEMA)
    (board,) = document["boards"]
    assert not board["error"], board["error"]
    return document, board, verdict


def test_a_board_file_without_icount_is_a_kind_that_is_not_exact(tmp_path: Path) -> None:
    text = (ROOT / "lab-config" / "boards" / "qemu-virt.yaml").read_text()
    path = tmp_path / "qemu-time.yaml"
    path.write_text(text.replace("kind: qemu-virt", "kind: qemu-time") + "  icount: false\n")
    spec = load_board(path)
    assert EXACT not in spec.capabilities
    assert spec.qemu is not None
    assert not spec.qemu.icount


def test_every_on_board_budget_is_judged_in_time_and_the_record_says_whose(
    timed: BoardSpec, lab_key: LabKey, tmp_path: Path
) -> None:
    _, board, verdict = run_one(timed, lab_key, generous(), tmp_path)
    rows = {row["name"]: row for row in board["stages"] if row["clock"] == "hardware"}
    for stage in ON_BOARD:
        row = rows[stage]
        assert row["verdict"] in ("pass", "marginal"), (stage, row["reason"])
        assert row["limit"] is not None
        assert (row["stat"], row["source"], clock_text(row)) == ("p99", "QEMU", "hardware (QEMU)")
        assert row["value"], f"{stage} takes time"
    assert all(value > 0 for value in board["drill"].values())
    for taken in board["situations"]:
        assert not taken["virtual"], "nothing of it is virtual"
        assert {"verify", "jit", "execute"} <= set(taken["hardware"])
    host_on_a_busy_machine = {row["verdict"] for row in board["stages"] if row["clock"] == "host"}
    assert verdict in (Verdict.PASS, Verdict.MARGINAL) or not host_on_a_busy_machine <= {"pass", "skip"}


def test_a_run_whose_on_board_budgets_were_not_judged_is_no_plain_pass(
    timed: BoardSpec, lab_key: LabKey, tmp_path: Path
) -> None:
    virtual_alone = {key: budget for key, budget in generous().items() if key[1] is not Clock.HARDWARE}
    _, board, verdict = run_one(timed, lab_key, virtual_alone, tmp_path)
    rows = {row["name"]: row for row in board["stages"]}
    for stage in ON_BOARD:
        assert rows[stage]["verdict"] == "inconclusive"
        assert rows[stage]["limit"] is None
        assert "the budget is only for the virtual clock" in rows[stage]["reason"]
    assert rows["unseal"]["verdict"] == "pass", "it has no limit"
    assert verdict.exit_code == Verdict.INCONCLUSIVE.exit_code == 76


@pytest.mark.parametrize("shift", [None, 2])
def test_answers_carry_time_where_it_is_not_modelled_and_instructions_where_they_are_counted(
    timed: BoardSpec, lab_key: LabKey, shift: int | None
) -> None:
    # -icount shift=2: an instruction takes 4 ns, so both are counted, and that is what silicon does.
    assert timed.qemu is not None
    extra = ("-icount", f"shift={shift},sleep=off") if shift else ()
    spec = dataclasses.replace(timed, qemu=dataclasses.replace(timed.qemu, extra=extra))
    with open_board(spec, lab_key, kernel_for(spec, "release")) as board:
        assert board.clock is Clock.HARDWARE
        loaded = board.client.load(seal(tally_by_lookup(), lab_key, seed=3))
        status = board.client.status()
        samples = board.samples("verify", loaded)
        assert (samples.clock, samples.values) == (Clock.HARDWARE, (float(loaded.verify_ns),))
        with pytest.raises(ConfigError, match="LoadResponse has no samples of deploy"):
            board.samples("deploy", loaded)
    assert status.measure_overhead_ns > 0
    if shift:
        assert loaded.verify_ns == pytest.approx(4 * loaded.verify_instructions, rel=0.01)
        assert loaded.jit_ns == pytest.approx(4 * loaded.jit_instructions, rel=0.05)
    else:
        assert (loaded.verify_instructions, loaded.jit_instructions) == (0, 0), "none are counted"
        assert loaded.verify_ns > 0


def test_an_exact_board_takes_instructions_alone_and_a_kind_that_is_none_is_told(
    board_spec: BoardSpec, lab_key: LabKey
) -> None:
    image = kernel_for(board_spec, "release")
    sealed = seal(tally_by_lookup(), lab_key, seed=3)
    with open_board(board_spec, lab_key, image) as board:
        loaded = board.client.load(sealed)
        assert board.samples(Stage.VERIFY, loaded, loaded).values == (float(loaded.verify_instructions),) * 2
        assert (loaded.verify_ns, board.client.status().measure_overhead_ns) == (0, 0)
    other = dataclasses.replace(board_spec, capabilities=board_spec.capabilities - {EXACT})
    with open_board(other, lab_key, image) as board:
        loaded = board.client.load(sealed)
        with pytest.raises(KernelError, match="does not measure time"):
            board.samples(Stage.VERIFY, loaded)


def test_every_direction_has_a_word_in_the_schema() -> None:
    assert SCHEMA["$defs"]["stage"]["properties"]["direction"]["enum"] == [str(one) for one in Direction]
