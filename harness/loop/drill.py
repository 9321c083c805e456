"""The rollback drill: a testing kernel gets one image that faults and one that overruns, and must roll both back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.board import BoardSpec
from contracts.errors import KernelError
from contracts.program import Hook, Program
from contracts.stages import Stage
from contracts.trace import Trace, TracePacket
from contracts.wire.events import Event, RollbackCause, RollbackEvent
from contracts.wire.image import ImageFlag
from contracts.wire.live import ReplayResponse
from contracts.wire.uploads import BlobKind
from harness.boards.board import Board, open_board
from harness.bpf.asm import assemble, exit_, mov64
from harness.bpf.samples import XDP_PASS
from harness.bpf.seal import seal
from harness.config.keys import LabKey
from harness.judge.stopwatch import Stopwatch
from harness.kernel.build import KernelImage
from harness.lease import Lease
from harness.loop import pipeline

PACKETS: Final = 48
PLANT_AFTER: Final = 5
EVENT_TIMEOUT_S: Final = 5.0

_CASES: Final = (
    (ImageFlag.PLANT_FAULT, RollbackCause.FAULT),
    (ImageFlag.PLANT_OVERRUN, RollbackCause.OVERRUN),
)


def drill(
    spec: BoardSpec,
    key: LabKey,
    testing: KernelImage,
    watch: Stopwatch,
    transcript: Path | None = None,
    lease: Lease | None = None,
) -> dict[str, int]:
    """Provoke both kinds of automatic rollback on a freshly booted testing kernel, and time them in the guest.

    Adds two `rollback` samples; returns them by cause (instructions; ns on the hardware clock). Raises KernelError if a
    rollback does not happen, rolls back the wrong program, or the kernel does not answer afterwards.
    """
    with open_board(spec, key, testing, lease=lease, transcript=transcript, seed=0) as board:
        events = {cause: provoke(board, key, flag, cause, watch) for flag, cause in _CASES}
        return {
            cause.name.lower(): int(*board.samples(Stage.ROLLBACK, event)) for cause, event in events.items()
        }


@dataclass(frozen=True, slots=True)
class Defect:
    """A deployed program with a planted defect after traffic: the expected and the actual result."""

    cause: RollbackCause
    generation: int
    replay: ReplayResponse


def provoke(
    board: Board, key: LabKey, flag: ImageFlag, cause: RollbackCause, watch: Stopwatch
) -> RollbackEvent:
    """Deploy a sound program, then one with a planted defect; replay, and return the rollback."""
    return rollback_of(board, deploy_defective(board, key, flag, cause), watch)


def deploy_defective(board: Board, key: LabKey, flag: ImageFlag, cause: RollbackCause) -> Defect:
    """Deploy a sound program, then one with the defect `flag`, and replay traffic through it."""
    client = board.client
    board.pristine()
    client.upload_trace(_trace(), BlobKind.WORKLOAD)
    program = Program("drill", Hook.NET_RX, assemble([mov64(0, XDP_PASS), exit_()]))
    sound = pipeline.load(board, program, seal(program, key))
    pipeline.deploy(board, sound)
    client.replay()
    image = seal(program, key, flags=ImageFlag.TESTING | flag, plant_after=PLANT_AFTER)
    before = client.status().generation
    pipeline.deploy(board, pipeline.load(board, program, image))
    return Defect(cause, before, client.replay())


def rollback_of(board: Board, defect: Defect, watch: Stopwatch) -> RollbackEvent:
    """The rollback that the defect must cause, with its time recorded. Raises KernelError if it is missing or wrong."""
    event = board.client.wait_event(Event.ROLLBACK, timeout_s=EVENT_TIMEOUT_S).record
    assert isinstance(event, RollbackEvent)
    after = board.client.status()
    if event.cause != defect.cause or defect.replay.rollbacks != 1 or defect.replay.packets != PACKETS:
        raise KernelError(
            f"a planted {defect.cause.name.lower()} was not rolled back as it should be",
            expected=f"one rollback of cause {defect.cause.name}, {PACKETS} packets replayed",
            seen=f"cause {event.cause}, {defect.replay.rollbacks} rollbacks, {defect.replay.packets} packets "
            f"(generation {defect.generation} -> {after.generation})",
            do="see the channel's transcript",
        )
    watch.take(Stage.ROLLBACK, board.samples(Stage.ROLLBACK, event))
    return event


def _trace() -> Trace:
    """Minimal Ethernet frames, 1 us apart: the drill tests the program, not the traffic."""
    frame = bytes(12) + b"\x08\x00" + bytes(46)
    return Trace(tuple(TracePacket(1000 * i, frame) for i in range(PACKETS)))
