"""The deploy unit on a real kernel: chains and verdicts, watch windows, rollback points, inherited maps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from assay_lab import (
    BlobKind,
    Board,
    CommitEvent,
    Event,
    Hook,
    LabKey,
    MapFlags,
    Program,
    RequestRefused,
    RollbackCause,
    RollbackEvent,
    RunMode,
    Trace,
    seal,
)
from harness.bpf.asm import DW, R0, R1, R2, assemble, atomic, exit_, mov64
from harness.bpf.samples import (
    XDP_ABORTED,
    XDP_DROP,
    XDP_PASS,
    XDP_TX,
    answer,
    counter,
    frozen,
    record_time,
    tally_by_lookup,
)

PACKETS = 100
FIELDS_AT_ZERO = (
    "generation",
    "rollback_depth",
    "loaded_programs",
    "deployed_programs",
    "invocations",
    "rollbacks",
    "watch_remaining",
    "map_pool_used",
    "code_pool_used",
    "faults_contained",
    "overruns_contained",
)


class Lab:
    """A board with a workload, and short names for the actions of these tests."""

    def __init__(self, board: Board, key: LabKey, trace: Trace) -> None:
        self.client = board.client
        self._key = key
        self.client.upload_trace(trace)
        self.client.upload_trace(trace, BlobKind.TRIAL)

    def load(self, program: Program, priority: int = 100, test_mem_size: int = 0) -> int:
        image = seal(program, self._key, priority=priority, seed=9, test_mem_size=test_mem_size)
        return self.client.load(image).handle

    def deploy(self, program: Program, priority: int = 100, watch: int = 0) -> int:
        handle = self.load(program, priority)
        self.client.deploy(handle, watch)
        return handle

    def counted(self, handle: int, *, trial: bool = False) -> int:
        return int.from_bytes(self.client.read_map(handle, 0, trial=trial)[bytes(4)][:8], "little")


@pytest.fixture
def lab(board: Board, lab_key: LabKey, trace: Trace) -> Lab:
    return Lab(board, lab_key, trace)


# --- verdicts and chains ---------------------------------------------------------------------------------------------


def test_an_empty_hook_passes_everything(lab: Lab) -> None:
    replay = lab.client.replay()
    assert (replay.packets, replay.program_invocations) == (PACKETS, 0)
    assert lab.client.telemetry().verdict_pass == PACKETS


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0, XDP_ABORTED), (1, XDP_DROP), (2, XDP_PASS), (3, XDP_TX), (77, XDP_ABORTED)],
)
def test_a_programs_verdict_is_the_packets(lab: Lab, value: int, verdict: int) -> None:
    lab.deploy(answer(value))
    assert lab.client.replay().program_invocations == PACKETS
    seen = lab.client.telemetry()
    counts = (seen.verdict_aborted, seen.verdict_drop, seen.verdict_pass, seen.verdict_tx)
    assert counts[verdict] == PACKETS == sum(counts)
    assert {record.verdict for record in lab.client.results()} == {verdict}


def test_programs_run_in_order_of_priority_until_one_does_not_pass(lab: Lab) -> None:
    last = lab.deploy(counter(map_name="last"), priority=30)
    first = lab.deploy(counter(map_name="first"), priority=10)
    assert lab.client.replay().program_invocations == 2 * PACKETS
    lab.deploy(answer(XDP_DROP), priority=20)
    assert lab.client.replay().program_invocations == 2 * PACKETS
    assert (lab.counted(first), lab.counted(last)) == (2 * PACKETS, PACKETS)
    assert lab.client.telemetry().verdict_drop == PACKETS


def test_a_fifth_program_on_a_hook_is_refused(lab: Lab) -> None:
    for priority in range(4):
        lab.deploy(answer(XDP_PASS), priority=priority)
    with pytest.raises(RequestRefused, match="at most 4 programs on a hook"):
        lab.deploy(answer(XDP_PASS), priority=9)
    lab.deploy(answer(XDP_DROP), priority=2)
    assert lab.client.status().deployed_programs == 4


def test_the_timer_hook_runs_at_virtual_time(lab: Lab) -> None:
    handle = lab.deploy(record_time(Hook.TIMER))
    replay = lab.client.replay(timer_period_ns=7_000)
    assert replay.timer_invocations == (PACKETS - 1) * 1000 // 7_000
    assert replay.program_invocations == replay.timer_invocations
    assert lab.counted(handle) == 1000 + 7_000 * replay.timer_invocations


def test_a_timer_period_without_end_is_refused(lab: Lab) -> None:
    lab.client.upload_trace(_long_trace())
    with pytest.raises(RequestRefused, match="a timer period"):
        lab.client.replay(timer_period_ns=1)


def _long_trace() -> Trace:
    from contracts.trace import TracePacket

    return Trace((TracePacket(0, bytes(60)), TracePacket(1 << 50, bytes(60))))


def test_time_and_chance_repeat_with_the_replay(lab: Lab) -> None:
    handle = lab.deploy(record_time(Hook.NET_RX))
    lab.client.replay()
    first = lab.client.read_map(handle, 0)
    lab.client.replay()
    assert lab.client.read_map(handle, 0) == first
    assert lab.counted(handle) == 1000 * PACKETS


# --- deploy and rollback ---------------------------------------------------------------------------------------------


def test_a_rollback_brings_the_previous_program_back(lab: Lab) -> None:
    lab.deploy(answer(XDP_DROP))
    swap = lab.client.deploy(lab.load(answer(XDP_TX)), 0)
    assert (swap.generation, swap.rollback_depth) == (2, 2)
    back = lab.client.rollback()
    assert (back.generation, back.rollback_depth) == (3, 1)
    lab.client.replay()
    assert lab.client.telemetry().verdict_drop == PACKETS
    assert lab.client.rollback().rollback_depth == 0
    assert lab.client.status().deployed_programs == 0


def test_swaps_cost_far_less_than_their_budgets(lab: Lab) -> None:
    for program in (answer(XDP_DROP), counter(), counter(name="counter2")):
        assert 0 < lab.client.deploy(lab.load(program), 0).swap_instructions < 1_000_000, "swap budget: 1 ms"
    assert 0 < lab.client.rollback().swap_instructions < 100_000_000, "rollback budget: 100 ms"


def test_at_least_four_rollback_points_are_kept(lab: Lab) -> None:
    handles = [lab.deploy(answer(i % 4, name=f"p{i}")) for i in range(10)]
    depth = lab.client.status().rollback_depth
    assert depth >= 4
    for _ in range(depth):
        lab.client.rollback()
    with pytest.raises(RequestRefused, match="a rollback point"):
        lab.client.rollback()
    lab.client.replay()
    assert lab.client.telemetry().verdict_drop + lab.client.telemetry().verdict_tx in (0, PACKETS)
    assert lab.client.status().loaded_programs == len(handles)


def test_a_program_that_is_deployed_or_kept_for_rollback_cannot_be_unloaded(lab: Lab) -> None:
    old = lab.deploy(answer(XDP_DROP))
    new = lab.deploy(answer(XDP_TX))
    for handle in (old, new):
        with pytest.raises(RequestRefused) as refused:
            lab.client.unload(handle)
        assert refused.value.status == "BAD_STATE"
    lab.client.rollback()
    lab.client.unload(new)
    lab.client.rollback()
    lab.client.unload(old)
    assert lab.client.status().code_pool_used == 0


def test_a_deploy_is_committed_after_its_watch_window(lab: Lab) -> None:
    lab.deploy(answer(XDP_PASS), watch=150)
    assert lab.client.replay().committed == 0
    assert lab.client.status().watch_remaining == 50
    assert lab.client.replay().committed == 1
    event = lab.client.wait_event(Event.COMMIT).record
    assert event == CommitEvent(generation=1, invocations=150)
    assert lab.client.status().watch_remaining == 0


def test_an_explicit_rollback_is_an_event_too(lab: Lab) -> None:
    lab.deploy(answer(XDP_PASS))
    swap = lab.client.rollback()
    event = lab.client.wait_event(Event.ROLLBACK).record
    assert isinstance(event, RollbackEvent)
    assert (event.cause, event.generation) == (RollbackCause.REQUEST, swap.generation)
    assert event.rollback_instructions == swap.swap_instructions


# --- maps ------------------------------------------------------------------------------------------------------------


def test_a_successor_inherits_the_maps_of_its_slot(lab: Lab) -> None:
    old = lab.deploy(counter())
    lab.client.replay()
    new = lab.deploy(counter(name="successor", step=1000))
    lab.client.replay()
    assert lab.counted(new) == PACKETS + 1000 * PACKETS
    assert lab.counted(old) == lab.counted(new), "one map, two programs"


def test_a_program_loaded_before_its_predecessor_was_deployed_inherits_too(lab: Lab) -> None:
    new = lab.load(counter(name="successor", step=1000))
    lab.deploy(counter())
    lab.client.replay()
    lab.client.deploy(new, 0)
    lab.client.replay()
    assert lab.counted(new) == PACKETS + 1000 * PACKETS


def test_a_deploy_that_finds_no_room_for_code_leaves_program_and_maps_as_they_were(lab: Lab) -> None:
    new = lab.load(counter(name="successor", step=1000))
    old = lab.deploy(counter())
    fillers: list[int] = []
    slots = 4000
    while slots > 0 and len(fillers) < 30:
        exchange = atomic(DW, "cmpxchg", R1, 8, R2)
        long = Program("filler", Hook.TEST, assemble([mov64(R0, 0), *[exchange] * slots, exit_()]))
        try:
            fillers.append(lab.load(long, test_mem_size=16))
        except RequestRefused:
            slots //= 2
    with pytest.raises(RequestRefused):
        lab.client.deploy(new, 0)
    lab.client.replay()
    assert (lab.counted(old), lab.counted(new)) == (PACKETS, 0)
    for handle in fillers:
        lab.client.unload(handle)
    lab.client.deploy(new, 0)
    lab.client.replay()
    assert lab.counted(new) == lab.counted(old) == PACKETS + 1000 * PACKETS


@pytest.mark.parametrize(
    "other",
    [counter(flags=MapFlags.FRESH), counter(map_name="others"), counter(value_size=16)],
    ids=["marked fresh", "another name", "another shape"],
)
def test_what_is_fresh_or_different_is_not_inherited(lab: Lab, other: Program) -> None:
    lab.deploy(counter())
    lab.client.replay()
    new = lab.deploy(other)
    lab.client.replay()
    assert lab.counted(new) == PACKETS


def test_another_slot_does_not_inherit(lab: Lab) -> None:
    lab.deploy(counter(), priority=1)
    lab.client.replay()
    assert lab.counted(lab.deploy(counter(), priority=2)) == 0


def test_frozen_maps_are_a_programs_own(lab: Lab) -> None:
    lab.deploy(frozen(XDP_DROP))
    lab.deploy(frozen(XDP_TX))
    lab.client.replay()
    assert lab.client.telemetry().verdict_tx == PACKETS
    lab.client.rollback()
    lab.client.replay()
    assert lab.client.telemetry().verdict_drop == PACKETS


def test_a_rollback_restores_code_and_not_contents(lab: Lab) -> None:
    old = lab.deploy(counter())
    lab.client.replay()
    lab.deploy(counter(step=1000))
    lab.client.replay()
    lab.client.rollback()
    lab.client.replay()
    assert lab.counted(old) == 2 * PACKETS + 1000 * PACKETS


@pytest.mark.parametrize("mode", list(RunMode))
def test_a_trial_has_maps_of_its_own_that_start_cleared(lab: Lab, mode: RunMode) -> None:
    handle = lab.deploy(tally_by_lookup())
    lab.client.replay()
    for _ in range(2):
        answer_, records = lab.client.trial(handle, mode=mode)
        assert (answer_.invocations, answer_.contained) == (PACKETS, 0)
        assert [record.verdict for record in records] == [XDP_PASS] * PACKETS
        assert answer_.instructions_max == max(record.instructions for record in records)
        assert answer_.instructions_total == sum(record.instructions for record in records)
        assert lab.counted(handle, trial=True) == PACKETS
    assert lab.counted(handle) == PACKETS, "the live map has seen the replay only"


def test_trial_and_interpreter_agree_in_verdicts_and_maps(lab: Lab) -> None:
    handle = lab.load(record_time(Hook.NET_RX))
    seen = []
    for mode in RunMode:
        _, records = lab.client.trial(handle, mode=mode)
        seen.append(([record.verdict for record in records], lab.client.read_map(handle, 0, trial=True)))
    assert seen[0] == seen[1]


def test_a_large_map_is_read_page_by_page(lab: Lab) -> None:
    program = tally_by_lookup(entries=1000)
    handle = lab.deploy(program)
    lab.client.replay()
    entries = lab.client.read_map(handle, 0)
    assert list(entries) == [i.to_bytes(4, "little") for i in range(1000)]
    assert sum(int.from_bytes(value, "little") for value in entries.values()) == PACKETS


def test_pristine_recovers_every_pool(lab: Lab) -> None:
    before = lab.client.status()
    for i in range(6):
        handle = lab.deploy(
            counter(name=f"c{i}", map_name=f"m{i}", value_size=400 + 8 * i), priority=i % 3, watch=1000
        )
        lab.client.trial(handle)
    lab.load(replace(tally_by_lookup(100), name="idle"))
    lab.client.replay()
    used = lab.client.status()
    assert used.map_pool_used > 0
    assert used.code_pool_used > 0
    lab.client.pristine()
    after = lab.client.status()
    for field in FIELDS_AT_ZERO:
        assert getattr(after, field) == getattr(before, field) == 0, field
    assert lab.client.telemetry().rx_packets == 0
