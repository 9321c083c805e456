"""The kernel's own stages against their budgets, on every kind: the figures that two sessions have in common."""

from __future__ import annotations

import pytest

from assay_lab import Board, LabKey, Program, TestBudgets, Trace, seal
from contracts.board import EXACT
from harness.bpf.samples import counter, record_time, tally_by_lookup


@pytest.mark.needs(EXACT)
@pytest.mark.parametrize(
    "program", [counter(), tally_by_lookup(), record_time()], ids=lambda program: str(program.name)
)
def test_a_program_keeps_the_budget_of_every_stage(
    board: Board, lab_key: LabKey, budget: TestBudgets, trace: Trace, program: Program
) -> None:
    client = board.client
    client.upload_trace(trace)
    loaded = client.load(seal(program, lab_key, seed=3))
    budget("verify").judge(board.samples("verify", loaded))
    budget("jit").judge(board.samples("jit", loaded))
    budget("deploy").judge(board.samples("deploy", client.deploy(loaded.handle, 20)))
    # Packets 1 us apart; the timer calls once in nine of them.
    budget("execute").judge(board.samples("execute", client.replay(timer_period_ns=9_000)))
    budget("rollback").judge(board.samples("rollback", client.rollback()))
