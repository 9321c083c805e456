"""The kernel's own stages and their budgets, on every board type: the figures that two sessions share."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Final

import pytest

from assay_lab import Board, Clock, LabKey, Program, TestBudgets, Trace, seal
from harness.bpf.samples import counter, record_time, tally_by_lookup

STAGES: Final = ("verify", "jit", "deploy", "execute", "rollback")
ROUNDS: Final = {Clock.VIRTUAL: 1, Clock.HARDWARE: 20}
"""A modelled figure is the same each time; of a board's time the budgets ask for a percentile after a warm-up."""


@pytest.mark.parametrize(
    "program", [counter(), tally_by_lookup(), record_time()], ids=lambda program: str(program.name)
)
def test_a_program_keeps_the_budget_of_every_stage(
    board: Board, lab_key: LabKey, budget: TestBudgets, trace: Trace, program: Program
) -> None:
    client, rounds = board.client, []
    image = seal(program, lab_key, seed=3)
    for _ in range(ROUNDS[board.clock]):
        board.pristine()
        client.upload_trace(trace)
        loaded = client.load(image)
        deployed = client.deploy(loaded.handle, 20)
        # Packets 1 us apart; the timer calls once in nine of them.
        replayed = client.replay(timer_period_ns=9_000)
        rounds.append((loaded, loaded, deployed, replayed, client.rollback()))
    for stage, answers in zip(STAGES, zip(*rounds, strict=True), strict=True):
        budget(stage).judge(reduce(add, (board.samples(stage, answer) for answer in answers)))
