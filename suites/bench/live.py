"""Target stages over a corpus of distinct programs: unseal, verify, jit, trial, deploy, execute, rollback, on each board.

Every figure is counted inside the guest, in instructions (1 instruction = 1 virtual ns) with the cost of an empty
window subtracted, and is the maximum over distinct programs: repeating one proves nothing.

`execute` is judged on extensions (reference programs of every scenario family, small samples). How long a random
program with loops runs is its own affair: the verifier bounds it, and its figures are reported beside, not judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table

from ai.scenarios import Situation, families, situation
from contracts.errors import KernelError, ProgramRejected
from contracts.measurement import Clock, Verdict
from contracts.program import Hook, Program
from contracts.trace import Trace, TracePacket
from contracts.wire.events import Event, RollbackEvent
from contracts.wire.image import ImageFlag
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board, open_board
from harness.boards.registry import select
from harness.bpf import samples
from harness.bpf.fuzz import random_program
from harness.bpf.seal import seal
from harness.config.keys import LabKey, load_key
from harness.judge.budgets import judge, load_budgets
from harness.judge.stopwatch import Stopwatch
from harness.kernel.build import build_kernel
from harness.loop import pipeline

SITUATIONS_A_FAMILY: Final = 5
RANDOM_PROGRAMS: Final = 200
RANDOM: Final = "execute, random"
STAGES: Final = ("unseal", "verify", "jit", "trial", "deploy", "execute", RANDOM, "rollback")


@dataclass(frozen=True, slots=True)
class Case:
    """A program and its input; `is_extension` is False for a random one."""

    program: Program
    workload: Trace
    trial: Trace
    is_extension: bool = True


def corpus() -> Iterator[Case]:
    """Reference programs of every scenario family, small samples, and random packet programs."""
    last: Situation | None = None
    for family in families():
        for seed in range(SITUATIONS_A_FAMILY):
            last = situation(family, 1000 + seed)
            yield Case(pipeline.compile_program(last.reference)[0], last.workload, last.trial)
    assert last is not None
    for program in (samples.answer(2), samples.counter(), samples.tally_by_lookup(), samples.frozen(1)):
        yield Case(program, last.workload, last.trial)
    for seed in range(RANDOM_PROGRAMS):
        program, packet = random_program(seed, Hook.NET_RX)
        frames = [frame.ljust(14, b"\0") for frame in (packet, packet[::-1], packet + bytes(60))]
        short = Trace(tuple(TracePacket(i, f) for i, f in enumerate(frames)))
        yield Case(program, short, short, is_extension=False)


def measure(board: Board, key: LabKey, cases: list[Case], watch: Stopwatch) -> int:
    """Run every case through its stages on a release kernel; returns the number of accepted programs."""
    accepted = 0
    for case in cases:
        board.pristine()
        board.client.upload_trace(case.workload)
        board.client.upload_trace(case.trial, BlobKind.TRIAL)
        try:
            loaded = pipeline.load(board, case.program, seal(case.program, key, seed=accepted), watch)
        except ProgramRejected:
            continue
        accepted += 1
        watch.take("trial", board.samples("trial", pipeline.run_trial(board, loaded)[0]))
        watch.take("deploy", board.samples("deploy", pipeline.deploy(board, loaded)))
        replay = board.client.replay()
        if replay.contained or not replay.program_invocations:
            raise KernelError(
                f"{case.program.name}: {replay.contained} contained, {replay.program_invocations} calls"
            )
        watch.take("execute" if case.is_extension else RANDOM, board.samples("execute", replay))
        watch.take("rollback", board.samples("rollback", board.client.rollback()))
    return accepted


def provoke(board: Board, key: LabKey, case: Case, watch: Stopwatch) -> list[tuple[str, RollbackEvent]]:
    """Automatic rollbacks on a testing kernel: a fault and an overrun, planted in a deployed program."""
    out = []
    for flag in (ImageFlag.PLANT_FAULT, ImageFlag.PLANT_OVERRUN):
        board.pristine()
        board.client.upload_trace(case.workload)
        image = seal(case.program, key, flags=ImageFlag.TESTING | flag, plant_after=3)
        pipeline.deploy(board, pipeline.load(board, case.program, image))
        board.client.replay()
        event = board.client.wait_event(Event.ROLLBACK).record
        assert isinstance(event, RollbackEvent)
        watch.take("rollback", board.samples("rollback", event))
        out.append((flag.name or "", event))
    return out


def _table(kind: str, watch: Stopwatch) -> tuple[Table, bool]:
    budgets = load_budgets()
    table = Table(title=f"{kind}: max over distinct programs (1 instruction = 1 ns)", title_justify="left")
    for column in ("stage", "samples", "clock", "p50", "max", "limit", "stretch", "unit", "verdict"):
        table.add_column(
            column, justify="left" if column in ("stage", "clock", "unit", "verdict") else "right"
        )
    worst = Verdict.PASS
    measured = {m.stage: m for m in watch.measurements() if m.clock is not Clock.HOST}
    for stage in STAGES:
        row = judge(measured[stage], budgets)
        worst = Verdict.FAIL if row.verdict is Verdict.FAIL else worst
        numbers = [
            f"{value:,.4g}" if value is not None else "-"
            for value in (row.p50, row.max, row.limit, row.stretch)
        ]
        verdict = row.verdict.value if row.limit is not None else "reported"
        verdict += ", stretch missed" if row.missed_stretch else ""
        table.add_row(stage, str(row.samples), row.clock.value, *numbers, row.unit, verdict)
    return table, worst is Verdict.PASS


def main() -> int:
    """Measure every default board. Returns 0 if every seed budget was met."""
    console = Console(highlight=False, width=120)
    key = load_key(None)
    cases = list(corpus())
    good = True
    for spec in select([]):
        watch = Stopwatch()
        with open_board(spec, key, build_kernel(spec.firmware, variant="release"), seed=1) as board:
            accepted = measure(board, key, cases, watch)
            overhead = board.client.status().measure_overhead
        with open_board(spec, key, build_kernel(spec.firmware, variant="testing"), seed=1) as board:
            events = provoke(board, key, cases[0], watch)
        table, met = _table(spec.kind, watch)
        good = good and met
        console.print(table)
        for name, event in events:
            console.print(
                f"  {name.lower()}: {event.rollback_instructions} instructions to the store-release, then "
                f"{event.contain_instructions} until the caller has its verdict"
            )
        console.print(
            f"  {accepted} of {len(cases)} programs accepted; overhead of a window {overhead}, subtracted\n"
        )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
