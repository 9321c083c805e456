"""Virtual time is exact: the same commands give the same figures, when repeated and on another boot."""

from __future__ import annotations

from dataclasses import replace

from assay_lab import BlobKind, Board, Event, ImageFlag, LabKey, Trace, seal
from harness.bpf.samples import XDP_PASS, answer, counter, record_time, tally_by_lookup


def _session(board: Board, key: LabKey, trace: Trace) -> list[object]:
    """The whole life cycle of a few programs; every answer of the kernel."""
    client = board.client
    board.pristine()
    client.events.clear()
    client.upload_trace(trace)
    client.upload_trace(trace, BlobKind.TRIAL)
    seen: list[object] = []
    programs = (tally_by_lookup(), counter(), counter(name="successor", step=3), record_time())
    for program in programs:
        loaded = client.load(seal(program, key, seed=3))
        seen += [loaded, client.read_code(loaded.handle), client.trial(loaded.handle)]
        seen += [client.deploy(loaded.handle, 20), client.replay(timer_period_ns=9_000), client.results()]
    flags = ImageFlag.TESTING | ImageFlag.PLANT_OVERRUN
    bad = client.load(seal(answer(XDP_PASS), key, flags=flags, plant_after=3))
    # How far the runaway program gets depends on its start within a tick of the counter.
    seen += [bad, client.deploy(bad.handle, 10), replace(client.replay(), replay_instructions=0)]
    seen += [client.rollback(), client.telemetry()]
    client.wait_event(Event.COMMIT, 5.0)
    status = client.status()
    seen += [status.generation, status.invocations, status.map_pool_used, status.code_pool_used]
    return seen + [event.record for event in client.events if event.event == Event.ROLLBACK]


def test_two_runs_and_two_boots_agree_in_every_figure(
    fresh_board: Board, lab_key: LabKey, trace: Trace
) -> None:
    first = _session(fresh_board, lab_key, trace)
    second = _session(fresh_board, lab_key, trace)
    fresh_board.power_cycle()
    elsewhere = _session(fresh_board, lab_key, trace)
    assert first == second
    assert first == elsewhere
