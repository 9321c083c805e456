"""Faults and overruns of deployed code: contained, rolled back, reported; the kernel continues."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from assay_lab import (
    BlobKind,
    Board,
    Event,
    Hook,
    ImageFlag,
    KernelFault,
    LabKey,
    Program,
    RollbackCause,
    RollbackEvent,
    Trace,
    seal,
)
from harness.bpf.samples import (
    XDP_DROP,
    XDP_PASS,
    answer,
    counter,
    endless,
    endless_in_helpers,
    helper_given_nonsense,
    wild_load,
)

PACKETS = 100
FAULTS_AFTER = 7
UNVERIFIED = ImageFlag.TESTING | ImageFlag.SKIP_VERIFY

Loads = Callable[..., int]


@pytest.fixture
def load(testing_board: Board, lab_key: LabKey, trace: Trace) -> Loads:
    testing_board.client.upload_trace(trace)
    testing_board.client.upload_trace(trace, BlobKind.TRIAL)

    def _load(program: Program, flags: int = 0, *, after: int = 0, priority: int = 100) -> int:
        image = seal(program, lab_key, flags=flags, plant_after=after, priority=priority)
        return testing_board.client.load(image).handle

    return _load


PLANTS = pytest.mark.parametrize(
    ("flag", "cause"),
    [
        (ImageFlag.PLANT_FAULT, RollbackCause.FAULT),
        (ImageFlag.PLANT_OVERRUN, RollbackCause.OVERRUN),
    ],
)


def _rollback(board: Board) -> RollbackEvent:
    record = board.client.wait_event(Event.ROLLBACK, 5.0).record
    assert isinstance(record, RollbackEvent)
    return record


@PLANTS
@pytest.mark.parametrize("watch", [50, 3], ids=["while watched", "after the commit"])
def test_a_defect_takes_the_program_back(
    testing_board: Board, load: Loads, flag: ImageFlag, cause: RollbackCause, watch: int
) -> None:
    client = testing_board.client
    client.deploy(load(answer(XDP_DROP)), 0)
    bad = load(answer(XDP_PASS), ImageFlag.TESTING | flag, after=FAULTS_AFTER)
    client.deploy(bad, watch)
    replay = client.replay()
    assert (replay.rollbacks, replay.contained, replay.committed) == (1, 1, int(watch == 3))
    assert replay.packets == PACKETS, "the replay continues with the previous program"
    assert replay.program_invocations == PACKETS

    event = _rollback(testing_board)
    assert (event.cause, event.handle, event.generation) == (cause, bad, 3)
    assert 0 < event.rollback_instructions < 100_000_000, "rollback budget: 100 ms"
    assert 0 < event.contain_instructions < 100_000
    if cause is RollbackCause.FAULT:
        assert event.fault_address == 0x10
        assert event.esr >> 26 == 0x25, "Data Abort, same EL"

    verdicts = [record.verdict for record in client.results()]
    assert verdicts == [XDP_PASS] * (FAULTS_AFTER + 1) + [XDP_DROP] * (PACKETS - FAULTS_AFTER - 1)
    status = client.status()
    assert (status.rollbacks, status.watch_remaining, status.deployed_programs) == (1, 0, 1)
    assert (status.faults_contained, status.overruns_contained) == ((1, 0) if cause == 1 else (0, 1))
    assert client.echo(b"still here") == b"still here"


@PLANTS
def test_the_trial_does_not_meet_a_defect_that_is_planted_in_deployed_code(
    testing_board: Board, load: Loads, flag: ImageFlag, cause: RollbackCause
) -> None:
    answer_, _ = testing_board.client.trial(load(answer(XDP_PASS), ImageFlag.TESTING | flag))
    assert (answer_.invocations, answer_.contained) == (PACKETS, 0), cause


@pytest.mark.parametrize("program", [wild_load(), endless(), endless_in_helpers()], ids=lambda p: p.name)
def test_a_trial_that_has_to_be_contained_ends_there_and_deploys_nothing(
    testing_board: Board, load: Loads, program: Program
) -> None:
    client = testing_board.client
    client.deploy(load(answer(XDP_DROP)), 0)
    answer_, records = client.trial(load(program, UNVERIFIED))
    assert (answer_.invocations, answer_.contained, len(records)) == (1, 1, 1)
    status = client.status()
    assert (status.rollbacks, status.generation, status.deployed_programs) == (0, 1, 1)


def test_a_loop_that_keeps_step_with_the_alarm_is_found_outside_its_helper(
    testing_board: Board, load: Loads
) -> None:
    # Under -icount everything is periodic: turns of any length, a tick's 16 instructions, the handler's own.
    for moves in range(18):
        handle = load(endless_in_helpers(moves=moves), UNVERIFIED)
        assert testing_board.client.trial(handle)[0].contained == 1
        testing_board.client.unload(handle)


@pytest.mark.parametrize("program", [wild_load(), endless(), endless_in_helpers()], ids=lambda p: p.name)
def test_unverified_code_is_taken_back_at_its_first_packet(
    testing_board: Board, load: Loads, program: Program
) -> None:
    client = testing_board.client
    handle = load(program, UNVERIFIED)
    client.deploy(handle, 10)
    replay = client.replay()
    assert (replay.packets, replay.program_invocations, replay.rollbacks) == (PACKETS, 1, 1)
    assert _rollback(testing_board).handle == handle
    assert client.status().deployed_programs == 0
    assert client.telemetry().verdict_pass == PACKETS


def test_a_faulty_timer_program_is_taken_back(testing_board: Board, load: Loads) -> None:
    client = testing_board.client
    client.deploy(load(wild_load(hook=Hook.TIMER), UNVERIFIED), 10)
    replay = client.replay(timer_period_ns=10_000)
    assert (replay.contained, replay.rollbacks) == (1, 1)
    assert _rollback(testing_board).cause == RollbackCause.FAULT


def test_only_configurations_without_the_culprit_are_safe(testing_board: Board, load: Loads) -> None:
    """The culprit was deployed two swaps ago: going back one would bring it back."""
    client = testing_board.client
    kept = load(counter(), priority=1)
    client.deploy(kept, 0)
    client.deploy(load(answer(XDP_PASS), ImageFlag.TESTING | ImageFlag.PLANT_FAULT, after=5, priority=2), 0)
    client.deploy(load(counter(map_name="later"), priority=3), 0)
    replay = client.replay()
    assert replay.rollbacks == 1
    status = client.status()
    assert (status.deployed_programs, status.rollback_depth) == (1, 1)
    assert int.from_bytes(client.read_map(kept, 0)[bytes(4)], "little") == PACKETS


def test_a_culprit_in_every_kept_configuration_leaves_an_empty_one(testing_board: Board, load: Loads) -> None:
    client = testing_board.client
    client.deploy(load(answer(XDP_PASS), ImageFlag.TESTING | ImageFlag.PLANT_FAULT, after=5, priority=1), 0)
    for _ in range(12):
        client.deploy(load(answer(XDP_DROP), priority=2), 0)
    assert client.replay().rollbacks == 1
    status = client.status()
    assert (status.deployed_programs, status.rollback_depth) == (0, 0)
    assert client.telemetry().verdict_pass == PACKETS - 5


def test_a_hundred_rollbacks_in_a_row_leave_the_kernel_as_it_was(testing_board: Board, load: Loads) -> None:
    client = testing_board.client
    handle = load(answer(XDP_PASS), ImageFlag.TESTING | ImageFlag.PLANT_FAULT, after=1)
    costs = set()
    for _ in range(100):
        client.deploy(handle, 10)
        assert client.replay().rollbacks == 1
        costs.add(_rollback(testing_board).rollback_instructions)
    assert len(costs) == 1, "the same rollback costs the same"
    assert client.status().generation == 200


def test_a_fault_in_a_helper_is_the_kernels_own(fresh_board: Board, lab_key: LabKey, trace: Trace) -> None:
    client = fresh_board.client
    client.upload_trace(trace)
    client.deploy(client.load(seal(helper_given_nonsense(), lab_key, flags=UNVERIFIED)).handle, 0)
    with pytest.raises(KernelFault) as fault:
        client.replay()
    assert "Data Abort" in fault.value.report
