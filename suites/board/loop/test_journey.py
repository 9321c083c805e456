"""The journey of one extension on a real kernel: trials detect wrong programs, defects are rolled back."""

from __future__ import annotations

import pytest

from ai.scenarios import EMPTY, Situation, families, situation
from contracts.diagnosis import TrialResult
from contracts.errors import ProgramRejected
from contracts.wire.events import RollbackCause
from contracts.wire.image import ImageFlag
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board
from harness.bpf.asm import assemble, exit_, mov64
from harness.bpf.seal import seal
from harness.config.keys import LabKey
from harness.judge.stopwatch import Stopwatch
from harness.loop import pipeline
from harness.loop.drill import provoke
from harness.loop.writer import ModelWriter, open_writer

SEEDS = (11, 12, 13)


@pytest.fixture(scope="module")
def writer() -> ModelWriter:
    return open_writer(None)


def _try(board: Board, key: LabKey, source: str, of: Situation) -> TrialResult:
    program, _ = pipeline.compile_program(source)
    loaded = pipeline.load(board, program, seal(program, key))
    try:
        return of.judge_trial(pipeline.run_trial(board, loaded)[2])
    finally:
        board.client.unload(loaded.response.handle)


@pytest.mark.parametrize("family", families())
def test_a_right_program_passes_and_every_other_familys_program_fails_the_trial(
    board: Board, lab_key: LabKey, family: str
) -> None:
    for seed in SEEDS:
        right = situation(family, seed)
        board.pristine()
        board.client.upload_trace(right.trial, BlobKind.TRIAL)
        outcome = _try(board, lab_key, right.reference, right)
        assert outcome.ok, f"{family} seed {seed}: {outcome.reason}"
        wrong = {"the empty program": EMPTY}
        wrong |= {
            f"{other}'s program": situation(other, seed).reference for other in families() if other != family
        }
        for name, source in wrong.items():
            refused = _try(board, lab_key, source, right)
            assert not refused.ok, f"{family} seed {seed}: {name} passed the trial"
            assert refused.reason


def _journey(board: Board, key: LabKey, writer: ModelWriter, family: str, seed: int) -> tuple[str, object]:
    watch = Stopwatch()
    chosen = situation(family, seed)
    pipeline.prepare(board, chosen)
    adaptation = pipeline.adapt(board, chosen, writer, key, watch)
    if adaptation.deployed:
        pipeline.execute_and_watch(board, adaptation, watch)
    virtual = {
        stage: tuple(v) for (stage, clock), v in watch.samples.items() if clock is pipeline.guest_clock(board)
    }
    return adaptation.source, virtual


def test_the_same_seed_gives_the_same_sources_and_virtual_figures(
    board: Board, lab_key: LabKey, writer: ModelWriter
) -> None:
    first = [_journey(board, lab_key, writer, family, 21) for family in families()]
    second = [_journey(board, lab_key, writer, family, 21) for family in families()]
    assert first == second
    assert any(virtual for _, virtual in first)


@pytest.mark.parametrize(
    ("flag", "cause"),
    [(ImageFlag.PLANT_FAULT, RollbackCause.FAULT), (ImageFlag.PLANT_OVERRUN, RollbackCause.OVERRUN)],
)
def test_a_defect_in_a_deployed_program_is_rolled_back_and_the_kernel_answers(
    testing_board: Board, lab_key: LabKey, flag: ImageFlag, cause: RollbackCause
) -> None:
    watch = Stopwatch()
    event = provoke(testing_board, lab_key, flag, cause, watch)
    clock = pipeline.guest_clock(testing_board)
    assert 0 < event.rollback_instructions < 100_000_000, "rollback budget: 100 ms"
    assert watch.samples[("rollback", clock)] == [event.rollback_instructions]
    assert testing_board.client.echo(b"still here") == b"still here"


@pytest.mark.parametrize("flag", [ImageFlag.PLANT_FAULT, ImageFlag.PLANT_OVERRUN, ImageFlag.SKIP_VERIFY])
def test_a_release_kernel_refuses_every_testing_image(board: Board, lab_key: LabKey, flag: ImageFlag) -> None:
    from contracts.program import Hook, Program

    program = Program("drill", Hook.NET_RX, assemble([mov64(0, 2), exit_()]))
    with pytest.raises(ProgramRejected) as refused:
        pipeline.load(board, program, seal(program, lab_key, flags=ImageFlag.TESTING | flag))
    assert refused.value.stage == "unseal"
    assert board.client.echo(b"still here") == b"still here"
